"""Payouts: how sellers are paid. Accounts at the provider, daily batches, withdrawals, one executor."""
