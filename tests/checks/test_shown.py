"""Where the checks are shown: the console, the metrics, the doctor, the command."""

import json
import os
import subprocess
import sys

import asyncpg
import httpx
import pytest

from fondaco import checks
from fondaco.checks import jobs
from fondaco.core.db import SYSTEM, Database
from fondaco.core.web import Parts
from fondaco.doctor import check_checks
from fondaco.settings import Settings
from fondaco.vault import Vault
from tests.support.people import make_user_and_token

LOST = "INSERT INTO procrastinate_jobs (queue_name, task_name, status) VALUES ('default', 'a.<b>', 'failed')"


async def enter(client: httpx.AsyncClient, db: Database, role: str) -> str:
    """Sign in; the token a form needs."""
    _, token = await make_user_and_token(db, f"{role}@example.com", staff_role=role, mfa=True)
    client.cookies.set("session", token)
    page = await client.get("/console/checks")
    assert page.status_code == 200, page.text
    return page.text.split('name="_csrf_token" value="')[1].split('"')[0]


async def test_the_console_shows_how_things_stand_and_asks_for_a_run(
    client: httpx.AsyncClient, db: Database, owner: asyncpg.Connection, parts: Parts, settings: Settings
) -> None:
    form = await enter(client, db, "auditor")
    assert "Nothing was looked at yet" in (await client.get("/console/checks")).text
    asked = await client.post("/console/checks", data={"_csrf_token": form})
    assert asked.status_code == 303
    await client.post("/console/checks", data={"_csrf_token": form})
    waiting = "SELECT count(*), min(args ->> 'asked_by') AS who FROM procrastinate_jobs WHERE status = 'todo'"
    row = await db.fetchrow(SYSTEM, waiting)
    assert row and row["count"] == 1 and row["who"].startswith("user:")

    run = await owner.fetchval(
        "INSERT INTO checks.run (kind, asked_by, doing, looked) VALUES ('full', $1, 'I03: entries', 7) "
        "RETURNING id",
        row["who"],
    )
    page = (await client.get("/console/checks")).text
    assert "Everything is being looked at: 7 checks so far" in page and "I03: entries" in page
    refused = await client.post("/console/checks", data={"_csrf_token": form})
    assert refused.status_code == 303
    assert "already" in (await client.get("/console/checks")).text
    await owner.execute("UPDATE checks.run SET ended_at = now() WHERE id = $1", run)
    async with client.stream("GET", "/console/checks/live") as live:
        told = "".join([part async for part in live.aiter_text()])
    assert "data-live-final" in told

    await owner.execute(LOST)
    work = Parts(db, settings, Vault(settings))
    await jobs.every_minute(work)
    page = (await client.get("/console/checks")).text
    assert "was given up after 0 tries" in page and "a.&lt;b&gt;" in page and "a.<b>" not in page
    await owner.execute("DELETE FROM procrastinate_jobs WHERE status = 'failed'")
    await jobs.every_minute(work)
    page = (await client.get("/console/checks")).text
    assert "No check has found anything" in page and "Faults that are gone" in page


@pytest.mark.parametrize("role", ["support", "finance"])
async def test_others_of_the_staff_do_not_see_it(client: httpx.AsyncClient, db: Database, role: str) -> None:
    _, token = await make_user_and_token(db, f"{role}@example.com", staff_role=role, mfa=True)
    client.cookies.set("session", token)
    for path in ("/console/checks", "/console/checks/live"):
        assert (await client.get(path)).status_code == 403


async def test_the_metrics_count_open_faults_and_the_age_of_the_last_look(
    client: httpx.AsyncClient, db: Database, owner: asyncpg.Connection, settings: Settings
) -> None:
    await owner.execute(LOST)
    await checks.every_minute(db)
    text = (await client.get("/metrics")).text
    assert "fondaco_check_faults 1.0" in text
    age = text.split('fondaco_check_age_seconds{kind="minute"} ')[1].splitlines()[0]
    assert 0 <= float(age) < 60


async def test_the_doctor_says_what_is_open_and_when_nobody_looks(
    db: Database, owner: asyncpg.Connection, settings: Settings
) -> None:
    [found] = await check_checks(settings)
    assert (found.state, "has a worker run?" in found.words) == ("note", True)
    await checks.every_minute(db)
    [found] = await check_checks(settings)
    assert found.state == "ok"
    await owner.execute("UPDATE checks.run SET ended_at = ended_at - interval '20 minutes'")
    [found] = await check_checks(settings)
    assert found.state == "note" and "20 minutes ago" in found.words
    await owner.execute(LOST)
    await checks.every_minute(db)
    [found] = await check_checks(settings)
    assert found.state == "fault" and "given up" in found.words


def verify(settings: Settings, *options: str) -> subprocess.CompletedProcess[str]:
    secrets = {
        name.upper(): getattr(settings, name).get_secret_value()
        for name in ("database_url", "secret_key", "vault_keys", "fingerprint_key", "signing_key",
                     "stripe_webhook_secrets")
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "fondaco", "verify", *options],
        env={**os.environ, **secrets},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_the_command_tells_machines_too(owner: asyncpg.Connection, settings: Settings) -> None:
    well = verify(settings, "--json")
    assert (well.returncode, json.loads(well.stdout)) == (0, {"faults": []}), well.stderr
    await owner.execute(LOST)
    ill = verify(settings, "--json")
    [fault] = json.loads(ill.stdout)["faults"]
    assert ill.returncode == 1 and fault["check"] == "I24" and "given up" in fault["words"]
    assert verify(settings).returncode == 1
