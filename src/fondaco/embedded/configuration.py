"""The server's settings: durable, modest in memory, silent about what statements carry."""

import sys
from collections.abc import Mapping
from pathlib import Path

SETTINGS = {
    # nobody but us
    "password_encryption": "scram-sha-256",
    "unix_socket_permissions": "0700",
    # durable
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_compression": "pglz",
    "min_wal_size": "128MB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "10min",
    # modest
    "max_connections": "100",
    "shared_buffers": "128MB",
    "effective_cache_size": "512MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_parallel_workers_per_gather": "0",
    "io_workers": "2",
    # quick on a solid-state disk with short statements
    "random_page_cost": "1.1",
    "jit": "off",
    "autovacuum_naptime": "30s",
    # no transaction is left open by a client that hangs
    "idle_in_transaction_session_timeout": "60s",
    # statements and their values carry secrets: they never reach the log
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
    # one file a day, a week of them
    "logging_collector": "on",
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_file_mode": "0600",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    # one clock, one language
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
}


NEWER = {"io_workers": 18}
"""Settings that older versions do not know: the first that does."""


def settings_text(host: str, port: int, log_folder: Path, more: Mapping[str, str], major: int) -> str:
    """The configuration file included by postgresql.conf; `ALTER SYSTEM` still wins over it."""
    local = sys.platform != "win32"
    places = {
        "listen_addresses": "" if local else host,
        "unix_socket_directories": host if local else "",
        "port": str(port),
        "log_directory": str(log_folder),
    }
    lines = ["# Written by fondaco at every start. Own changes: ALTER SYSTEM."]
    known = {name: value for name, value in SETTINGS.items() if major >= NEWER.get(name, 0)}
    lines += [f"{name} = '{_quoted(value)}'" for name, value in {**known, **places, **more}.items()]
    return "\n".join(lines) + "\n"


def access_rules() -> str:
    """Who may connect: whoever knows a password, over the private socket (Windows: the loopback address)."""
    kind = "local all all" if sys.platform != "win32" else "host all all 127.0.0.1/32"
    return f"# Written by fondaco at every start.\n{kind} scram-sha-256\n"


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")
