"""The operating-system account PostgreSQL runs under, and folders only that account may enter."""

import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class ClusterError(Exception):
    """The embedded PostgreSQL cannot do what was asked; the message says why and what to do about it."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the server: `switch` is true when we are root and the server is somebody else."""

    uid: int
    gid: int
    name: str
    switch: bool

    def popen_options(self) -> dict[str, Any]:
        """Keyword arguments for subprocess that start a program under this account."""
        if not self.switch:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def choose_account() -> Account:
    """Ourselves; when we are root an unprivileged account that exists, as PostgreSQL refuses to be root."""
    if sys.platform == "win32":
        return Account(uid=-1, gid=-1, name=os.environ.get("USERNAME", ""), switch=False)
    import pwd

    uid = os.geteuid()
    if uid != 0:
        return Account(uid=uid, gid=os.getegid(), name=_name_of(uid), switch=False)
    for name in ("postgres", "_postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid > 0:
            return Account(uid=entry.pw_uid, gid=entry.pw_gid, name=name, switch=True)
    raise ClusterError(
        "PostgreSQL refuses to run as root and there is neither a user 'postgres' nor 'nobody' to run it as. "
        "Start fondaco as an ordinary user."
    )


def _name_of(uid: int) -> str:
    if sys.platform == "win32":
        return str(uid)
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError as error:
        raise ClusterError(
            f"User id {uid} has no name on this machine and PostgreSQL insists on one. "
            "Add the user to /etc/passwd, or start fondaco as another user."
        ) from error


def owner_name(path: Path) -> str:
    """The name (or number) of the account a file belongs to."""
    uid = path.lstat().st_uid
    try:
        return _name_of(uid)
    except ClusterError:
        return str(uid)


def can_enter(account: Account, folder: Path) -> bool:
    """Whether the account can walk into the folder: tried, not computed, so that ACLs count too."""
    if not account.switch:
        return os.access(folder, os.X_OK)
    tried = subprocess.Popen(
        ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)],
        cwd="/",
        stderr=subprocess.DEVNULL,
        **account.popen_options(),
    )
    return bool(tried.wait() == 0)


def private_folder(path: Path, account: Account) -> Path:
    """Makes `path` a folder only `account` may enter; one that exists otherwise is refused, never altered.

    Raises ClusterError for a link, a foreign owner or open permissions.
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    else:
        if sys.platform != "win32":
            path.chmod(0o700)
            if account.switch:
                os.chown(path, account.uid, account.gid, follow_symlinks=False)
        return path
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise ClusterError(f"{path} must be a folder but is a file or a link. Remove it and start again.")
    if sys.platform == "win32":
        return path
    if found.st_uid != account.uid:
        raise ClusterError(
            f"{path} belongs to {owner_name(path)}, not to {account.name}. "
            "Start fondaco as the user who made it, or choose another data folder."
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise ClusterError(f"{path} is open to other users. Run: chmod 700 '{path}'")
    return path
