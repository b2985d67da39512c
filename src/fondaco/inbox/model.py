"""Events from providers: rows and their machine."""

from fondaco.core.machine import Machine, Move

INBOX_EVENT = Machine(
    "inbox_event",
    born=("RECEIVED",),
    ends=("PROCESSED", "IGNORED"),
    moves=(
        Move("RECEIVED", "PROCESSED", "worker", "its effects and this change are one transaction"),
        Move("RECEIVED", "IGNORED", "worker", "not ours, not of use, or of another mode"),
        Move("RECEIVED", "DEFERRED", "worker", "what it speaks of is not known yet"),
        Move("RECEIVED", "FAILED", "worker", "tried and failed; will be tried again"),
        Move("DEFERRED", "PROCESSED", "worker", "later try"),
        Move("DEFERRED", "IGNORED", "worker", "later try"),
        Move("DEFERRED", "FAILED", "worker", "later try"),
        Move("DEFERRED", "DEAD", "worker", "tries used up; somebody is told"),
        Move("FAILED", "PROCESSED", "worker", "later try"),
        Move("FAILED", "IGNORED", "worker", "later try"),
        Move("FAILED", "DEFERRED", "worker", "later try"),
        Move("FAILED", "DEAD", "worker", "tries used up; somebody is told"),
        Move("DEAD", "RECEIVED", "ops", "replayed by hand, audited"),
    ),
)
