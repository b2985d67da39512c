"""The seller desk: opening a store, listings, stock, orders, money, team and API keys, as pages."""
