"""Identity: rows and errors."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import msgspec

from fondaco.core.problem import Problem


class WrongCredentials(Problem):
    """The address or the password is not right."""

    status = 401
    code = "wrong_credentials"


class AccountClosed(Problem):
    """This account is closed. Please write to support."""

    status = 403
    code = "account_closed"


class DeadLink(Problem):
    """This link was used already or is too old. Please ask for a new one."""

    status = 410
    code = "dead_link"


class WrongCode(Problem):
    """This code is not right, or was used already. Please wait for the next one and try again."""

    status = 422
    code = "wrong_code"


class AlreadyProtected(Problem):
    """Your second factor is already on. Switch it off before you set up another."""

    status = 409
    code = "already_protected"


class LastAdmin(Problem):
    """This is the last admin. Make somebody else admin first."""

    status = 409
    code = "last_admin"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that just began or changed its token. The token is shown this once."""

    token: str = field(repr=False)
    session_id: UUID
    user_id: UUID
    second_factor_needed: bool


class SessionRow(msgspec.Struct, frozen=True):
    """A place where a user is signed in. `id` names it and opens nothing."""

    id: UUID
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    ip: str
    user_agent: str
    second_factor: bool
    current: bool


@dataclass(frozen=True, slots=True)
class SecondFactorSetup:
    """What an authenticator app needs: the secret as text, as otpauth address, as QR picture (SVG)."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)
    svg: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SecondFactorOn:
    """The second factor is on: the session's new token and ten recovery codes, shown this once."""

    token: str = field(repr=False)
    recovery_codes: tuple[str, ...] = field(repr=False)


class ApiKey(msgspec.Struct, frozen=True):
    """A store's API key as lists show it."""

    id: UUID
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key just made; `key` is shown this once."""

    id: UUID
    key: str = field(repr=False)
    prefix: str


class SavedView(msgspec.Struct, frozen=True):
    """A list's filter kept under a name; `query` is the part of the address after '?'."""

    id: UUID
    list: str
    name: str
    query: str
