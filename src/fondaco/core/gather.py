"""Questions that arrive together are asked together: one call, an answer for each."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from fondaco.core.problem import Unavailable

K = TypeVar("K")
V = TypeVar("V")
MAX_KEYS = 64
MAX_CALLS = 2


class Gather(Generic[K, V]):
    """Gathers the keys of this process for `ask`, which answers one value per key, in their order.

    With fewer than MAX_CALLS calls in flight a key goes at once, with those of the same turn of the event
    loop. Those that arrive while calls are in flight form the next call. A key never joins a call that was
    already sent, so no answer is older than its question: what was revoked before somebody asked is never
    told as good.
    """

    def __init__(self, ask: Callable[[Sequence[K]], Awaitable[Sequence[V]]]) -> None:
        self._ask = ask
        self._waiting: deque[tuple[K, asyncio.Future[V]]] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._starting = False

    async def get(self, key: K) -> V:
        """The answer to this key. Raises what `ask` raised for the call it was in."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[V] = loop.create_future()
        self._waiting.append((key, answer))
        if not self._starting and len(self._calls) < MAX_CALLS:
            self._starting = True
            loop.call_soon(self._start)
        return await answer

    def _start(self) -> None:
        self._starting = False
        while self._waiting and len(self._calls) < MAX_CALLS:
            batch: list[tuple[K, asyncio.Future[V]]] = []
            while self._waiting and len(batch) < MAX_KEYS:
                one = self._waiting.popleft()
                if not one[1].done():  # its caller has gone
                    batch.append(one)
            if batch:
                call = asyncio.create_task(self._serve(batch))
                self._calls.add(call)
                call.add_done_callback(self._ended)

    def _ended(self, call: "asyncio.Task[None]") -> None:
        self._calls.discard(call)
        self._start()

    async def _serve(self, batch: "list[tuple[K, asyncio.Future[V]]]") -> None:
        try:
            values = await self._ask([key for key, _ in batch])
            answered = list(zip(batch, values, strict=True))
        except asyncio.CancelledError:
            _fail(batch, Unavailable())
            raise
        except Exception as error:
            _fail(batch, error)
            return
        for (_, answer), value in answered:
            if not answer.done():
                answer.set_result(value)


def _fail(batch: "list[tuple[K, asyncio.Future[V]]]", error: Exception) -> None:
    for _, answer in batch:
        if not answer.done():
            answer.set_exception(error)
