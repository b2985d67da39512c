"""Files of a case: told by their bytes, limited, and only for who belongs to it."""

import pytest

from fondaco import cases
from fondaco.cases.files import MAX_BYTES, MAX_FILES, clean_name, sniffed
from fondaco.cases.model import BadFile, CaseNotNow
from fondaco.core.db import Database
from fondaco.core.problem import NotFound
from fondaco.core.web import Parts
from fondaco.integrations.blobs import Blobs
from fondaco.settings import Settings
from tests.cases.steps import Sale, make_sale

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 40


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0 rest", "image/jpeg"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"%PDF-1.7 rest", "application/pdf"),
        ("Wörter\r\n\tund mehr".encode(), "text/plain"),
        (b"<html><script>alert(1)</script>", "text/plain"),
    ],
)
def test_the_type_is_what_the_bytes_say(body: bytes, kind: str) -> None:
    assert sniffed(body) == kind


@pytest.mark.parametrize(
    "body", [b"", b"MZ\x90\x00", b"\x00text", b"PK\x03\x04zip", b"x" * (MAX_BYTES + 1), b"\xff\xfe"]
)
def test_what_cannot_be_taken_is_refused_in_words(body: bytes) -> None:
    with pytest.raises(BadFile) as told:
        sniffed(body)
    assert told.value.fields["file"].endswith(".")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\shot.png", "shot.png"),
        ('a"b\nc.png', "a_b_c.png"),
        ("  . ", "file"),
        ("x" * 300, "x" * 120),
    ],
)
def test_names_are_made_harmless(name: str, kept: str) -> None:
    assert clean_name(name) == kept


async def test_only_who_belongs_to_the_case_reads_its_files(
    db: Database, settings: Settings, parts: Parts, sale: Sale
) -> None:
    blobs = parts.get(Blobs)
    case_id = await sale.open()
    file_id = await cases.attach(db, blobs, sale.as_buyer, case_id, name="shot.png", body=PNG)
    for viewer, staff in ((sale.buyer, False), (sale.shop.owner, False), (sale.support, True)):
        found = await cases.read_file(db, blobs, viewer, file_id, staff=staff)
        assert (found.name, found.media_type, found.body) == ("shot.png", "image/png", PNG)
    other = await make_sale(db, settings)
    for viewer, staff in (
        (other.buyer, False),
        (other.shop.owner, False),
        (sale.support, False),
        (other.buyer, True),
    ):
        with pytest.raises(NotFound):
            await cases.read_file(db, blobs, viewer, file_id, staff=staff)


async def test_a_party_may_add_ten(db: Database, parts: Parts, sale: Sale) -> None:
    case_id = await sale.open()
    for n in range(MAX_FILES):
        await cases.attach(db, parts.get(Blobs), sale.as_buyer, case_id, name=f"{n}.txt", body=b"text")
    with pytest.raises(CaseNotNow):
        await cases.attach(db, parts.get(Blobs), sale.as_buyer, case_id, name="one more", body=b"text")
    await cases.attach(db, parts.get(Blobs), sale.as_seller, case_id, name="mine.txt", body=b"text")
    assert len((await cases.read_case(db, sale.as_seller, case_id)).files) == MAX_FILES + 1
