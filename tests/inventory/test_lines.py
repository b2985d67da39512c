"""Reading uploads: encodings, tables, formats, masks. Pure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fondaco.core.problem import Invalid
from fondaco.inventory.actions import csv_cell
from fondaco.inventory.lines import (
    MAX_BYTES,
    MAX_LINES,
    decode,
    looks_like_a_key,
    mask,
    pattern,
    read_lines,
)

KEYS = ["AAAA-1111", "BBBB-2222", "ÇÇÇÇ-3333"]
NUMBERED = list(enumerate(KEYS, 1))


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_usual_encoding_and_line_end_reads_the_same(encoding: str, end: str) -> None:
    assert read_lines(end.join(KEYS).encode(encoding), "paste") == NUMBERED


def test_a_big_endian_mark_is_understood() -> None:
    assert decode(b"\xfe\xff" + "AAAA".encode("utf-16-be")) == "AAAA"


def test_empty_lines_are_left_out_and_numbers_are_those_of_the_file() -> None:
    assert read_lines(b"\n  A-1 \n\n\t\nB-2\n\n", "paste") == [(2, "A-1"), (5, "B-2")]


@pytest.mark.parametrize("raw", [b"", b"\n \n\t\r\n", b"\xef\xbb\xbf\n", b"key\n", b"key,price\n,\n"])
def test_nothing_in_it_is_said(raw: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        read_lines(raw, "csv")
    assert refused.value.fields == {"keys": "There is no key in it."}


def test_too_much_is_said() -> None:
    assert len(read_lines(b"AAAA\n" * MAX_LINES, "paste")) == MAX_LINES
    with pytest.raises(Invalid, match="cannot be used"):
        read_lines(b"AAAA\n" * (MAX_LINES + 1), "paste")
    with pytest.raises(Invalid, match="cannot be used"):
        read_lines(b"A" * (MAX_BYTES + 1), "paste")


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("key\nA-1\nB-2\n", [(2, "A-1"), (3, "B-2")]),
        ("A-1\nB-2\n", [(1, "A-1"), (2, "B-2")]),
        ("price;Serial ;note\n1;A-1;x\n2;B-2;y;z\n3\n", [(2, "A-1"), (3, "B-2")]),
        ("id\tProduct_Key\n1\tA-1\n", [(2, "A-1")]),
        ("A-1,9.99,note\nB-2,1,\n", [(1, "A-1"), (2, "B-2")]),
        ("x|CODE\n1|A-1\n", [(2, "A-1")]),
        ('\n\nkey,note\nA-1,"two\nlines"\nB-2,x\n', [(4, "A-1"), (6, "B-2")]),
        ('key\n"A,1"\n"B""2"\n', [(2, "A,1"), (3, 'B"2')]),
    ],
)
def test_tables_give_the_key_column_or_the_first(table: str, expected: list[tuple[int, str]]) -> None:
    assert read_lines(table.encode(), "csv") == expected


def test_a_quote_that_never_closes_is_said_with_its_line() -> None:
    table = 'key,note\nA-1,x\nB-2,"' + "y\n" * 100_000
    with pytest.raises(Invalid) as refused:
        read_lines(table.encode(), "csv")
    assert "line 3" in refused.value.fields["keys"]


@pytest.mark.parametrize(
    ("key_format", "good", "bad"),
    [
        (
            "AAAAA-99999",
            ["AB1cd-01234"],
            ["AB1cd-0123x", "AB1cd-012345", "AB1cd01234", "ÄB1cd-01234", "AB1cd-٠١٢٣٤"],
        ),
        ("XX 99-A", ["a1 00-z"], ["a1 00-", "a1 00-zz", "a1  00-z", "a1 00-z\n"]),
        (
            "",
            ["abcd", "x" * 512, "ключ-1", "with space"],
            ["abc", "x" * 513, "ab\x00cd", "ab\u202ecd", "a\ufffdbcd"],
        ),
    ],
)
def test_formats(key_format: str, good: list[str], bad: list[str]) -> None:
    expected = pattern(key_format)
    assert all(looks_like_a_key(k, expected) for k in good)
    assert not any(looks_like_a_key(k, expected) for k in bad)


@given(st.text(max_size=600))
def test_a_mask_shows_at_most_four_signs_and_a_quarter(key: str) -> None:
    shown = mask(key)
    assert shown.endswith("•••••") and shown.isprintable()
    assert len(shown) - 5 <= min(4, len(key) // 4)


@given(st.binary(max_size=400), st.sampled_from(["paste", "csv", "api"]))
def test_no_bytes_break_the_reader(raw: bytes, source: str) -> None:
    found: list[tuple[int, str]] = []
    faults: dict[str, str] = {}
    try:
        found = read_lines(raw, source)
    except Invalid as refused:
        faults = refused.fields
    assert bool(found) != bool(faults) and set(faults) <= {"keys"}
    assert all(key == key.strip() and key for _, key in found)
    numbers = [n for n, _ in found]
    assert numbers == sorted(set(numbers))


@given(st.text(min_size=1, max_size=30))
def test_no_cell_is_a_formula(text: str) -> None:
    cell = csv_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell in (text, f"'{text}")
