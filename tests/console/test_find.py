"""Find by everything a person may have in hand."""

import pytest

from fondaco import console
from fondaco.core.db import SYSTEM
from fondaco.core.problem import Invalid
from fondaco.core.viewer import Viewer
from fondaco.vault import Vault
from tests.support.money import Till, make_staff
from tests.support.story import KEYS, Story, tell


async def kinds(till: Till, viewer: Viewer, text: str, *, keys: bool = True) -> set[tuple[str, str]]:
    vault = Vault(till.settings) if keys else None
    return {(f.kind, f.href) for f in await console.find(till.db, viewer, text, vault=vault)}


async def ids(till: Till, story: Story) -> dict[str, str]:
    """What a person may have in hand of this story, by name."""
    row = await till.db.fetchrow(
        SYSTEM,
        """SELECT f.*, e.event_id, e.id AS event_row, j.id AS journal FROM wallets.funding f
           JOIN inbox.event e ON e.object_id = f.session_id AND e.type = 'checkout.session.completed'
           JOIN ledger.journal j ON j.kind = 'top_up' WHERE f.group_id = $1""",
        story.group.id,
    )
    assert row
    return {k: str(v) for k, v in row.items()}


async def test_find_by_each_thing(till: Till) -> None:
    story = await tell(till, "Moonlight over Murano")
    admin = await make_staff(till.db, "admin")
    known = await ids(till, story)
    order = ("order", f"/console/orders/{story.order_id}")
    funding = ("funding", f"/console/fundings/{known['id']}")
    person = ("person", f"/console/people/{story.buyer.user_id}")
    event = ("event", f"/console/inbox/{known['event_row']}")
    listing = ("listing", f"/console/listings?id={story.listing_id}")
    line = story.group.orders[0].lines[0]
    expected = {
        story.group.orders[0].number: order,
        story.group.orders[0].number.lower()[:8]: order,
        story.group.number: order,
        str(story.order_id): order,
        str(story.group.id): order,
        str(line.id): order,
        str(line.entitlements[0]): order,
        story.buyer.email: person,
        story.buyer.email.upper(): person,
        f"  {story.buyer.email[:9]} ": person,
        str(story.buyer.user_id): person,
        known["session_id"]: funding,
        known["intent_id"]: funding,
        known["charge_id"]: funding,
        known["id"]: funding,
        known["event_id"]: event,
        "moonlight": listing,
        "over mur": listing,
        str(story.listing_id): listing,
        known["journal"]: ("journal", f"/console/ledger/journals/{known['journal']}"),
        f"#{known['journal']}": ("journal", f"/console/ledger/journals/{known['journal']}"),
    }
    for text, wanted in expected.items():
        assert wanted in await kinds(till, admin, text), text
    assert event in await kinds(till, admin, known["session_id"])
    assert ("store", "store") in {(k, k) for k, _ in await kinds(till, admin, story.seller.seller_name)}
    assert "mail" in {k for k, _ in await kinds(till, admin, story.buyer.email)}


async def test_a_pasted_key_is_found_by_its_fingerprint_and_that_is_noted(till: Till) -> None:
    story = await tell(till)
    support = await make_staff(till.db, "support")
    hits = set()
    for key in KEYS:
        found = await kinds(till, support, f" {key.lower()} ")
        assert len(found) == 1
        hits |= found
    assert hits == {
        ("key", f"/console/orders/{story.order_id}"),
        ("key", f"/console/listings?id={story.listing_id}"),
    }
    assert await till.audited("secret.looked_up") == 3
    noted = await till.db.fetch(
        SYSTEM, "SELECT ref, actor, data::text FROM audit.event WHERE kind = 'secret.looked_up'"
    )
    assert {r["actor"] for r in noted} == {support.actor}
    assert not any(key in str(dict(r)) for r in noted for key in KEYS)


async def test_a_key_is_looked_for_only_when_asked_to(till: Till) -> None:
    await tell(till)
    support = await make_staff(till.db, "support")
    assert not await kinds(till, support, KEYS[0], keys=False)
    assert not await kinds(till, support, KEYS[0][:-1])
    assert await till.audited("secret.looked_up") == 0


async def test_nobody_finds_what_they_may_not_open(till: Till) -> None:
    story = await tell(till)
    known = await ids(till, story)
    support, finance = await make_staff(till.db, "support"), await make_staff(till.db, "finance")
    assert await kinds(till, support, known["event_id"]) == set()
    assert await kinds(till, support, known["journal"]) == set()
    assert {k for k, _ in await kinds(till, finance, known["journal"])} == {"journal"}
    assert "mail" not in {k for k, _ in await kinds(till, finance, story.buyer.email)}


@pytest.mark.parametrize("text", ["", "   ", "\x00", "x" * 4097])
async def test_what_cannot_be_looked_for_is_refused_in_words(till: Till, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        await console.find(till.db, await make_staff(till.db, "admin"), text)
    assert caught.value.fields == {"text": "Type 1 to 4096 characters."}


@pytest.mark.parametrize(
    "text", ["%", "_", "' OR 1=1 --", "\\", "99999999999999999999", "cs_%", "{{7*7}}", "é"]
)
async def test_odd_texts_find_nothing_and_break_nothing(till: Till, text: str) -> None:
    await tell(till)
    assert await kinds(till, await make_staff(till.db, "admin"), text) == set()
