"""Risk: recorded signals, rules that explain themselves, tiers, and what each tier forbids."""
