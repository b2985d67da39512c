"""The one clock. Tests move it with time-machine; nothing else asks the time."""

from datetime import UTC, datetime, timedelta

_wrong_by = timedelta()


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC) + _wrong_by


def set_wrong(seconds: float) -> None:
    """Make this process's clock wrong by so much, as a machine's may be; for tests, refused in production
    (the setting `fondaco_test_clock_offset`)."""
    global _wrong_by  # noqa: PLW0603 - one clock per process
    _wrong_by = timedelta(seconds=seconds)
