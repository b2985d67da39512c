"""A client that does not give up: the same call with the same key until there is an answer."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

PATIENCE_S = 25
PAUSE_S = 0.25


@dataclass(slots=True)
class Told:
    """A definite answer; `status` 0 when there was none in all the time the client waited."""

    status: int
    body: Any = None
    tries: int = 1

    @property
    def done(self) -> bool:
        return 200 <= self.status < 300

    @property
    def known(self) -> bool:
        return self.status != 0


@dataclass(slots=True)
class Counts:
    """What all clients saw, for the report."""

    answers: dict[str, int] = field(default_factory=dict[str, int])
    lost: int = 0
    broken: list[str] = field(default_factory=list[str])

    def add(self, status: int, where: str) -> None:
        group = f"{status // 100}xx" if status != 503 else "503"
        self.answers[group] = self.answers.get(group, 0) + 1
        if status >= 500 and status != 503:
            self.broken.append(f"{status} {where}")


class Client:
    """Calls of one person. `base_url` may answer at any time, or not."""

    def __init__(self, http: httpx.AsyncClient, token: str, counts: Counts) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"}
        self._cookie = f"session={token}"
        self._counts = counts

    async def ask(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        patience: float = PATIENCE_S,
        again: bool = True,
        **more: Any,
    ) -> Told:
        """The answer, asked for until it is definite. 503, 429, a broken connection, a call still under way
        and anything else of ours that failed are no answers."""
        headers = self._headers | ({"Idempotency-Key": key} if key else {}) | more.pop("headers", {})
        until, tries = time.monotonic() + patience, 0
        while True:
            tries += 1
            try:
                answer = await self._http.request(method, path, headers=headers, **more)
            except httpx.HTTPError:
                self._counts.lost += 1
            else:
                self._counts.add(answer.status_code, f"{method} {path.split('?', maxsplit=1)[0]}")
                if not _unsure(answer):
                    body = answer.json() if "json" in answer.headers.get("content-type", "") else None
                    return Told(answer.status_code, body, tries)
            if not again or time.monotonic() > until:
                return Told(0, None, tries)
            await asyncio.sleep(PAUSE_S)

    async def page(self, path: str) -> None:
        """A page as a browser opens it; nothing depends on the answer."""
        try:
            answer = await self._http.get(path, headers={"Cookie": self._cookie})
            self._counts.add(answer.status_code, f"GET {path.split('?', maxsplit=1)[0]}")
        except httpx.HTTPError:
            self._counts.lost += 1


def _unsure(answer: httpx.Response) -> bool:
    if answer.status_code == 429:  # a limit per hour is a definite answer
        return int(answer.headers.get("retry-after", "1")) <= 5
    if answer.status_code >= 500:
        return True
    return answer.status_code == 409 and b"still_under_way" in answer.content
