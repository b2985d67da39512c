"""Risk: recorded signals, rules that explain themselves, tiers of buyers and sellers, and what each tier forbids."""
