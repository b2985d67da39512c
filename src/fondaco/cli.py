"""The command `fondaco`. Each command loads only what it needs, so that help is quick."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter


def _version() -> str:
    from importlib.metadata import version

    return f"fondaco {version('fondaco')}"


app = App(
    name="fondaco",
    help="The marketplace engine for digital goods.",
    version=_version,
    result_action="return_value",
    help_format="plaintext",
)

Host = Annotated[str, Parameter(help="Address to listen on.")]
Workers = Annotated[int, Parameter(help="Processes.")]


@app.command
def up(
    *,
    fresh: Annotated[bool, Parameter(negative="", help="Delete the data folder and start over.")] = False,
    yes: Annotated[bool, Parameter(negative="", help="Do not ask before deleting.")] = False,
    host: Host = "127.0.0.1",
    port: Annotated[
        int | None, Parameter(help="Port of the marketplace. Default: 8000 or the next free one.")
    ] = None,
    web: Annotated[int, Parameter(help="Web processes.")] = 1,
    workers: Annotated[int, Parameter(help="Worker processes.")] = 1,
    demo: Annotated[bool, Parameter(help="Fill a demo marketplace on the first start.")] = True,
    data: Annotated[
        Path | None, Parameter(help="Data folder. Default: FONDACO_DATA or .fondaco here.")
    ] = None,
) -> int:
    """Start everything on this machine: database, Stripe sandbox, web, worker, demo marketplace."""
    from rich.console import Console

    from fondaco.embedded import ClusterError
    from fondaco.up.data import DataFolder, default_folder
    from fondaco.up.run import Options, Up

    console, errors = Console(), Console(stderr=True)
    if os.environ.get("DATABASE_URL") or os.environ.get("FONDACO_MODE") == "production":
        return _fail(
            "`fondaco up` is the one-machine start with its own database, but DATABASE_URL or production "
            "mode is set. Run `fondaco migrate`, `fondaco web` and `fondaco worker` instead, or unset them."
        )
    if web < 1 or workers < 1 or not (port is None or 0 < port < 65536):
        return _fail("--web and --workers must be at least 1, --port between 1 and 65535.")
    folder = DataFolder(data or default_folder())
    try:
        if fresh and folder.exists:
            if not yes and not _confirmed(f"Delete everything in {folder.path}? This cannot be undone."):
                return _fail("Nothing was deleted.")
            folder.delete(lambda words: console.print(words, style="dim", markup=False, soft_wrap=True))
        return Up(Options(folder.path, host, port, web, workers, demo), console).run()
    except ClusterError as error:
        errors.print(
            f"fondaco did not start. {error}", style="bold red", markup=False, highlight=False, soft_wrap=True
        )
        return 1


@app.command
def web(*, host: Host = "127.0.0.1", port: int = 8000, workers: Workers = 1) -> int:
    """Serve pages and API with the settings of the environment."""
    if _bad_settings():
        return 1
    from fondaco.up.web import serve

    serve(host, port, workers)
    return 0


@app.command
def worker() -> int:
    """Run jobs: events, mails, releases, imports."""
    if _bad_settings():
        return 1
    from fondaco.worker import main as run_worker

    return run_worker() or 0


@app.command(help_flags=[])
def sandbox(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]) -> int:
    """Run the local Stripe sandbox alone. `fondaco sandbox --help` lists its options."""
    import runpy

    sys.argv[1:] = arguments
    runpy.run_module("fondaco_sandbox", run_name="__main__", alter_sys=True)
    return 0


@app.command
def migrate() -> int:
    """Bring the database to this version, as the owner named by DATABASE_OWNER_URL."""
    from fondaco.up.local import settings_of_this_machine

    with settings_of_this_machine():
        owner = os.environ.get("DATABASE_OWNER_URL")
        if not owner:
            return _fail("DATABASE_OWNER_URL is missing: migrations run as the owner of the database.")
        from fondaco.core.migrate import migrate as run_migrations

        done = run_migrations(owner)
    _out(f"Migrated: {', '.join(done)}" if done else "Nothing to migrate.")
    return 0


@app.command
def doctor() -> int:
    """Explain each setting and test each connection."""
    from fondaco.up.local import settings_of_this_machine

    with settings_of_this_machine():
        from fondaco.doctor import run_doctor

        return run_doctor()


@app.command
def verify(*, json: Annotated[bool, Parameter(negative="", help="Print the faults as JSON.")] = False) -> int:
    """Recompute the books, the stock and every state from scratch and name what is wrong."""
    from fondaco.up.local import settings_of_this_machine

    with settings_of_this_machine():
        if _bad_settings():
            return 1
        import asyncio

        from fondaco.up.checks import verify_books

        return asyncio.run(verify_books(as_json=json))


@app.command
def reconcile(
    *,
    since: Annotated[datetime | None, Parameter(help="First day, UTC; else from the last run on.")] = None,
    until: Annotated[datetime | None, Parameter(help="The day after the last, UTC; else until now.")] = None,
    json: Annotated[bool, Parameter(negative="", help="Print the signed report as JSON.")] = False,
    check: Annotated[Path | None, Parameter(help="Only say whether this report is as it was signed.")] = None,
) -> int:
    """Compare the payment provider's movements with the books, both ways, to the cent."""
    from fondaco.up.local import settings_of_this_machine

    with settings_of_this_machine():
        if _bad_settings():
            return 1
        import asyncio

        from fondaco.core.clock import now
        from fondaco.up import reconcile as comparing

        if check:
            return comparing.check_report(check)
        first, last = (d.replace(tzinfo=UTC) if d else None for d in (since, until))
        if (first and first >= (last or now())) or (last and last > now()):
            return _fail("--since must be before --until, and --until not in the future.")
        return asyncio.run(comparing.reconcile(first, last, as_json=json))


risk = App(name="risk", help="Where buyers and stores stand.", result_action="return_value")
app.command(risk)


@risk.command
def explain(who: str) -> int:
    """Say where somebody stands, and replay every decision about them.

    Parameters
    ----------
    who: user:<id>, seller:<id>, a mail address, a store's slug, or a decision's number.
    """
    from fondaco.up.local import settings_of_this_machine

    with settings_of_this_machine():
        if _bad_settings():
            return 1
        import asyncio

        from fondaco.up.risk import explain as told

        return asyncio.run(told(who))


@app.command
def export(
    form: Annotated[
        Literal["beancount", "ledger"], Parameter(name="--format", help="Dialect; hledger reads ledger's.")
    ] = "beancount",
    *,
    since: Annotated[
        datetime | None, Parameter(help="First day, UTC; what was before is brought forward.")
    ] = None,
    until: Annotated[datetime | None, Parameter(help="The day after the last, UTC.")] = None,
    out: Annotated[Path | None, Parameter(help="File to write; the output if left out.")] = None,
) -> int:
    """Write the books as text for a plain-text-accounting program."""
    from fondaco.up.local import settings_of_this_machine

    with settings_of_this_machine():
        if _bad_settings():
            return 1
        import asyncio

        from fondaco.statements.export import Format
        from fondaco.up.export import write_books

        days = [d.replace(tzinfo=UTC) if d else None for d in (since, until)]
        return asyncio.run(write_books(Format(form), out, *days))


@app.command
def bench(
    what: Annotated[
        Literal[
            "purchases",
            "hot",
            "flow",
            "webhook",
            "catalogue",
            "memory",
            "soak",
            "profile",
            "posts",
            "payouts",
            "reconcile",
            "verify",
            "all",
        ],
        Parameter(help="What to measure; all: purchases to memory."),
    ] = "purchases",
    *,
    seconds: Annotated[float, Parameter(help="Length of one round.")] = 3,
    rounds: Annotated[int, Parameter(help="Rounds of each kind; the median counts.")] = 3,
    clients: Annotated[
        list[int] | None, Parameter(help="How many at once; repeat for several.", negative="")
    ] = None,
    minutes: Annotated[float, Parameter(help="Length of a soak.")] = 60,
    listings: Annotated[int, Parameter(help="Size of the catalogue to browse.")] = 10_000,
    web: Annotated[int, Parameter(help="Web processes.")] = 1,
    percent: Annotated[
        int, Parameter(help="Of a million lines, a million movements, five million entries.")
    ] = 100,
    json: Annotated[
        Path | None, Parameter(help="Write all figures there. A soak writes to soak.json else.")
    ] = None,
    markdown: Annotated[
        Path | None, Parameter(help="Write the tables there, between its two marks if it has them.")
    ] = None,
) -> int:
    """Measure side by side on a throw-away stack: PostgreSQL with fsync on, web, worker and sandbox."""
    if not 0 < seconds <= 60 or not 1 <= rounds <= 20 or not 0 < minutes <= 10_000:
        return _fail("--seconds must be above 0 and at most 60, --rounds from 1 to 20, --minutes above 0.")
    many = tuple(clients or (1, 16, 64))
    if not 1 <= percent <= 1000:
        return _fail("--percent must be from 1 to 1000.")
    if not all(1 <= n <= 128 for n in many) or not 1 <= web <= 16 or not 1 <= listings <= 2_000_000:
        return _fail("--clients must be from 1 to 128, --web from 1 to 16, --listings from 1 to 2000000.")
    from fondaco.bench.bench import Options
    from fondaco.bench.run import main as run_bench

    options = Options(seconds, rounds, many, minutes, listings, web, percent=percent)
    return run_bench(what, options, json_file=json, markdown_file=markdown)


@app.command
def chaos(
    *,
    seed: Annotated[int, Parameter(help="The same seed gives the same plan.")] = 1,
    minutes: Annotated[str, Parameter(help="How long the storm lasts, e.g. 1.5.")] = "2",
    report: Annotated[
        Path | None, Parameter(help="Markdown file for the report; a drawing beside it.")
    ] = None,
    plan: Annotated[bool, Parameter(negative="", help="Only show the first of the plan.")] = False,
    postgres: Annotated[
        Path | None, Parameter(help="Folder of another PostgreSQL's programs, instead of the embedded one.")
    ] = None,
    pgbouncer: Annotated[
        bool, Parameter(negative="", help="With PgBouncer in transaction mode before it.")
    ] = False,
) -> int:
    """Kill and confuse a throw-away marketplace under load, then prove that nothing was lost or doubled."""
    from fondaco.chaos.run import length, run_chaos, show_plan

    seconds = length(minutes)
    if seconds is None:
        return _fail("--minutes must be a number from 0.2 to 600.")
    if plan:
        return show_plan(seed, 60)
    return run_chaos(seed, seconds, report, programs=postgres, pooled=pgbouncer)


@app.command(name="demo-code")
def demo_code(*, data: Annotated[Path | None, Parameter(help="Data folder of the demo.")] = None) -> int:
    """Show the present second-factor codes of the demo's staff."""
    import json

    from pyotp.totp import TOTP

    from fondaco.up.data import default_folder

    try:
        accounts = json.loads(((data or default_folder()) / "demo.json").read_text())
    except (OSError, ValueError):
        return _fail("There is no demo marketplace here. `fondaco up` makes one.")
    for account in accounts:
        if account.get("totp"):
            _out(f"{account['email']}  {TOTP(account['totp']).now()}")
    return 0


def main() -> None:
    """The entry point: runs a command and exits with its code."""
    from fondaco.embedded.account import ClusterError

    try:
        sys.exit(app() or 0)
    except ClusterError as error:
        sys.exit(_fail(str(error)))
    except KeyboardInterrupt:
        sys.exit(130)


def _bad_settings() -> bool:
    """Says all faults of the configuration at once; true when there are any."""
    from fondaco.settings import BadSettings, load

    try:
        load()
    except BadSettings as error:
        _fail(f"The settings cannot be used:\n{error}\n`fondaco doctor` explains each of them.")
        return True
    return False


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        _fail("Add --yes to delete without being asked.")
        return False
    return input(f"{question} Type yes: ").strip().lower() == "yes"


def _fail(words: str) -> int:
    sys.stderr.write(words + "\n")
    return 1


def _out(words: str) -> None:
    sys.stdout.write(words + "\n")
