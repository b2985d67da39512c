"""Ledger: accounts, journals, entries; one verb, post. Nothing else moves money."""
