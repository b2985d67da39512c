"""The people and goods of the marketplace that suffers, made through the product's own verbs."""

from dataclasses import dataclass, field
from uuid import UUID

import httpx

from fondaco import catalog, inbox, inventory, payouts, sellers, wallets
from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.identity import begin_session, create_user
from fondaco.identity.sessions import viewer_of
from fondaco.integrations.stripe import StripeGateway
from fondaco.settings import Settings
from fondaco.vault import Vault

BUYERS, SELLERS, LISTINGS, KEYS = 24, 3, 6, 60
FIRST_TOP_UP = 40_000
_HERE = Viewer(ip="127.0.0.1", user_agent="chaos")


@dataclass(slots=True)
class Person:
    """Somebody with a session."""

    viewer: Viewer
    token: str = field(repr=False)


@dataclass(slots=True)
class Good:
    """A listing on sale."""

    id: UUID
    price: int
    owner: Person


@dataclass(slots=True)
class Market:
    """Who and what is there when the load begins."""

    buyers: list[Person]
    goods: list[Good]
    sellers: list[Person]
    staff: list[Viewer]
    """Support and finance."""
    keys: dict[str, UUID]
    """Every key handed in, with its listing."""


async def build(parts: Parts) -> Market:
    """People, stores, listings with stock, money in every wallet."""
    db, vault = parts.get(Database), parts.get(Vault)
    market = Market([], [], [], [await _staff(db, role) for role in ("support", "finance")], {})
    for number in range(SELLERS):
        person = await _person(db, f"seller{number}@example.test")
        await sellers.open_store(db, person.viewer, name=f"Store {number}", country="DE", about="")
        person = await _signed_in(db, person.viewer.user())
        market.sellers.append(person)
        await _connect(parts, person.viewer)
        for n in range(LISTINGS // SELLERS):
            market.goods.append(await _good(db, person, number * 100 + n))
    for good in market.goods:
        keys = new_keys(f"FIRST{good.id.hex[-6:].upper()}", KEYS)
        market.keys |= dict.fromkeys(keys, good.id)
        batch = await inventory.receive(
            db, vault, good.owner.viewer, good.id, source="paste", content="\n".join(keys)
        )
        await inventory.import_batch(db, vault, batch.id)
    for number in range(BUYERS):
        market.buyers.append(await _person(db, f"buyer{number}@example.test"))
    for buyer in market.buyers:
        await _top_up(parts, buyer.viewer)
    await _tell_sandbox(parts, "available", {})  # the first payments can be sent on
    return market


def new_keys(mark: str, count: int) -> list[str]:
    """`count` keys nobody else has, if nobody else has the mark."""
    return [f"{mark}-{number:04d}-CHAOS" for number in range(count)]


async def _person(db: Database, email: str) -> Person:
    async with db.transaction(SYSTEM) as conn:
        user_id = await create_user(
            conn,
            email=email,
            password_hash="none",  # noqa: S106 - nobody signs in with it
            name="Chaos",
            country="DE",
            verified=True,
        )
    assert user_id, "the marketplace was not empty"
    return await _signed_in(db, user_id)


async def _staff(db: Database, role: str) -> Viewer:
    person = await _person(db, f"{role}@example.test")
    user_id = person.viewer.user()
    await db.execute(SYSTEM, "UPDATE identity.users SET staff_role = $2 WHERE id = $1", user_id, role)
    return Viewer(user_id=user_id, name=role, verified=True, staff_role=role, mfa=True, mfa_enrolled=True)


async def _connect(parts: Parts, seller: Viewer) -> None:
    """The store's account at the provider, with everything there that it wants to know."""
    db, gateway, settings = parts.get(Database), parts.get(StripeGateway), parts.get(Settings)
    await payouts.connect(db, gateway, settings, seller)
    account = (await payouts.my_account(db, seller)).provider_id
    assert account
    await _tell_sandbox(parts, f"accounts/{account}", {"choice": "verified"})
    await payouts.refresh(db, gateway, account)


async def _tell_sandbox(parts: Parts, path: str, content: dict[str, str]) -> None:
    async with httpx.AsyncClient(timeout=20) as client:
        address = f"{parts.get(Settings).stripe_api_base}/sandbox/{path}"
        (await client.post(address, json=content)).raise_for_status()


async def _signed_in(db: Database, user_id: UUID) -> Person:
    async with db.transaction(SYSTEM) as conn:
        token, _ = await begin_session(conn, user_id, _HERE.ip, _HERE.user_agent)
    return Person(await viewer_of(db, token, _HERE), token)


async def _good(db: Database, owner: Person, number: int) -> Good:
    price = 499 + 250 * (number % 7)
    made = await catalog.create_listing(
        db,
        owner.viewer,
        title=f"Game {number}",
        category="games",
        platform="Steam",
        region="GLOBAL",
        edition="Standard",
        price=price,
        currency="EUR",
        summary="A game that is sold through storms.",
        description="One key for the full game.",
        activation="Open the client and enter the key.",
        key_format="",
    )
    await catalog.publish(db, owner.viewer, made.id)
    return Good(made.id, price, owner)


async def _top_up(parts: Parts, buyer: Viewer) -> None:
    db, gateway, settings = parts.get(Database), parts.get(StripeGateway), parts.get(Settings)
    funding = await wallets.start_top_up(db, gateway, settings, buyer, FIRST_TOP_UP)
    await _tell_sandbox(parts, f"pay/{funding.session_id}", {})
    await inbox.check_funding(db, gateway, funding.id)
