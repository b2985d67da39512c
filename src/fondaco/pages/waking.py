"""Streams of live pages: woken by events, and now and then when it stays quiet."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import cast

LOOK_EVERY_S = 15.0  # a sign of life for proxies, and a look that needs no wake-up
STREAM_S = 600.0  # then the browser asks the fragment's address instead


async def waking(events: AsyncIterator[None]) -> AsyncGenerator[None]:
    """Each event, and one in between when it stays quiet; ends after STREAM_S."""
    stream = cast(AsyncGenerator[None], events)
    loop = asyncio.get_running_loop()
    end = loop.time() + STREAM_S
    coming = asyncio.ensure_future(anext(stream, False))
    try:
        while loop.time() < end:
            await asyncio.wait({coming}, timeout=LOOK_EVERY_S)
            if coming.done():
                if coming.result() is False:
                    return
                coming = asyncio.ensure_future(anext(stream, False))
            yield
    finally:
        coming.cancel()
        with suppress(asyncio.CancelledError):
            await coming
        await stream.aclose()
