"""Uploaded pictures: known by content, bounded, drawn anew, served under generated names."""

import io
import struct
import zlib

import httpx
import pytest
from PIL import Image

from fondaco import catalog
from fondaco.catalog.pictures import MAX_BYTES, NAME, reencode
from fondaco.core.db import Database
from fondaco.core.ids import uuid7
from fondaco.core.problem import Conflict, Invalid, NotFound
from fondaco.core.web import Parts
from fondaco.integrations.blobs import Blobs
from fondaco.settings import Settings
from tests.support.goods import make_listing
from tests.support.people import bearer, make_seller


def picture(
    kind: str = "PNG", size: tuple[int, int] = (300, 200), mode: str = "RGB", **options: object
) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, "teal").save(out, kind, **options)
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A few bytes that claim to be a PNG of that size."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 100)

    def chunk(body: bytes) -> bytes:
        return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))

    return b"\x89PNG\r\n\x1a\n" + chunk(head) + chunk(data) + chunk(b"IEND")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_good_pictures_become_webp_of_at_most_1200_pixels(kind: str) -> None:
    name, body = await reencode(picture(kind, (3000, 1500)))
    assert NAME.fullmatch(name)
    with Image.open(io.BytesIO(body)) as found:
        assert (found.format, found.size) == ("WEBP", (1200, 600))


async def test_turned_and_transparent_pictures_look_as_meant() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    exif[0x010E] = "where it was taken"
    name, body = await reencode(picture("JPEG", (400, 200), exif=exif))
    with Image.open(io.BytesIO(body)) as found:
        assert found.size == (200, 400)
        assert not found.getexif() and b"where it was taken" not in body
    _, body = await reencode(picture("PNG", (100, 100), "RGBA"))
    with Image.open(io.BytesIO(body)) as found:
        assert found.format == "WEBP"
    assert name


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="300" height="300"><script>alert(1)</script></svg>'
ATTACKS = {
    "nothing": b"",
    "svg": SVG,
    "svg with a declaration": b'<?xml version="1.0"?>' + SVG,
    "html named png": b"<!doctype html><script>alert(1)</script>",
    "a gif": b"GIF89a" + b"\0" * 200,
    "half a png": picture()[:60],
    "half a jpeg": picture("JPEG", (2000, 2000))[:1500],
    "too many pixels": png_header(50_000, 50_000),
    "just too many pixels": png_header(5_001, 5_000),
    "no pixels": png_header(0, 10),
    "a sliver": png_header(20_000, 1),
    "too large a file": b"\x89PNG\r\n\x1a\n" + b"\0" * MAX_BYTES,
    "a zip": b"PK\x03\x04" + b"\0" * 100,
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    "noise": bytes(range(256)) * 20,
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_attacks_are_refused_in_words(attack: str) -> None:
    with pytest.raises(Invalid) as refused:
        await reencode(ATTACKS[attack])
    assert list(refused.value.fields) == ["cover"] and refused.value.fields["cover"].endswith(".")


async def test_what_rides_along_in_a_picture_is_gone() -> None:
    canary = b"<script>CANARY</script>"
    _, body = await reencode(picture("PNG") + canary)
    assert b"CANARY" not in body
    _, body = await reencode(picture("JPEG", comment=canary))
    assert b"CANARY" not in body


async def test_a_cover_belongs_to_its_listing(db: Database, settings: Settings) -> None:
    blobs = Blobs(settings)
    seller, foreign = await make_seller(db), await make_seller(db)
    listing = await make_listing(db, seller)
    for viewer, listing_id in ((foreign, listing.id), (seller, uuid7())):
        with pytest.raises(NotFound):
            await catalog.set_cover(db, blobs, viewer, listing_id, picture())
    done = await catalog.set_cover(db, blobs, seller, listing.id, picture())
    assert done.cover and await blobs.get(done.cover)
    with pytest.raises(Invalid):
        await catalog.set_cover(db, blobs, seller, listing.id, SVG)
    assert (await catalog.own_listing(db, seller, listing.id)).cover == done.cover
    page = await catalog.listing_page(db, listing.slug)
    assert page.card.cover == f"/media/{done.cover}"
    archived = await make_listing(db, seller, state="ARCHIVED")
    with pytest.raises(Conflict):
        await catalog.set_cover(db, blobs, seller, archived.id, picture())


async def test_pictures_are_uploaded_and_served(
    client: httpx.AsyncClient, db: Database, parts: Parts
) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    auth = await bearer(db, seller)
    url = f"/api/v1/seller/listings/{listing.id}/cover"
    raw = await client.put(url, content=picture(), headers=auth | {"Content-Type": "image/png"})
    assert raw.status_code == 200, raw.text
    form = await client.put(url, files={"cover": ("../../x.php\0.png", picture("JPEG"))}, headers=auth)
    assert form.status_code == 200 and form.json()["cover"] != raw.json()["cover"]
    wrong = await client.put(url, files={"other": ("x.png", picture())}, headers=auth)
    assert wrong.status_code == 422
    large = await client.put(url, content=b"\0" * (MAX_BYTES + 100_000), headers=auth)
    assert large.status_code == 413
    served = await client.get(f"/media/{form.json()['cover']}")
    assert served.headers["content-type"] == "image/webp"
    assert served.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert served.headers["x-content-type-options"] == "nosniff"
    assert Image.open(io.BytesIO(served.content)).format == "WEBP"
    await parts.get(Blobs).put("private.txt", b"x", "text/plain")
    for name in ("private.txt", "..%2f..%2fetc%2fpasswd", "a" * 300, "0" * 32 + ".webp", "%00.webp"):
        missing = await client.get(f"/media/{name}")
        assert missing.status_code == 404, name


async def test_blobs_in_a_folder(settings: Settings, tmp_path: object) -> None:
    blobs = Blobs(settings.model_copy(update={"blob_url": f"file://{tmp_path}/new/folder"}))
    assert await blobs.get("a.webp") is None
    await blobs.put("a.webp", b"one", "image/webp")
    await blobs.put("a.webp", b"two", "image/webp")
    assert await blobs.get("a.webp") == b"two"
    with pytest.raises(ValueError, match="blob_url"):
        Blobs(settings.model_copy(update={"blob_url": "ftp://x"}))
