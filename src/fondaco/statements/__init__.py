"""Statements: papers about money that never change: statements, receipts, invoices, credit notes, trial balances."""
