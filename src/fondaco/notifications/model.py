"""Mails: rows and their machine."""

from fondaco.core.machine import Machine, Move

MAIL = Machine(
    "mail",
    born=("QUEUED", "CAPTURED"),  # captured: no mail server is set; shown in the console instead
    ends=("SENT", "CAPTURED", "UNDELIVERABLE"),
    moves=(
        Move("QUEUED", "SENT", "worker", "the mail server took it"),
        Move("QUEUED", "FAILED", "worker", "will be tried again"),
        Move("FAILED", "SENT", "worker", "the mail server took it"),
        Move("FAILED", "UNDELIVERABLE", "worker", "tried long enough; support is told"),
        Move("QUEUED", "UNDELIVERABLE", "worker", "the address was refused for good"),
        Move("UNDELIVERABLE", "QUEUED", "support", "address corrected, sent again"),
    ),
)
