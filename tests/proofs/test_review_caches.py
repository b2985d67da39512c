"""What belongs to somebody is kept by no cache, whichever route answers."""

import httpx
import pytest

from fondaco.core.db import Database
from fondaco.core.web import Parts
from fondaco.settings import Settings
from tests.proofs.test_permission_matrix import ask, credentials, routes_of
from tests.support.app import application

FOR_EVERYBODY = ("public.see",)


@pytest.mark.slow
async def test_private_answers_are_kept_by_no_cache(
    settings: Settings, parts: Parts, db: Database, client: httpx.AsyncClient
) -> None:
    tokens = await credentials(db, parts)
    faults: list[str] = []
    seen = 0
    with application(settings, parts) as app:
        routes = list(routes_of(app))
    for method, path, permission in routes:
        if method != "GET" or permission in FOR_EVERYBODY:
            continue
        for role in ("anonymous", "customer", "seller.owner", "staff.admin"):
            answer = await ask(client, method, path, tokens[role])
            kept = answer.headers.get("cache-control", "")
            seen += answer.status_code == 200
            if "no-store" not in kept and "private" not in kept:
                faults.append(f"{role} {path}: {answer.status_code} {kept!r}")
    assert not faults, "\n".join(faults)
    assert seen > 60
