"""The three roles, their passwords, and the databases they see."""

import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString, cast
from urllib.parse import quote

from fondaco.embedded.account import ClusterError, owner_name

ADMIN, OWNER, APP = "fondaco_admin", "fondaco_owner", "fondaco_app"
DATABASE = "fondaco"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Connection strings for asyncpg and psycopg alike. They hold passwords: never log them."""

    owner_dsn: str
    """Owns the database and every object in it: migrations."""
    app_dsn: str
    """Owns nothing and can create nothing: web and worker."""
    admin_dsn: str
    """Superuser: the supervisor only."""


def load_passwords(path: Path) -> dict[str, str]:
    """The roles' passwords, made once and kept in a file only its owner can read."""
    if not path.exists():
        made = {role: secrets.token_hex(24) for role in (ADMIN, OWNER, APP)}
        half = path.with_name(path.name + ".new")
        half.unlink(missing_ok=True)
        with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(made, file)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
        return made
    try:
        return dict(json.loads(path.read_text()))
    except PermissionError as error:
        raise ClusterError(
            f"{path} belongs to {owner_name(path)}. Start fondaco as that user, "
            "or choose another data folder."
        ) from error
    except ValueError as error:
        raise ClusterError(f"{path} is damaged: without it nobody can sign in to the database.") from error


def endpoints(passwords: dict[str, str], host: str, port: int, database: str) -> Endpoints:
    """Connection strings for one database; `host` is a socket folder or an address."""

    def dsn(role: str) -> str:
        where = f"host={quote(host, safe='')}&port={port}"
        return f"postgresql://{role}:{passwords[role]}@/{quote(database)}?{where}"

    return Endpoints(owner_dsn=dsn(OWNER), app_dsn=dsn(APP), admin_dsn=dsn(ADMIN))


def ensure(admin_dsn: str, passwords: dict[str, str]) -> None:
    """Makes roles and the database where they are missing; changes nothing otherwise. Safe to repeat."""
    with connect(admin_dsn) as connection:
        known = {row[0] for row in connection.execute("select rolname from pg_roles")}
        # The owner inherits what every database owner may: before PostgreSQL 16 that is not so by itself.
        for role, inherits in ((OWNER, "inherit"), (APP, "noinherit")):
            if role not in known:
                _run(connection, f"create role {role} login nosuperuser nocreatedb nocreaterole {inherits} "
                                 f"password '{passwords[role]}'")  # fmt: skip
        if not connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone():
            _run(connection, "revoke all on database postgres, template1 from public")
            create_database(connection, DATABASE, None)


def create_database(connection: Any, name: str, template: str | None) -> None:
    """Makes a database owned by the owner role in which the application's role may only connect."""
    # Copying the files is twice as quick as writing the copy to the log, and a clone is never replicated.
    source = f"{checked(template)} strategy file_copy" if template else "template0"
    _run(connection, f"create database {checked(name)} owner {OWNER} template {source}")
    _run(connection, f"revoke all on database {name} from public")
    _run(connection, f"grant connect on database {name} to {APP}")


def drop_database(connection: Any, name: str) -> None:
    """Removes a database if it is there, ending whatever is connected to it."""
    _run(connection, f"drop database if exists {checked(name)} with (force)")


def checked(name: str) -> str:
    """A database name that needs no quoting; ClusterError otherwise."""
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name):
        raise ClusterError(f"{name!r} is no database name: up to 63 small letters, digits and underscores.")
    return name


def connect(admin_dsn: str) -> Any:
    """An autocommitting connection; imported here because the driver takes a while to load."""
    import psycopg

    return psycopg.connect(admin_dsn, autocommit=True, connect_timeout=10)


def _run(connection: Any, statement: str) -> None:
    connection.execute(cast(LiteralString, statement))
