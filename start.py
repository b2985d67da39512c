#!/usr/bin/env python3
"""Starts fondaco from a checkout with nothing but Python.

python3 start.py                  install what is needed (first time only) and open the marketplace
python3 start.py test [options]   the whole test suite; options go to pytest, which then runs alone
python3 start.py COMMAND ...      any command of fondaco, for example: python3 start.py doctor
"""

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time

if sys.version_info < (3, 11):  # before anything an older Python could stumble over
    sys.exit(
        "fondaco needs Python 3.11 or newer; this is Python %d.%d (%s).\n"
        "Install a newer Python, or uv, and run: uv run --no-project --python 3.11 start.py"
        % (sys.version_info[0], sys.version_info[1], sys.executable)
    )

HERE = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(HERE, ".venv")
SCRIPTS = os.path.join(VENV, "Scripts" if os.name == "nt" else "bin")
PYTHON = os.path.join(SCRIPTS, "python.exe" if os.name == "nt" else "python")
# Where transactions, locks, prepared statements and LISTEN matter; forms and words are the same there.
PROOFS = (
    "proofs",
    "orders",
    "wallets",
    "ledger",
    "inbox",
    "delivery",
    "inventory",
    "worker",
    "identity/test_first_come.py",
    "identity/test_own_things.py",
    "identity/test_sessions.py",
    "identity/test_sessions_together.py",
    "audit",
    "many",
    "chaos",
)
# Half of the slow tests wait for processes: a third one uses the cores meanwhile. Whoever has nothing left to
# do takes over from the others.
SIDE_BY_SIDE = ["-n", "3", "--dist", "worksteal"]
POOLED = "debian15+pgbouncer"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VENV_HELP = """This Python cannot make virtual environments.
On Debian and Ubuntu:  sudo apt install python3-venv
Elsewhere install uv:  https://docs.astral.sh/uv/
Then run start.py again."""


def main(arguments):
    """Installs what is missing, then becomes the program that was asked for."""
    if arguments[:1] == ["test"]:
        install("requirements-test.lock")
        return test(arguments[1:])
    install("requirements.lock")
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version")):
        arguments = ["up", *arguments]
    return become([PYTHON, "-m", "fondaco", *arguments])


def become(command):
    """Replaces this process where the system can, so that signals reach the program directly."""
    if os.name == "nt":
        return subprocess.call(command)
    sys.stdout.flush()
    return os.execv(command[0], command)
    return None


def install(lock):
    """Makes .venv and installs the lock file into it, unless that was done for this very state."""
    for enough in (lock, "requirements-test.lock"):  # the tests' lock holds all of the other
        if os.path.exists(PYTHON) and read(stamp_of(enough)) == digest(enough):
            return
    began = time.time()
    os.environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    uv = shutil.which("uv")
    if not works(PYTHON):
        make_venv(uv)
    say("Installing what fondaco needs. This is done once and takes up to a minute.")
    if uv:
        install_with = [uv, "pip", "install", "--quiet", "--python", PYTHON]
    elif works(PYTHON, "import pip"):
        install_with = [
            PYTHON,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
        ]
    else:
        install_with = [sys.executable, "-m", "pip", "--python", PYTHON, "install", "--quiet"]
    run([*install_with, "--require-hashes", "-r", os.path.join(HERE, lock)])
    run([*install_with, "--no-deps", "--no-build-isolation", "--editable", HERE])
    with open(stamp_of(lock), "w") as file:
        file.write(digest(lock))
    say("Installed in %d s." % (time.time() - began))


def stamp_of(lock):
    """The file that says what was installed from this lock file."""
    return os.path.join(VENV, "installed-" + lock)


def digest(lock):
    """Changes with the lock file, the project's declaration, and this Python."""
    found = hashlib.sha256(sys.version.encode())
    for name in (lock, "pyproject.toml"):
        with open(os.path.join(HERE, name), "rb") as file:
            found.update(file.read())
    return found.hexdigest()


def make_venv(uv):
    """An empty virtual environment: with uv, with venv and pip, or with venv and the system's pip."""
    if uv:
        run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, VENV])
        return
    if not works(sys.executable, "import venv"):
        sys.exit(VENV_HELP)
    if works(sys.executable, "import ensurepip"):
        run([sys.executable, "-m", "venv", "--clear", VENV])
    elif works(sys.executable, "import pip"):
        run([sys.executable, "-m", "venv", "--clear", "--without-pip", VENV])
    else:
        sys.exit(VENV_HELP)


def works(python, code="pass"):
    """Whether that Python runs and is new enough, and the line of code succeeds in it."""
    check = "import sys; assert sys.version_info >= (3, 11); " + code
    try:
        return subprocess.call([python, "-c", check], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def run(command):
    """Runs a step of the installation; its failure ends everything, after its own words."""
    code = subprocess.call(command, cwd=HERE)
    if code != 0:
        sys.exit("\nThis step failed (exit code %d):\n  %s" % (code, " ".join(command)))


def test(options):
    """Linters, type checker, import contracts and all tests, each told in a summary; 0 when all are well."""
    chromium = find_chromium()
    if chromium:
        os.environ["FONDACO_CHROMIUM"] = chromium
    pytest = [PYTHON, "-m", "pytest"]
    if not any(option.startswith("-n") for option in options):
        pytest += SIDE_BY_SIDE
    steps = [("pytest", pytest + options)]
    missing = "" if options else find_postgres()
    if not options:
        if not missing:
            steps.append(("proofs, pooled 15", [*pytest, *("tests/" + folder for folder in PROOFS)]))
        steps.insert(0, ("ruff", [PYTHON, "-m", "ruff", "check", "."]))
    beside = None if options else Beside(checks())
    results = []
    for name, command in steps:
        say("\n== %s" % name)
        began = time.time()
        pooled = {"FONDACO_TEST_DATABASE": POOLED} if "pooled" in name else {}
        code = subprocess.call(command, cwd=HERE, env=dict(os.environ, **pooled))
        results.append((name, code, time.time() - began))
    if beside:
        results += beside.told()
    say("\n== Summary")
    for name, code, seconds in results:
        say("%-17s %-7s %4d s" % (name, "ok" if code == 0 else "FAILED", seconds))
    if not chromium:
        say("browser tests     SKIPPED: no Chromium here. Install it and run again.")
    if missing:
        say("proofs, pooled 15 SKIPPED: no %s here. Install it and run again." % missing)
    return 1 if any(code for _, code, _ in results) else 0


def checks():
    """What looks at the sources alone."""
    return [
        ("pyright", [PYTHON, "-m", "pyright"]),
        ("import contracts", [os.path.join(SCRIPTS, "lint-imports")]),
    ]


class Beside:
    """Steps done one after another while the tests run; their words are told at the end."""

    def __init__(self, steps):
        self.results, self.words = [], []
        self.thread = threading.Thread(target=self.do, args=(steps,), daemon=True)
        self.thread.start()

    def do(self, steps):
        for name, command in steps:
            began = time.time()
            try:
                done = subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                words = done.communicate()[0].decode(errors="replace").rstrip()
                code = done.returncode
            except OSError as error:
                code, words = 127, str(error)
            self.results.append((name, code, time.time() - began))
            self.words.append((name, words))

    def told(self):
        """The results, after saying what each step said."""
        self.thread.join()
        for name, words in self.words:
            say("\n== %s\n%s" % (name, words))
        return self.results


def find_chromium():
    """A Chromium or Chrome for the browser tests; installed when we may, None when there is none."""
    for name in CHROMIUMS:
        if shutil.which(name):
            return shutil.which(name)
    if may_install():
        say("Installing Chromium for the browser tests.")
        apt_install("chromium")
        if shutil.which("chromium"):
            return shutil.which("chromium")
    say("\n*** There is no Chromium here: THE BROWSER TESTS WILL BE SKIPPED. ***")
    return None


def find_postgres():
    """Has Debian's PostgreSQL 15 and PgBouncer for the proofs on both; installed when we may.

    Returns the names of the packages that are not here. No server of the system's own is used or needed.
    """
    if wanting() and may_install():
        say("Installing %s for the proofs." % wanting())
        for package in wanting().split(" and "):
            apt_install(package)
    if wanting():
        say("\n*** There is no %s here: THE PROOFS ON POSTGRESQL 15 WILL BE SKIPPED. ***" % wanting())
    return wanting()


def wanting():
    """Which of the two packages are not installed, in words."""
    bouncer = shutil.which("pgbouncer") or os.path.exists("/usr/sbin/pgbouncer")
    server = os.path.exists("/usr/lib/postgresql/15/bin/postgres")
    return " and ".join(
        name for name, here in (("postgresql-15", server), ("pgbouncer", bouncer)) if not here
    )


def may_install():
    """Whether Debian's packages can be had: its installer is here and we are root."""
    return bool(shutil.which("apt-get")) and hasattr(os, "geteuid") and os.geteuid() == 0


def apt_install(*packages):
    """Installs packages, quietly, without starting what they would serve."""
    quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
    for step in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        subprocess.call(["apt-get", *step], env=quiet, stdout=subprocess.DEVNULL)


def read(path):
    """The file's text, or None."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return None


def say(words):
    """One line, at once."""
    print(words, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
