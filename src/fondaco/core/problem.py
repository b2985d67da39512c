"""Errors that reach people: a status, a stable code, and words to act on (RFC 9457)."""

from typing import Any, ClassVar


class Problem(Exception):
    """Something went wrong. Please try again."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "problem"

    def __init__(self, detail: str | None = None, **extra: Any) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip().replace("\n    ", " ")
        self.extra = extra
        super().__init__(self.detail)

    def body(self) -> dict[str, Any]:
        """The problem+json object."""
        return {
            "type": f"/docs/errors#{self.code}",
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.extra,
        }


class NotFound(Problem):
    """There is nothing here, or it is not yours to see."""

    status = 404
    code = "not_found"


class SignInNeeded(Problem):
    """Please sign in first."""

    status = 401
    code = "sign_in_needed"


class Forbidden(Problem):
    """Your role does not allow this."""

    status = 403
    code = "forbidden"


class Invalid(Problem):
    """Some of the values cannot be used."""

    status = 422
    code = "invalid"

    def __init__(self, detail: str | None = None, *, fields: dict[str, str] | None = None) -> None:
        super().__init__(detail, fields=fields or {})
        self.fields = fields or {}


class Conflict(Problem):
    """Somebody changed this meanwhile. Look at the new state and try again."""

    status = 409
    code = "conflict"


class TooMany(Problem):
    """Too many tries. Please wait a little."""

    status = 429
    code = "too_many"

    def __init__(self, detail: str | None = None, *, retry_after: int = 60) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.retry_after = retry_after


class Unavailable(Problem):
    """The service is busy or restarting. Nothing was lost; try again in a moment."""

    status = 503
    code = "unavailable"
    retry_after: ClassVar[int] = 2


class NoRoom(Unavailable):
    """There is no room left to write things down, so nothing was done and nothing is lost. We are at it; try
    again in a few minutes."""

    code = "no_room"
    retry_after = 60


def all_problems() -> list[type[Problem]]:
    """Every Problem class loaded, by code: the source of the error reference."""
    found: dict[str, type[Problem]] = {}
    stack: list[type[Problem]] = [Problem]
    while stack:
        cls = stack.pop()
        stack.extend(cls.__subclasses__())
        found[cls.code] = cls
    return [found[code] for code in sorted(found)]
