"""Audit: every critical act is one signed row, in the transaction of the act. Also the outbox of events.

Rows are never changed. Every minute they are gathered into blocks that are linked and signed, so that a
change made by somebody with the database in hand shows. Consumers read the events in order of their
transactions and keep their place in the same transaction as what they do.
"""

from fondaco.audit.actions import consume, history, record
from fondaco.audit.blocks import check, check_on, seal
from fondaco.audit.model import AuditEvent

__all__ = ["AuditEvent", "check", "check_on", "consume", "history", "record", "seal"]
