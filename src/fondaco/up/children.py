"""Child processes: started on a leash, logged to a file, started again when they die."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fondaco.embedded import ClusterError

LOG_BYTES = 10_000_000
ALARMING = re.compile(r"\b(error|critical|fatal|exception|traceback)\b", re.IGNORECASE)
LONGEST_BACKOFF = 30.0
STEADY_SECONDS = 60.0
READY_SECONDS = 90.0


@dataclass
class Child:
    """One program. `probe` is an address that answers 2xx once it is at work; None: alive is enough."""

    name: str
    module: str
    arguments: list[str]
    environment: Mapping[str, str]
    log: Path
    probe: str | None = None
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _shown: int = field(default=0, init=False)
    _started: float = field(default=0.0, init=False)
    _deaths: int = field(default=0, init=False)
    _again_at: float = field(default=0.0, init=False)

    def start(self) -> None:
        """Starts the program with its output appended to the log."""
        _rotate(self.log)
        self._started = time.monotonic()
        with open(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as out:
            self._shown = out.seek(0, os.SEEK_END)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fondaco.up.leash", self.module, *self.arguments],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env={**os.environ, **self.environment, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # Ctrl-C reaches fondaco alone, which then stops things in order
            )

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ready(self) -> bool:
        """Whether it answers its probe."""
        if not self.alive:
            return False
        if self.probe is None:
            return True
        try:
            with urllib.request.urlopen(self.probe, timeout=5) as answer:  # noqa: S310 (our own address)
                return bool(answer.status < 300)
        except (urllib.error.URLError, OSError):
            return False

    def wait_until_ready(self) -> None:
        """Waits for the probe; ClusterError with the program's last words when it dies or never answers."""
        until = time.monotonic() + READY_SECONDS
        while not self.ready():
            if not self.alive or time.monotonic() > until:
                why = "does not answer" if self.alive else "ended at once"
                raise ClusterError(f"{self.name} {why}. The end of {self.log}:\n{self.last_words()}")
            time.sleep(0.05)

    def revive(self, say: Callable[[str], None]) -> None:
        """Starts it again when it has died, after a pause that grows with each quick death."""
        if self.alive:
            return
        now = time.monotonic()
        if self.process is not None:
            code = self.process.returncode
            self._clear_away()
            if now - self._started > STEADY_SECONDS:
                self._deaths = 0
            pause = min(0.5 * 2**self._deaths, LONGEST_BACKOFF)
            self._deaths += 1
            self._again_at = now + pause
            say(f"{self.name} ended ({_in_words(code)}); starting it again in {pause:g} s. See {self.log}")
        if now >= self._again_at:
            self.start()

    def alarming_lines(self) -> list[str]:
        """New log lines that look like trouble: at most five, shortened."""
        try:
            with open(self.log, "rb") as file:
                file.seek(self._shown)
                new = file.read(1_000_000)
        except OSError:
            return []
        whole = new.rpartition(b"\n")[0]
        self._shown += len(whole) + bool(whole)
        if self._shown > LOG_BYTES:
            _rotate(self.log, while_open=True)
            self._shown = 0
        found = [line for line in whole.decode(errors="replace").splitlines() if ALARMING.search(line)]
        return [line.strip()[:300] for line in found[:5]]

    def last_words(self) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError):
            return self.log.read_text(errors="replace").strip()[-2000:]
        return ""

    def ask_to_stop(self) -> None:
        """Closes the leash: the program gets SIGTERM, later it is killed by its own watcher."""
        if self.process and self.process.stdin:
            self.process.stdin.close()
        if self.process and self.alive:
            self.process.terminate()

    def stop(self, until: float) -> None:
        """Waits until the given moment, then kills the program and all it started."""
        if self.process is None:
            return
        self.ask_to_stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, until - time.monotonic()))
        self._clear_away()

    def kill(self) -> None:
        """Kills the program and all it started, at once."""
        self._clear_away()

    def _clear_away(self) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        if sys.platform == "win32":
            process.kill()
        else:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _in_words(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _rotate(log: Path, *, while_open: bool = False) -> None:
    """Keeps one older log; a log in use is copied and emptied, which appending writers do not mind."""
    with contextlib.suppress(OSError):
        if while_open:
            shutil.copyfile(log, log.with_suffix(".1.log"))
            os.truncate(log, 0)
        elif log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".1.log"))
