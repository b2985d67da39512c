"""Who is looking: resolved once per request, then handed to every verb."""

from dataclasses import dataclass, field
from uuid import UUID

from fondaco.core.db import PUBLIC, SYSTEM, Scope
from fondaco.core.problem import NotFound, SignInNeeded


@dataclass(frozen=True, slots=True)
class Viewer:
    """A guest, a signed-in user (perhaps working in a seller's team, perhaps staff), or an API key."""

    user_id: UUID | None = None
    email: str = ""
    name: str = ""
    country: str | None = None
    verified: bool = False  # the mail address is proved
    session_id: UUID | None = None  # names the session; its token is never kept
    mfa: bool = False  # this session passed the second factor
    mfa_enrolled: bool = False
    staff_role: str | None = None  # support, ops, finance, admin, auditor
    seller_id: UUID | None = None  # the store this session or key works in
    seller_role: str | None = None  # owner, manager, fulfilment, finance, read_only
    seller_name: str = ""
    api_key_id: UUID | None = None
    scopes: frozenset[str] = field(default_factory=frozenset[str])  # permissions an API key was given
    ip: str = ""
    user_agent: str = ""

    @property
    def roles(self) -> frozenset[str]:
        """The role names of the permission table: 'anonymous', 'customer', 'seller.owner', 'staff.ops'..."""
        if self.api_key_id:
            return frozenset({"api_key"})
        if not self.user_id:
            return frozenset({"anonymous"})
        found = {"customer"}
        if self.seller_role:
            found.add(f"seller.{self.seller_role}")
        if self.staff_role:
            found.add(f"staff.{self.staff_role}")
        return frozenset(found)

    @property
    def actor(self) -> str:
        """Whom the audit log names."""
        if self.api_key_id:
            return f"api_key:{self.api_key_id}"
        return f"user:{self.user_id}" if self.user_id else "guest"

    def user(self) -> UUID:
        """The signed-in user's id; raises SignInNeeded."""
        if self.user_id is None:
            raise SignInNeeded()
        return self.user_id

    def seller(self) -> UUID:
        """The active store's id; raises NotFound when this viewer works in none."""
        if self.seller_id is None:
            raise NotFound()
        return self.seller_id

    @property
    def as_user(self) -> Scope:
        """The database scope of this user's own things."""
        return Scope("user", user=self.user_id) if self.user_id else PUBLIC

    @property
    def as_seller(self) -> Scope:
        """The database scope of this viewer's store."""
        return Scope("seller", seller=self.seller())

    @property
    def as_staff(self) -> Scope:
        """The database scope of the desks: everything. Only behind a staff permission."""
        if self.staff_role is None:
            raise NotFound()
        return SYSTEM


GUEST = Viewer()
