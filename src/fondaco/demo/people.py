"""The people of the demo: staff with a second factor, three sellers, some buyers; roles, not persons."""

from dataclasses import dataclass, field

from pyotp.totp import TOTP

from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from fondaco.identity import (
    begin_session,
    confirm_second_factor,
    create_user,
    set_staff_role,
    start_second_factor,
)
from fondaco.identity.passwords import hash_password
from fondaco.identity.sessions import viewer_of
from fondaco.settings import Settings
from fondaco.vault import Vault

PASSWORD = "lagoon-lantern-1"  # noqa: S105 - the demo's, printed at the start
_HERE = Viewer(ip="127.0.0.1", user_agent="demo")


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody to sign in as; `totp` is the authenticator's secret of staff."""

    who: str
    email: str
    password: str = field(default=PASSWORD, repr=False)
    totp: str | None = field(default=None, repr=False)


async def make_user(db: Database, email: str, name: str, country: str) -> Viewer:
    """A verified user, signed in."""
    hashed = await hash_password(PASSWORD)
    async with db.transaction(SYSTEM) as conn:
        user_id = await create_user(
            conn, email=email, password_hash=hashed, name=name, country=country, verified=True
        )
        if user_id is None:
            raise RuntimeError(f"{email} is there already: the demo is made once")
        token, _ = await begin_session(conn, user_id, _HERE.ip, _HERE.user_agent)
    return await viewer_of(db, token, _HERE)


async def signed_in(db: Database, viewer: Viewer) -> Viewer:
    """The same user in a new session, working in their store."""
    async with db.transaction(SYSTEM) as conn:
        token, _ = await begin_session(conn, viewer.user(), _HERE.ip, _HERE.user_agent)
    return await viewer_of(db, token, _HERE)


async def make_staff(db: Database, vault: Vault, settings: Settings, role: str) -> Account:
    """A member of staff whose authenticator secret the operator may know: this is a demo."""
    email = f"{role}@fondaco.test"
    viewer = await make_user(db, email, f"Demo {role}", "IT")
    setup = await start_second_factor(db, vault, settings, viewer)
    await confirm_second_factor(db, vault, viewer, TOTP(setup.secret).now())
    async with db.transaction(SYSTEM) as conn:
        await set_staff_role(conn, viewer.user(), role, "system")
    return Account(f"Staff ({role})", email, totp=setup.secret)
