"""The doctor: broken configurations, each told in one line that names the setting and what to do."""

import io
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from rich.console import Console

from fondaco.core.db import SYSTEM, Database
from fondaco.doctor import Finding, check_mail, describe_settings, examine, read_settings, run_doctor
from fondaco.embedded import Endpoints
from fondaco.settings import Settings
from fondaco.vault import Vault
from tests.conftest import key, make_settings
from tests.notifications.server import mail_server
from tests.support.sandbox import run_sandbox

SECRET = "canary-" + "s" * 40


@pytest.fixture
def stripe(tmp_path: Path) -> Iterator[str]:
    with run_sandbox(tmp_path) as sandbox:
        yield sandbox.url


@pytest.fixture
def environment(endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """A sound environment without connections worth trying, changed as asked; None takes one away."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)

    def put(**changes: str | None) -> None:
        values: dict[str, str | None] = {
            "DATABASE_URL": endpoints.app_dsn,
            "SECRET_KEY": key(),
            "VAULT_KEYS": f"k1:{key()}",
            "FINGERPRINT_KEY": key(),
            "SIGNING_KEY": key(),
            "STRIPE_WEBHOOK_SECRETS": "whsec_" + "t" * 32,
            **changes,
        }
        for name, value in values.items():
            if value is not None:
                monkeypatch.setenv(name, value)

    return put


PRODUCTION = {
    "FONDACO_MODE": "production",
    "BASE_URL": "https://shop.example",
    "STRIPE_SECRET_KEY": "sk_live_" + "x" * 20,
    "SMTP_HOST": "mail.shop.example",
    "SUPPORT_EMAIL": "help@shop.example",
    "MAIL_FROM": "Shop <no-reply@shop.example>",
}

BROKEN: list[tuple[dict[str, str | None], str]] = [
    ({"DATABASE_URL": None}, "DATABASE_URL: is missing"),
    ({"DATABASE_URL": f"mysql://root:{SECRET}@db/x"}, "database_url must start with postgresql://"),
    ({"SECRET_KEY": "c2hvcnQ="}, "secret_key must be at least 32 bytes"),
    ({"SECRET_KEY": SECRET + "!"}, "secret_key must be at least 32 bytes"),
    ({"SIGNING_KEY": key() + "AAAA"}, "signing_key must be exactly 32 bytes"),
    ({"VAULT_KEYS": key()}, "vault_keys must be name:base64"),
    ({"VAULT_KEYS": "k1:" + SECRET}, "vault_keys must be name:base64"),
    ({"STRIPE_WEBHOOK_SECRETS": SECRET}, "stripe_webhook_secrets must be"),
    ({"BASE_URL": "https://shop.example/"}, "base_url must"),
    ({"BASE_URL": "shop.example"}, "base_url must"),
    ({"CURRENCY": "euro"}, "CURRENCY"),
    ({"TOP_UP_MIN": "900", "TOP_UP_MAX": "800"}, "top_up_min must not be above"),
    ({"COMMISSION_BPS": "99999"}, "COMMISSION_BPS"),
    ({"FONDACO_MODE": "live"}, "FONDACO_MODE"),
    ({"SMTP_PORT": "smtp"}, "SMTP_PORT"),
    ({"SMTP_USER": "shop"}, "smtp_user and smtp_password go together"),
    ({"MAIL_FROM": "the shop"}, "mail_from must be a mail address"),
    ({"BLOB_URL": "/var/blobs"}, "blob_url must start with"),
    ({"TRUSTED_PROXIES": "10.0.0.0/8, proxy.local"}, "trusted_proxies: 'proxy.local'"),
    ({"DATABASE_POOLED": "true"}, "database_direct_url is missing"),
    ({**PRODUCTION, "BASE_URL": "http://shop.example"}, "production: base_url must be https"),
    ({**PRODUCTION, "STRIPE_SECRET_KEY": None}, "production: stripe_secret_key is missing"),
    ({**PRODUCTION, "STRIPE_API_BASE": "http://127.0.0.1:12111"}, "production: stripe_api_base"),
    ({**PRODUCTION, "SMTP_HOST": None}, "production: smtp_host is missing"),
    ({**PRODUCTION, "MAIL_FROM": "x <x@localhost.test>"}, "production: support_email and mail_from"),
]


@pytest.mark.parametrize(("changes", "words"), BROKEN, ids=[words for _, words in BROKEN])
def test_a_broken_setting_is_one_clear_line(
    environment: Callable[..., None], changes: dict[str, str | None], words: str
) -> None:
    environment(**changes)
    settings, findings = read_settings()
    assert settings is None
    (finding,) = findings
    assert finding.state == "fault"
    assert words in f"{finding.subject}: {finding.words}".replace("settings: ", "")
    out = io.StringIO()
    assert run_doctor(Console(file=out, width=200)) == 1
    assert "1 thing is wrong" in out.getvalue()
    assert "canary" not in out.getvalue()


def test_all_faults_are_told_at_once(environment: Callable[..., None]) -> None:
    environment(SECRET_KEY="c2hvcnQ=", BASE_URL="nowhere", BLOB_URL="nowhere")
    _, findings = read_settings()
    assert len(findings) == 3


def faults(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(f.subject, f.words) for f in findings if f.state == "fault"]


async def test_a_sound_configuration_has_no_fault(endpoints: Endpoints, stripe: str) -> None:
    findings = await examine(make_settings(endpoints, stripe_api_base=stripe))
    assert not faults(findings)
    assert {f.subject for f in findings} >= {
        "database version",
        "database rights",
        "clock",
        "stripe",
        "mail",
        "files",
    }


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def wrong_password(e: Endpoints) -> dict[str, Any]:
    role, _, rest = e.app_dsn.removeprefix("postgresql://").partition(":")
    return {"database_url": f"postgresql://{role}:{SECRET}@{rest.partition('@')[2]}"}


def no_database(e: Endpoints) -> dict[str, Any]:
    head, _, query = e.app_dsn.partition("?")
    return {"database_url": f"{head.rsplit('/', 1)[0]}/nothing_here?{query}"}


CONNECTIONS: list[tuple[str, Callable[[Endpoints], dict[str, Any]], str, str]] = [
    (
        "nobody",
        lambda _: {"database_url": f"postgresql://a:b@127.0.0.1:{closed_port()}/x"},
        "DATABASE_URL",
        "Nobody answers",
    ),
    ("password", wrong_password, "DATABASE_URL", "refuses this role"),
    ("name", no_database, "DATABASE_URL", "no such database"),
    ("owner", lambda e: {"database_url": e.owner_dsn}, "DATABASE_URL", "owns or may create"),
    ("superuser", lambda e: {"database_url": e.admin_dsn}, "DATABASE_URL", "is a superuser"),
    (
        "direct",
        lambda _: {"database_direct_url": f"postgresql://a:b@127.0.0.1:{closed_port()}/x"},
        "DATABASE_DIRECT_URL",
        "Nobody answers",
    ),
    (
        "stripe down",
        lambda _: {"stripe_api_base": f"http://127.0.0.1:{closed_port()}"},
        "STRIPE_API_BASE",
        "does not answer",
    ),
    ("no key", lambda _: {"stripe_secret_key": "pk_test_" + "x" * 20}, "STRIPE_SECRET_KEY", "no secret key"),
    ("live key", lambda _: {"stripe_secret_key": "sk_live_" + "x" * 20}, "STRIPE_SECRET_KEY", "live key"),
    ("sandbox key", lambda _: {"stripe_api_base": None}, "STRIPE_SECRET_KEY", "STRIPE_API_BASE"),
    ("mail", lambda _: {"smtp_host": "127.0.0.1", "smtp_port": closed_port()}, "SMTP_HOST", "cannot be used"),
    ("files", lambda _: {"blob_url": "file:///dev/null/blobs"}, "BLOB_URL", "cannot be kept"),
]


@pytest.mark.parametrize(
    ("make", "subject", "words"), [c[1:] for c in CONNECTIONS], ids=[c[0] for c in CONNECTIONS]
)
async def test_a_broken_connection_is_one_clear_line(
    endpoints: Endpoints, stripe: str, make: Callable[[Endpoints], dict[str, Any]], subject: str, words: str
) -> None:
    settings = make_settings(endpoints, **{"stripe_api_base": stripe, **make(endpoints)})
    findings = await examine(settings)
    ((found, said),) = faults(findings)
    assert found == subject
    assert words in said
    assert "canary" not in said


async def test_an_empty_database_and_an_old_shape(
    endpoints: Endpoints, stripe: str, owner: asyncpg.Connection
) -> None:
    settings = make_settings(endpoints, stripe_api_base=stripe)
    await owner.execute("UPDATE public.alembic_version SET version_num = '0000'")
    ((_, words),) = faults(await examine(settings))
    assert "fondaco migrate" in words
    await owner.execute("DROP TABLE public.alembic_version")
    ((_, words),) = faults(await examine(settings))
    assert "is empty" in words


async def test_a_lost_vault_key_is_told(
    endpoints: Endpoints, stripe: str, settings: Settings, db: Database
) -> None:
    async with db.transaction(SYSTEM) as conn:
        await Vault(settings).new_key(conn, "stock")
    other = make_settings(endpoints, stripe_api_base=stripe, vault_keys=f"k2:{key()}")
    ((subject, words),) = faults(await examine(other))
    assert subject == "VAULT_KEYS"
    assert "'k1'" in words


async def test_a_mail_server_is_really_asked(endpoints: Endpoints) -> None:
    with mail_server() as box:
        sound = make_settings(endpoints, smtp_host=box.host, smtp_port=box.port, smtp_starttls=False)
        assert not faults(await check_mail(sound))
        ((subject, _),) = faults(await check_mail(sound.model_copy(update={"smtp_starttls": True})))
        assert subject == "SMTP_HOST"
        assert not box.messages


def test_the_settings_are_shown_without_their_secrets(
    environment: Callable[..., None], tmp_path: Path
) -> None:
    environment(DATABASE_URL=f"postgresql://shop:{SECRET}@db.local/fondaco", SECRET_KEY=SECRET)
    (tmp_path / ".env").write_text("MARKETPLACE_NAME=Lagoon\n")
    rows = {name: (value, source) for name, value, source, _ in describe_settings()}
    assert rows["DATABASE_URL"] == ("postgresql://shop@db.local/fondaco", "environment")
    assert rows["MARKETPLACE_NAME"] == ("Lagoon", ".env")
    assert rows["CURRENCY"] == ("EUR", "default")
    assert "canary" not in str(rows)
    assert all(meaning for *_, meaning in describe_settings())
