"""Sellers: rows, errors and the onboarding machine."""

from datetime import datetime
from uuid import UUID

import msgspec

from fondaco.core.machine import Machine, Move
from fondaco.core.problem import Problem

SELLER = Machine(
    "seller",
    born=("OPEN",),
    ends=("CLOSED",),
    moves=(
        Move("OPEN", "SUSPENDED", "admin", "listings hidden, open orders still delivered"),
        Move("SUSPENDED", "OPEN", "admin", "the reason is gone"),
        Move("OPEN", "CLOSED", "owner", "no new sales; only with settled books"),
        Move("SUSPENDED", "CLOSED", "admin", "only with settled books"),
    ),
)
TEAM_ROLES = ("owner", "manager", "fulfilment", "finance", "read_only")


class VerifyFirst(Problem):
    """Please prove your mail address first: open the link we sent you."""

    status = 403
    code = "verify_first"


class LastOwner(Problem):
    """A store keeps at least one owner. Make somebody else owner first."""

    status = 409
    code = "last_owner"


class Store(msgspec.Struct, frozen=True):
    """A store as everybody may see it. `about` is Markdown."""

    id: UUID
    slug: str
    name: str
    about: str
    support_email: str
    country: str
    created_at: datetime


class OwnStore(msgspec.Struct, frozen=True):
    """A store as its team sees it. `commission_bps` None: the marketplace's; `version` guards edits."""

    id: UUID
    slug: str
    name: str
    about: str
    support_email: str
    country: str
    state: str
    commission_bps: int | None
    created_at: datetime
    version: int


class StoreName(msgspec.Struct, frozen=True):
    """A store one works in, with one's role there."""

    seller_id: UUID
    slug: str
    name: str
    role: str
    current: bool


class Member(msgspec.Struct, frozen=True):
    """A person in a store's team."""

    user_id: UUID
    name: str
    email: str
    role: str
    created_at: datetime
