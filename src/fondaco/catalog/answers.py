"""The shop's answers to programs: JSON kept until the catalogue changes, with an ETag."""

import hashlib
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any

import msgspec
from litestar import Response
from litestar.status_codes import HTTP_304_NOT_MODIFIED

from fondaco.catalog.kept import Kept, Made, made_of
from fondaco.catalog.model import Card
from fondaco.core.web import Call

Found = tuple[Any, Sequence[Card], float]  # the answer, the cards in it, for how many seconds it is good


async def kept_json(request: Call, key: Hashable, find: Callable[[], Awaitable[Found]]) -> Response[Any]:
    """What `find` finds, as JSON, the same for every caller; 304 when the caller has it already.

    `key` names all that decides what is found. Raises what `find` raises.
    """

    async def make(_: tuple[bytes, str] | None) -> Made[tuple[bytes, str]]:
        found, cards, good_for_s = await find()
        body = msgspec.json.encode(found)
        tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        return made_of((body, tag), len(body), cards, good_for_s)

    body, tag = await request.part(Kept).get(request.db, ("json", key), make)
    headers = {"Cache-Control": "private, no-cache", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(b"", status_code=HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(body, media_type="application/json", headers=headers)
