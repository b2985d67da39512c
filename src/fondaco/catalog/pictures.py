"""Uploaded pictures: known by their content, bounded, and drawn anew, so that nothing else travels along."""

import asyncio
import io
import re
import threading
from uuid import uuid4

from PIL import Image, ImageOps

from fondaco.core.problem import Invalid

MAX_BYTES = 8 * 1024 * 1024
MAX_PIXELS = 25_000_000
LEAST_SIDE = 64
SIDE = 1200
NAME = re.compile(r"[0-9a-f]{32}\.webp")
_FORMATS = ("PNG", "JPEG", "WEBP")
# Two pictures at once per process: each may take a hundred megabytes while it is decoded.
_at_once = threading.BoundedSemaphore(2)


async def reencode(upload: bytes) -> tuple[str, bytes]:
    """A generated name and the picture as WebP, at most 1200 pixels a side, without metadata.

    Raises Invalid with words for the field `cover`.
    """
    if not upload:
        raise Invalid(fields={"cover": "Choose a picture."})
    if len(upload) > MAX_BYTES:
        raise Invalid(fields={"cover": "The file is larger than 8 MB."})
    body = await asyncio.to_thread(_in_turn, upload)
    return f"{uuid4().hex}.webp", body


def _in_turn(upload: bytes) -> bytes:
    with _at_once:
        return _draw_anew(upload)


def _draw_anew(upload: bytes) -> bytes:
    try:
        with Image.open(io.BytesIO(upload), formats=_FORMATS) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise Invalid(fields={"cover": "The picture has more than 25 million pixels."})
            if min(width, height) < LEAST_SIDE:
                raise Invalid(fields={"cover": f"Each side needs at least {LEAST_SIDE} pixels."})
            picture.draft("RGB", (SIDE, SIDE))
            upright = ImageOps.exif_transpose(picture)
            plain = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    except Invalid:
        raise
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        # Pillow tells broken files by many exceptions; to the person they are all the same.
        raise Invalid(
            fields={"cover": "This is not a PNG, JPEG or WebP picture that can be read."}
        ) from error
    plain.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    plain.info.clear()
    plain.save(out, "WEBP", quality=82, method=4)
    return out.getvalue()
