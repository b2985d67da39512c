"""Idempotency keys: the first result is kept for 24 hours and given again."""

import hashlib
import json
from collections.abc import Iterable

from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.errors import ApiError
from fondaco_sandbox.web import Response

KEPT_MS = 24 * 3600 * 1000
LONGEST_KEY = 255


class Keys:
    """The keys of all POSTs. Only what runs now is in memory, the rest is on disk."""

    def __init__(self, box: Sandbox) -> None:
        self._box = box
        self._running: set[str] = set()

    @property
    def running(self) -> int:
        """Requests with a key that are being worked on."""
        return len(self._running)

    def begin(self, key: str, endpoint: str, fingerprint: str) -> Response | None:
        """The kept answer, or None when the work is to be done (then call `end`)."""
        if len(key) > LONGEST_KEY:
            raise ApiError(
                400, f"Idempotency keys can have up to {LONGEST_KEY} characters.", kind="idempotency_error"
            )
        row = self._box.store.db.execute(
            "select * from idempotency where key = ? and kept_ms > ?",
            (key, self._box.clock.peek_ms() - KEPT_MS),
        ).fetchone()
        if row is None:
            if key in self._running:
                raise ApiError(
                    409,
                    "There is currently another in-progress request using this Idempotent Key (that probably "
                    "means you submitted twice, and the other request is still going through): "
                    f"{key}. Please try again later.",
                    kind="idempotency_error",
                    code="idempotency_key_in_use",
                )
            self._running.add(key)
            return None
        if row["request"] != endpoint:
            raise ApiError(
                400,
                "Keys for idempotent requests can only be used for the same endpoint they were first used "
                f"for ('{endpoint}' vs '{row['request']}'). Try using a key other than '{key}' if you "
                "meant to execute a different request.",
                kind="idempotency_error",
            )
        if row["fingerprint"] != fingerprint:
            raise ApiError(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were first used "
                f"with. Try using a key other than '{key}' if you meant to execute a different request.",
                kind="idempotency_error",
            )
        headers = {"content-type": "application/json", "idempotent-replayed": "true"}
        headers["original-request"] = row["request_id"]
        return Response(row["status"], row["body"].encode(), headers)

    def keep(self, key: str, endpoint: str, fingerprint: str, answer: Response, request_id: str) -> None:
        """Keep the answer; belongs into the transaction of the work."""
        self._box.store.db.execute(
            "insert or replace into idempotency"
            " (key, request, fingerprint, status, body, request_id, kept_ms) values (?, ?, ?, ?, ?, ?, ?)",
            (
                key,
                endpoint,
                fingerprint,
                answer.status,
                answer.body.decode(),
                request_id,
                self._box.clock.now_ms(),
            ),
        )

    def end(self, key: str) -> None:
        self._running.discard(key)


def fingerprint_of(pairs: Iterable[tuple[str, str]]) -> str:
    """A mark of the parameters, whatever their order."""
    return hashlib.sha256(json.dumps(sorted(pairs)).encode()).hexdigest()
