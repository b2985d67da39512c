"""`fondaco doctor`: every setting explained, every connection tried, each fault with what to do."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
from dotenv import dotenv_values
from pydantic import SecretStr
from pydantic_core import PydanticUndefined
from rich.console import Console
from rich.table import Table

from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.settings import BadSettings, Settings, load

State = Literal["ok", "note", "fault"]
PATIENCE_S = 8
SKEW_S = 5
COMPARED_WITHIN_H = 26
OLDEST_SERVER = 150_000
_MARKS = {"ok": "[green]ok[/green]", "note": "[yellow]note[/yellow]", "fault": "[red]FAULT[/red]"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: its subject, how it stands, and words that say what to do about it."""

    subject: str
    state: State
    words: str


def fault(subject: str, words: str) -> Finding:
    return Finding(subject, "fault", words)


def run_doctor(console: Console | None = None) -> int:
    """Print everything; exit code 1 when anything is wrong."""
    out = console or Console()
    out.print(_settings_table())
    settings, findings = read_settings()
    if settings:
        with out.status("Trying the connections"):
            findings += asyncio.run(examine(settings))
    table = Table("What", "", "Found", title="Checks", show_lines=False)
    for finding in findings:
        table.add_row(finding.subject, _MARKS[finding.state], _plain(finding.words))
    out.print(table)
    faults = sum(f.state == "fault" for f in findings)
    if faults:
        out.print(f"{faults} {'thing is' if faults == 1 else 'things are'} wrong.", style="bold red")
        return 1
    out.print("Everything is as it must be.", style="green")
    return 0


def read_settings() -> tuple[Settings | None, list[Finding]]:
    """The settings, or everything that is wrong with them, one finding each."""
    try:
        return load(), [Finding("settings", "ok", "can be used together")]
    except BadSettings as error:
        fields = Settings.model_fields
        found: list[Finding] = []
        for line in str(error).splitlines():
            name, _, words = line.partition(": ")
            field = fields.get(name.lower())
            if field is not None and words == "Field required":
                words = f"is missing. {field.description}"
            found.append(
                fault(name if field is not None else "settings", words if field is not None else line)
            )
        return None, found


async def examine(settings: Settings) -> list[Finding]:
    """Every check that needs a connection; each answers within seconds, none stops the others."""
    checks: Sequence[tuple[str, Callable[[Settings], Awaitable[list[Finding]]]]] = (
        ("database", check_database),
        ("database_direct_url", check_direct),
        ("checks", check_checks),
        ("reconciliation", check_reconciliation),
        ("vault", check_vault),
        ("stripe", check_stripe),
        ("mail", check_mail),
        ("files", check_files),
    )
    found = await asyncio.gather(*(_tried(name, check(settings)) for name, check in checks))
    return [finding for findings in found for finding in findings]


async def _tried(subject: str, check: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        return await asyncio.wait_for(check, 4 * PATIENCE_S)
    except TimeoutError:
        return [fault(subject, "did not answer in time. Check the address and the network.")]
    except Exception as error:
        return [fault(subject, f"could not be checked ({type(error).__name__}).")]


async def _connect(dsn: str) -> Any:
    connect: Any = cast(Any, asyncpg).connect
    return await connect(dsn, timeout=PATIENCE_S, statement_cache_size=0)


def _why_not(error: Exception) -> str:
    """Why a database cannot be reached, and what to do."""
    if isinstance(error, asyncpg.InvalidPasswordError | asyncpg.InvalidAuthorizationSpecificationError):
        return "The server refuses this role or its password. Check both."
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return "The server has no such database. Create it, or correct the name."
    if isinstance(error, asyncpg.TooManyConnectionsError):
        return "The server has no free connection. Raise max_connections or use a pooler."
    if isinstance(error, asyncpg.CannotConnectNowError):
        return "The server is starting or stopping. Try again in a moment."
    if isinstance(error, TimeoutError | OSError):
        return "Nobody answers at this address. Is PostgreSQL running, and is the address right?"
    return f"The address cannot be used ({type(error).__name__}). It must look like postgresql://role:password@host/name."


async def check_database(settings: Settings) -> list[Finding]:
    """The application's connection: version, rights, shape, clock."""
    try:
        connection = await _connect(settings.database_url.get_secret_value())
    except Exception as error:
        return [fault("DATABASE_URL", _why_not(error))]
    try:
        return [
            await _version(connection),
            *await _rights(connection),
            *await _shape(connection),
            await _clock(connection),
        ]
    finally:
        await connection.close()


async def _version(connection: Any) -> Finding:
    number = int(await connection.fetchval("SELECT current_setting('server_version_num')"))
    words = f"PostgreSQL {number // 10000}.{number % 10000}"
    if number < OLDEST_SERVER:
        return fault("DATABASE_URL", f"{words} is too old; 15 or newer is needed.")
    return Finding("database version", "ok", words)


async def _rights(connection: Any) -> list[Finding]:
    row = await connection.fetchrow(
        """SELECT current_user AS name, rolsuper, rolbypassrls, rolcreaterole,
             (SELECT count(*) FROM pg_class WHERE relowner = r.oid) AS owned,
             has_database_privilege(current_database(), 'CREATE') AS creates,
             (SELECT count(*) FROM pg_namespace n WHERE nspname NOT LIKE 'pg\\_%'
                AND nspname <> 'information_schema' AND has_schema_privilege(n.oid, 'CREATE')) AS schemas
           FROM pg_roles r WHERE rolname = current_user"""
    )
    if row["rolsuper"]:
        return [
            fault(
                "DATABASE_URL", f"{row['name']} is a superuser. Use the application's own role, fondaco_app."
            )
        ]
    found: list[Finding] = []
    if row["rolbypassrls"]:
        found.append(
            fault("DATABASE_URL", f"{row['name']} bypasses row-level security. Take that right away.")
        )
    if row["owned"] or row["creates"] or row["schemas"] or row["rolcreaterole"]:
        found.append(
            fault(
                "DATABASE_URL",
                f"{row['name']} owns or may create things in the database. Use the application's own role, "
                "fondaco_app, and put the owner in DATABASE_OWNER_URL.",
            )
        )
    return found or [Finding("database rights", "ok", f"{row['name']} owns nothing and can create nothing")]


async def _shape(connection: Any) -> list[Finding]:
    from fondaco.api.routes import newest_revision

    if await connection.fetchval("SELECT to_regclass('public.alembic_version') IS NULL"):
        return [fault("database shape", "The database is empty. Run `fondaco migrate`.")]
    try:
        at = await connection.fetchval("SELECT version_num FROM public.alembic_version")
    except asyncpg.InsufficientPrivilegeError:
        return [
            fault("database shape", "This role may not read the tables. Use fondaco_app or a member of it.")
        ]
    if at != newest_revision():
        words = f"The database is at {at}, this code needs {newest_revision()}. Run `fondaco migrate`."
        return [fault("database shape", words)]
    may = "SELECT has_table_privilege('public.procrastinate_jobs', 'INSERT')"
    if not await connection.fetchval(may):
        return [fault("database shape", "This role may not enqueue jobs. Use fondaco_app or a member of it.")]
    return [Finding("database shape", "ok", f"at revision {at}")]


async def _clock(connection: Any) -> Finding:
    there = await connection.fetchval("SELECT clock_timestamp()")
    skew = abs((now() - there).total_seconds())
    if skew > SKEW_S:
        words = f"This machine's and the database's clock differ by {skew:.0f} s. Set both by NTP."
        return fault("clock", words)
    return Finding("clock", "ok", f"within {max(skew, 0.1):.1f} s of the database's")


async def check_direct(settings: Settings) -> list[Finding]:
    """The way around a pooler, for LISTEN."""
    if settings.database_direct_url is None:
        return []
    try:
        connection = await _connect(settings.direct_dsn)
    except Exception as error:
        return [fault("DATABASE_DIRECT_URL", _why_not(error))]
    try:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        await connection.execute("SET application_name = 'fondaco doctor'")
        same = await connection.fetchval("SELECT current_setting('application_name') = 'fondaco doctor'")
        if not same or pid != await connection.fetchval("SELECT pg_backend_pid()"):
            return [fault("DATABASE_DIRECT_URL", "This is a transaction pooler too; jobs need a direct way.")]
    finally:
        await connection.close()
    return [Finding("database_direct_url", "ok", "reaches the server itself")]


async def check_checks(settings: Settings) -> list[Finding]:
    """What the checks that run by themselves have found."""
    from fondaco import checks

    db = Database(settings.database_url.get_secret_value(), size=2, pooled=settings.database_pooled)
    try:
        await db.open()
    except Exception:
        return []  # told by the database's own check
    try:
        found = await checks.summary(db, SYSTEM)
        faults = await checks.open_faults(db, SYSTEM, limit=5)
    except asyncpg.PostgresError:
        return []
    finally:
        await db.close()
    if faults:
        first = "; ".join(f"{f.name} {f.place} {f.words}" for f in faults)
        more = f" and {found.open - len(faults)} more" if found.open > len(faults) else ""
        return [fault("checks", f"{first}{more}. The console's page Checks has them all.")]
    if found.minute is None or found.minute.ended_at is None:
        return [Finding("checks", "note", "nothing was looked at yet: has a worker run?")]
    age = max(0, int((now() - found.minute.ended_at).total_seconds()))
    if age > 600:
        return [Finding("checks", "note", f"the last one was {age // 60} minutes ago: is a worker running?")]
    return [Finding("checks", "ok", f"nothing wrong was found, last looked {age} s ago")]


async def check_reconciliation(settings: Settings) -> list[Finding]:
    """Whether the provider was compared with the books lately, and whether anything is unexplained."""
    from fondaco import reconciliation
    from fondaco.core.money import Money

    db = Database(settings.database_url.get_secret_value(), size=2, pooled=settings.database_pooled)
    try:
        await db.open()
    except Exception:
        return []  # told by the database's own check
    try:
        found = await reconciliation.standing(db, SYSTEM)
    except asyncpg.PostgresError:
        return []
    finally:
        await db.close()
    if found.open and found.oldest_at:
        days = (now() - found.oldest_at).days
        words = f"{found.open} unexplained, the oldest for {days} days; no payout leaves"
        return [fault("reconciliation", f"{words}. The console's page Reconciliation has them.")]
    held = ", ".join(str(Money(amount, each)) for each, amount in sorted(found.suspense.items()) if amount)
    also = f"; {held} in suspense: somebody must look" if held else ""
    if found.done_at is None:
        return [Finding("reconciliation", "note", f"was never done: run `fondaco reconcile`{also}")]
    hours = int((now() - found.done_at).total_seconds() // 3600)
    if hours > COMPARED_WITHIN_H:
        words = f"the last one was {hours} hours ago: is a worker running?{also}"
        return [Finding("reconciliation", "note", words)]
    return [Finding("reconciliation", "note" if held else "ok", f"all explained, {hours} hours ago{also}")]


async def check_vault(settings: Settings) -> list[Finding]:
    """The vault's keys fit what is sealed already."""
    from fondaco.vault import Vault

    db = Database(settings.database_url.get_secret_value(), size=2, pooled=settings.database_pooled)
    try:
        await db.open()
    except Exception:
        return []  # told by the database's own check
    try:
        vault = Vault(settings)
        found, older = await vault.faults(db), await vault.under_older_keys(db)
    except asyncpg.PostgresError:
        return []
    finally:
        await db.close()
    if found:
        words = ". Put the right key back; sealed codes cannot be read without it."
        return [fault("VAULT_KEYS", text + words) for text in found]
    if older:
        return [
            Finding("vault", "ok", f"the keys open what is sealed; {older} data keys wait to be rewrapped")
        ]
    return [Finding("vault", "ok", "the first key opens everything that is sealed")]


async def check_stripe(settings: Settings) -> list[Finding]:
    """The key works and is of the right mode."""
    from fondaco.integrations.stripe import ProviderRefused, ProviderUnknown, StripeGateway

    gateway = StripeGateway(settings)
    if words := _wrong_key(settings, gateway.livemode):
        return [fault("STRIPE_SECRET_KEY", words)]
    try:
        await asyncio.wait_for(gateway.retrieve_balance(), 3 * PATIENCE_S)
    except ProviderRefused:
        return [fault("STRIPE_SECRET_KEY", "Stripe refuses this key. Copy it again from the dashboard.")]
    except (ProviderUnknown, TimeoutError):
        return [_stripe_silent(settings)]
    return [Finding("stripe", "ok", "the sandbox answers" if settings.stripe_api_base else "the key works")]


def _wrong_key(settings: Settings, livemode: bool) -> str | None:
    key = settings.stripe_secret_key.get_secret_value()
    if not key.startswith(("sk_", "rk_")):
        return "This is no secret key: it must start with sk_ or rk_."
    if settings.production and not livemode:
        return "This is a test key, but the mode is production. No real money would move."
    if not settings.production and livemode:
        return "This is a live key, but the mode is demo. Real money would move."
    if key == "sk_test_sandbox" and settings.stripe_api_base is None:
        return "Set a key of your Stripe account, or STRIPE_API_BASE to the local sandbox."
    return None


def _stripe_silent(settings: Settings) -> Finding:
    if settings.stripe_api_base:
        return fault("STRIPE_API_BASE", "The sandbox does not answer. Start it with `fondaco sandbox`.")
    return fault("stripe", "Stripe does not answer. Check this machine's way to api.stripe.com.")


async def check_mail(settings: Settings) -> list[Finding]:
    """The mail server takes our account."""
    from fondaco.integrations.mailer import Mailer, MailNotSent

    mailer = Mailer(settings)
    if not mailer.configured:
        return [Finding("mail", "note", "no mail server: mails are captured and shown in the console")]
    try:
        await asyncio.wait_for(mailer.probe(), 2 * PATIENCE_S)
    except MailNotSent as error:
        return [
            fault("SMTP_HOST", f"{str(error).capitalize()}. Check host, port, SMTP_STARTTLS and account.")
        ]
    except TimeoutError:
        return [fault("SMTP_HOST", "The server does not answer. Check host, port and SMTP_STARTTLS.")]
    return [Finding("mail", "ok", "the server takes our account")]


async def check_files(settings: Settings) -> list[Finding]:
    """A file can be written and read."""
    from fondaco.integrations.blobs import Blobs

    name, body = f"doctor-{uuid4().hex}", b"written by fondaco doctor"
    try:
        blobs = Blobs(settings)
        await blobs.put(name, body, "text/plain")
        same = await blobs.get(name) == body
    except Exception as error:
        return [
            fault("BLOB_URL", f"Files cannot be kept there ({type(error).__name__}). Check place and rights.")
        ]
    if not same:
        return [fault("BLOB_URL", "What was written could not be read back.")]
    return [Finding("files", "ok", "can be written and read")]


def _settings_table() -> Table:
    table = Table("Setting", "Value", "From", "Meaning", title="Settings", show_lines=False)
    for name, value, source, meaning in describe_settings():
        table.add_row(name, _plain(value), source, _plain(meaning))
    return table


def describe_settings() -> list[tuple[str, str, str, str]]:
    """Each setting: its variable, its value (secrets only as "set"), where it comes from, its meaning."""
    written = {k.upper(): v for k, v in dotenv_values(".env").items()}
    given = {k.upper(): v for k, v in os.environ.items()}
    rows: list[tuple[str, str, str, str]] = []
    for name, field in Settings.model_fields.items():
        variable = name.upper()
        secret = "SecretStr" in str(field.annotation)
        if variable in given:
            value, source = given[variable], "environment"
        elif written.get(variable) is not None:
            value, source = written[variable] or "", ".env"
        elif field.default is PydanticUndefined:
            value, source = "", "missing"
        else:
            default = field.default
            value = default.get_secret_value() if isinstance(default, SecretStr) else str(default or "")
            source = "default"
        rows.append((variable, _masked(value) if secret else value, source, field.description or ""))
    return rows


def _masked(value: str) -> str:
    """A secret as far as it may be shown: a database's place without its password, else only "set"."""
    if not value:
        return ""
    parts = urlsplit(value)
    if parts.scheme in ("postgresql", "postgres"):
        role = f"{parts.username}@" if parts.username else ""
        return f"{parts.scheme}://{role}{parts.hostname or ''}{parts.path}"
    return f"set ({len(value)} characters)"


def _plain(text: str) -> str:
    """Text that the table must not read as markup."""
    return text.replace("[", "\\[")
