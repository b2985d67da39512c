"""Mails: rows and their machine."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

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

STATES: tuple[str, ...] = ("QUEUED", "SENT", "FAILED", "UNDELIVERABLE", "CAPTURED")


class MailRow(msgspec.Struct, kw_only=True):
    """A mail without its texts."""

    id: UUID
    template: str
    template_version: int
    user_id: UUID | None
    ref: Annotated[str, msgspec.Meta(description='What it is about: "order:<uuid>", "group:<uuid>", ...')]
    recipient: str
    subject: str
    state: str
    attempts: int
    next_at: Annotated[datetime, msgspec.Meta(description="When it is tried next, while it waits.")]
    failure: Annotated[str | None, msgspec.Meta(description="Why the last try failed.")]
    created_at: datetime
    sent_at: datetime | None


class FullMail(MailRow, kw_only=True):
    """A mail with its texts."""

    html: str
    plain: str
