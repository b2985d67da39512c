"""Audit: every critical act is one signed row, in the transaction of the act. Also the outbox of events."""
