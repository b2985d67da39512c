"""The sandbox's clock: real time plus an offset that only grows."""

import time


class Clock:
    """Milliseconds since 1970, never going back.

    While a timer runs, the clock stands at the moment that timer was due: what a jump over a day brings about
    is dated inside that day.
    """

    def __init__(self, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms
        self._standing: int | None = None
        self._latest = 0

    def peek_ms(self) -> int:
        """The moment by which things are due; standing still does not change it."""
        return time.time_ns() // 1_000_000 + self.offset_ms

    def now_ms(self) -> int:
        """The moment to write on things."""
        moment = self.peek_ms() if self._standing is None else self._standing
        self._latest = max(self._latest, moment)
        return self._latest

    def now(self) -> int:
        """Whole seconds, as Stripe writes time."""
        return self.now_ms() // 1000

    def stand_at(self, moment_ms: int | None) -> None:
        """Hold the clock at a moment (None lets it run again)."""
        self._standing = moment_ms

    def restart(self) -> None:
        """Back to real time, for a reset only."""
        self.offset_ms = 0
        self._latest = 0


def real_seconds() -> int:
    """Real time for webhook signatures: the receiver compares them with its own clock."""
    return int(time.time())
