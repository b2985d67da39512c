"""Wallets: fundings that bring money in, refunds to where it came from."""
