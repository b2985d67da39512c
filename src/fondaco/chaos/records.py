"""What a client was told, written to disk and synced before it goes on: the witness after the storm."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Records:
    """One client's file of JSON lines."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._out = open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a")  # noqa: SIM115
        self._lock = threading.Lock()

    def note(self, what: str, **details: Any) -> None:
        """Write one line; it is on disk when this returns."""
        line = json.dumps({"what": what, **details}, default=str) + "\n"
        with self._lock:
            self._out.write(line)
            self._out.flush()
            os.fsync(self._out.fileno())

    def close(self) -> None:
        self._out.close()


def read_all(folder: Path) -> Iterator[dict[str, Any]]:
    """Every line of every client in the folder."""
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            yield json.loads(line)
