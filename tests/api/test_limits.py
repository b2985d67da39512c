"""Rate limits: a bucket per caller, told in headers, refilled by the clock."""

from uuid import uuid4

import pytest

from fondaco.api.limits import LIMITS, MAX_ACTORS, Buckets
from fondaco.core.db import Database
from fondaco.core.viewer import Viewer
from fondaco.settings import Settings
from tests.api.app import small_app


def guest(ip: str = "10.0.0.1") -> Viewer:
    return Viewer(ip=ip)


def test_a_burst_then_a_trickle() -> None:
    buckets = Buckets(20)
    taken = [buckets.take(guest(), 0.0) for _ in range(61)]
    assert [left for _, left, _ in taken[:60]] == list(range(59, -1, -1))
    assert taken[60] == (60, -1, 1)
    assert buckets.take(guest(), 0.04)[1] == -1
    assert [buckets.take(guest(), 0.5)[1] for _ in range(11)][-2:] == [0, -1]
    assert buckets.take(guest(), 1000.0)[1] == 59


@pytest.mark.parametrize(
    ("viewer", "limit"),
    [
        (guest(), 60),
        (Viewer(user_id=uuid4(), session_id=uuid4(), ip="10.0.0.1"), 60),
        (Viewer(api_key_id=uuid4(), ip="10.0.0.1"), 120),
    ],
)
def test_each_kind_of_caller_has_its_limit(viewer: Viewer, limit: int) -> None:
    assert Buckets(20).take(viewer, 0.0)[0] == limit


def test_callers_do_not_take_from_one_another() -> None:
    buckets = Buckets(1)
    for _ in range(4):
        buckets.take(guest("10.0.0.1"), 0.0)
    assert buckets.take(guest("10.0.0.1"), 0.0)[1] == -1
    assert buckets.take(guest("10.0.0.2"), 0.0)[1] >= 0


def test_many_callers_do_not_fill_the_memory() -> None:
    buckets = Buckets(1)
    for n in range(MAX_ACTORS + 10):
        buckets.take(guest(str(n)), n / 1000)
    assert len(buckets._left) <= MAX_ACTORS
    assert set(LIMITS) == {"guest", "session", "api_key"}


async def test_what_a_caller_sees(settings: Settings, db: Database) -> None:
    async with small_app(settings, db, rate=1) as api:
        answers = [await api.get("/api/v1/things", headers={"X-User": "ann"}) for _ in range(4)]
        assert [a.status_code for a in answers] == [200, 200, 200, 429]
        assert [a.headers["ratelimit-remaining"] for a in answers] == ["2", "1", "0", "0"]
        assert answers[0].headers["ratelimit-limit"] == "3"
        refused = answers[3]
        assert refused.json()["code"] == "too_many"
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["x-content-type-options"] == "nosniff"
        assert (await api.get("/api/v1/things", headers={"X-User": "ben"})).status_code == 200
        page = await api.get("/page", headers={"X-User": "ann"})
        assert page.status_code == 200
        assert "ratelimit-limit" not in page.headers
