"""Covers, charts, list queries, rich text, states, icons, static files: the pure parts."""

# ruff: noqa: E501 - one attack a line

import gzip
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from babel import Locale
from babel.numbers import format_currency, get_currency_precision
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from fondaco.core.money import Money, exponent
from fondaco.pages import charts, covers, states, static
from fondaco.pages.charts import Series
from fondaco.pages.icons import UnknownIcon, icon
from fondaco.pages.listquery import ListQuery, ListSpec
from fondaco.pages.motifs import MOTIFS
from fondaco.pages.render import format_money, plural, relative_words, time_tag
from fondaco.pages.richtext import plain_text, rich_text
from tests.pages.design_samples import TITLES

HOSTILE = [
    "", " ", "\x00\x01\x02", "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "]]>&amp;&lt;",
    "a" * 5000, "漢字のとても長いゲームのタイトルです完全版", "مرحبا بالعالم في السوق", "\u202eevil\u202c", "👩‍👩‍👧‍👦🎮🎁",
    "Z" + "\u0301" * 300 + "algo", "\ud800 lone", "\ufffe\uffff", "line\nbreak\ttab", "{{ 7*7 }} {% raw %}", "'\"`",
]  # fmt: skip
NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)


class TestCovers:
    @pytest.mark.parametrize("title", HOSTILE)
    @pytest.mark.parametrize("wide", [False, True])
    def test_any_title_gives_well_formed_small_safe_svg(self, title: str, wide: bool) -> None:
        svg = covers.cover(title, title, title, wide=wide)
        root = ET.fromstring(svg)
        tags = {element.tag.rsplit("}", 1)[-1] for element in root.iter()}
        assert tags <= {"svg", "rect", "path", "circle", "text", "g"}
        assert not any(
            name.startswith("on") or name in ("style", "href") for e in root.iter() for name in e.attrib
        )
        assert len(svg.encode()) < 6_000

    @given(st.text(max_size=80), st.text(max_size=20))
    def test_whatever_text_is_drawn(self, title: str, platform: str) -> None:
        ET.fromstring(covers.cover(title, "Game key", platform))
        ET.fromstring(covers.avatar(title))

    def test_the_same_words_give_the_same_picture_and_others_another(self) -> None:
        covers.cover.cache_clear()
        first = [covers.cover(*words) for words in TITLES]
        covers.cover.cache_clear()
        assert [covers.cover(*words) for words in TITLES] == first
        assert len(set(first)) == len(TITLES)

    def test_a_catalogue_shows_every_motif_and_stays_small(self) -> None:
        sizes = [len(covers.cover(f"Title {n}", "", "Steam").encode()) for n in range(300)]
        assert max(sizes) < 6_000
        assert len(MOTIFS) >= 10

    def test_a_long_title_is_cut_with_an_ellipsis(self) -> None:
        texts = [e.text for e in ET.fromstring(covers.cover("word " * 60)).iter() if e.tag.endswith("text")]
        assert any(text is not None and text.endswith("…") for text in texts)

    def test_words_of_a_title_are_escaped(self) -> None:
        assert "<script" not in covers.cover("<script>x</script>")
        assert "<b" not in covers.avatar("<b>bold")


class TestCharts:
    SALES = (Series("Sales", [0, 120, 90]), Series("<b>Fees</b>", [10, 12, -9]))

    @pytest.mark.parametrize("draw", [charts.bars, charts.lines])
    def test_plots_are_well_formed_named_and_free_of_inline_style(self, draw: object) -> None:
        svg = draw(self.SALES, ["a", "b&c", "d"], "Sales", "By day", currency="EUR")  # type: ignore[operator]
        root = ET.fromstring(svg)
        assert root.get("role") == "img"
        assert root.find("title").text == "Sales"  # type: ignore[union-attr]
        assert not re.search(r"style=|<style|<script|[^-]\d\.\d", re.sub(r">[^<]*<", "><", svg))
        assert "€1.20" in svg and "€-0.09" not in svg

    def test_a_bar_is_as_tall_as_its_value(self) -> None:
        root = ET.fromstring(charts.bars([Series("n", [50, 100])], ["a", "b"], "t"))
        low, high = (int(e.attrib["height"]) for e in root.iter() if e.tag == "rect")
        assert abs(high - 2 * low) <= 1 and high > 100

    def test_empty_and_all_zero_series_still_draw(self) -> None:
        ET.fromstring(charts.bars([], [], "none"))
        ET.fromstring(charts.lines([Series("n", [])], [], "none"))
        ET.fromstring(charts.lines([Series("n", [0, 0])], ["a", "b"], "flat"))
        ET.fromstring(charts.donut([("a", 0)], "nothing"))

    def test_lengths_that_differ_and_negative_shares_are_refused(self) -> None:
        with pytest.raises(ValueError, match="one value per label"):
            charts.bars([Series("n", [1])], ["a", "b"], "t")
        with pytest.raises(ValueError, match="negative"):
            charts.donut([("a", -1)], "t")

    @given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
    def test_ticks_enclose_every_value_evenly(self, one: int, other: int) -> None:
        low, high = min(one, other, 0), max(one, other, 0)
        ticks = charts._ticks(low, high)
        assert ticks[0] <= low and ticks[-1] >= high and 0 in ticks
        assert len({b - a for a, b in pairwise(ticks)}) == 1
        assert 3 <= len(ticks) <= 8


SPEC = ListSpec(
    "/browse", facets=("platform", "region"), sorts={"new": "New", "price": "Price"}, views=("cards", "table")
)
PAIRS = st.lists(
    st.tuples(st.sampled_from(["q", "platform", "region", "sort", "size", "view", "after", "before", "x"]), st.text(max_size=30))
)  # fmt: skip


class TestListQuery:
    def test_reads_what_it_knows_and_drops_the_rest(self) -> None:
        query = ListQuery.parse(
            SPEC,
            [
                ("q", " a "),
                ("platform", "steam"),
                ("platform", "gog"),
                ("sort", "x"),
                ("size", "9"),
                ("evil", "1"),
            ],
        )
        assert (query.q, query.values("platform"), query.sort, query.size) == (
            "a",
            ("steam", "gog"),
            "new",
            24,
        )
        assert query.url() == "/browse?q=a&platform=steam&platform=gog"

    @given(PAIRS)
    def test_a_query_and_its_url_are_one(self, pairs: list[tuple[str, str]]) -> None:
        query = ListQuery.parse(SPEC, pairs)
        assert ListQuery.parse(SPEC, query.pairs()) == query

    def test_defaults_leave_the_url_clean(self) -> None:
        assert ListQuery.parse(SPEC, []).url() == "/browse"

    def test_filters_go_on_and_off_and_lead_to_the_first_page(self) -> None:
        query = ListQuery.parse(SPEC, [("after", "c1")])
        on = query.toggled("region", "eu")
        assert on.url() == "/browse?region=eu"
        assert on.toggled("region", "eu").url() == "/browse"
        assert on.only("region", "us").values("region") == ("us",)
        assert on.only("region", None).url() == "/browse"

    def test_paging_keeps_filters_and_a_new_sort_starts_over(self) -> None:
        query = ListQuery.parse(SPEC, [("q", "a")]).next_page("c1")
        assert query.url() == "/browse?q=a&after=c1"
        assert query.previous_page("c0").url() == "/browse?q=a&before=c0"
        assert query.with_(sort="price").url() == "/browse?q=a&sort=price"
        assert query.with_(view="table").after == "c1"

    def test_clearing_keeps_sort_and_size(self) -> None:
        query = ListQuery.parse(SPEC, [("q", "a"), ("region", "eu"), ("sort", "price"), ("size", "48")])
        assert query.filtered
        assert query.cleared().url() == "/browse?sort=price&size=48"
        assert not query.cleared().filtered

    def test_hidden_fields_leave_out_what_the_form_sets_and_the_cursor(self) -> None:
        query = ListQuery.parse(SPEC, [("q", "a"), ("region", "eu"), ("after", "c")])
        assert query.hidden("q") == [("region", "eu")]

    def test_a_flood_of_values_is_bounded(self) -> None:
        query = ListQuery.parse(SPEC, [("region", str(n)) for n in range(500)] + [("q", "x" * 9999)])
        assert len(query.chosen) == 20
        assert len(query.q) == 200


ATTACKS = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))", "[x](data:text/html;base64,PHNjcmlwdD4=)", "[x](vbscript:x)", "![x](http://h/p.png)",
    "<a href='javascript:x'>x</a>", "<svg/onload=alert(1)>", "<iframe src=//h></iframe>", "[x](<javascript:x>)",
    "<style>*{display:none}</style>", "`<b>`<b onclick=x>", "[a]: javascript:x\n[a]", "<javascript:alert(1)>",
    "[x](&#106;avascript:alert(1))", "<math><mi//xlink:href='data:x,<script>'>", "<!-- --><p style=x>", "\x00<script\x00>",
    '[x](http://h "onmouseover=alert(1)")', "<form action=//h><button>", "<base href=//h>", "<meta http-equiv=refresh>",
]  # fmt: skip


class TestRichText:
    @pytest.mark.parametrize("text", ATTACKS)
    def test_nothing_active_survives(self, text: str) -> None:
        html = str(rich_text(text))
        tags = re.findall(r"<\s*([a-zA-Z0-9]+)([^>]*)>", html)
        for name, attributes in tags:
            assert name in {"p", "a", "code", "h3", "h4", "em", "strong", "pre", "br"}, html
            assert not re.search(r"\son\w+\s*=(?![^\"]*\")|style\s*=", attributes), html
            for href in re.findall(r'href="([^"]*)"', attributes):
                assert href.startswith(("http:", "https:", "mailto:")), html

    def test_links_are_marked_as_written_by_users(self) -> None:
        assert 'rel="nofollow noopener ugc"' in rich_text("[x](https://h.example/)")

    def test_what_sellers_write_comes_out(self) -> None:
        html = rich_text(
            "# Top\n\n**bold** _soft_\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n~~old~~"
        )
        assert isinstance(html, Markup)
        for part in (
            "<h3>Top</h3>",
            "<strong>bold</strong>",
            "<em>soft</em>",
            "<li>one</li>",
            "<td>1</td>",
            "<s>old</s>",
        ):
            assert part in html

    def test_plain_text_is_one_line_cut_between_words(self) -> None:
        text = "# Title\n\nSome **bold** text with [a link](https://h.example/) and\nmore."
        assert plain_text(text, 200) == "Title Some bold text with a link and more."
        short = plain_text(text, 22)
        assert short == "Title Some bold text…"
        assert len(plain_text("x" * 500, 40)) == 40

    @given(st.text(max_size=300), st.integers(10, 60))
    def test_plain_text_keeps_its_limit(self, text: str, limit: int) -> None:
        cut = plain_text(text, limit)
        assert len(cut) <= limit
        assert "\n" not in cut


class TestStates:
    NAMED = (
        "PENDING_PAYMENT", "PAID", "DELIVERED", "COMPLETED", "EXPIRED", "CANCELLED", "REFUNDED",
        "NEEDS_ATTENTION", "HELD", "RELEASED", "AVAILABLE", "RESERVED", "SOLD", "CONSUMED", "QUARANTINED",
        "FULFILLING", "PARTIALLY_DELIVERED", "DEAD",
    )  # fmt: skip

    @pytest.mark.parametrize("state", NAMED)
    def test_every_state_has_words_for_customers(self, state: str) -> None:
        words = states.state_mark(state).words
        assert words and "_" not in words and not words.isupper()

    def test_a_machine_may_say_it_its_own_way(self) -> None:
        assert states.state_mark("HELD", "escrow").words == "In buyer protection"
        assert states.state_mark("HELD", "payout").words == "On hold"

    def test_an_unknown_state_still_reads_well(self) -> None:
        assert states.state_mark("SOME_NEW_STATE") == ("quiet", "Some new state")


class TestWords:
    def test_money_reads_as_people_write_it(self) -> None:
        assert format_money(2499, "EUR") == "€24.99"
        assert format_money(-500, "USD") == "\N{MINUS SIGN}$5.00"
        assert format_money(500, "USD", signed=True) == "+$5.00"
        assert format_money(1200, "JPY") == "¥1,200"
        assert format_money(10**15, "EUR") == "€10,000,000,000,000.00"
        assert Money(2499, "EUR").decimal().as_tuple().exponent == -2

    def test_money_is_written_as_babel_writes_it_wherever_both_count_the_same_digits(self) -> None:
        compared = 0
        for code in Locale("en").currencies:
            if get_currency_precision(code) != exponent(code):
                continue
            compared += 1
            for minor in (0, 1, 99, 100, 123_456, 10**15 - 1):
                amount = Money(minor, code).decimal()
                assert format_money(minor, code) == format_currency(amount, code, locale="en")
        assert compared > 200

    def test_no_digit_of_an_amount_is_rounded_away(self) -> None:
        assert format_money(199, "ALL") == "ALL1.99"  # Babel shows no cents of it

    @pytest.mark.parametrize(
        ("away", "words"),
        [
            (timedelta(seconds=-3), "just now"), (timedelta(minutes=-3), "3 minutes ago"),
            (timedelta(hours=2), "in 2 hours"), (timedelta(days=-30), "12 Feb 2026"),
        ],
    )  # fmt: skip
    def test_times_near_now_are_relative_and_far_ones_a_day(self, away: timedelta, words: str) -> None:
        assert relative_words(NOW + away, NOW) == words

    def test_a_time_carries_the_exact_moment(self) -> None:
        tag = time_tag(NOW, NOW)
        assert 'datetime="2026-03-14T09:26:53Z"' in tag and "14 Mar 2026, 09:26:53 UTC" in tag

    def test_a_time_without_a_zone_is_refused(self) -> None:
        with pytest.raises(ValueError, match="zone"):
            time_tag(NOW.replace(tzinfo=None), NOW)

    def test_plurals(self) -> None:
        assert (plural(1, "key"), plural(0, "key"), plural(1200, "entry", "entries")) == (
            "1 key",
            "0 keys",
            "1,200 entries",
        )


class TestIcons:
    def test_hidden_by_default_and_named_on_demand(self) -> None:
        assert 'aria-hidden="true"' in icon("wallet")
        assert 'aria-label="a &amp; b"' in icon("wallet", 18, "a & b")
        ET.fromstring(icon("key-round"))

    def test_an_unknown_icon_is_an_error(self) -> None:
        with pytest.raises(UnknownIcon):
            icon("no-such-icon")


class TestStatic:
    @pytest.mark.parametrize("name", static.NAMES)
    def test_every_file_is_served_for_ever_under_its_hash(self, name: str) -> None:
        path = static.asset_url(name).removeprefix("/static/")
        status, headers, body = static.static_response(path)
        assert status == 200 and body
        assert "immutable" in headers["Cache-Control"]
        _, zipped_headers, zipped = static.static_response(path, "br, gzip")
        assert zipped_headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(zipped) == body

    @pytest.mark.parametrize(
        "path", ["", "x", "x/../render.py", "abc/..%2f", "0/css/base.css", "/etc/passwd", "0/app.css/x"]
    )
    def test_other_paths_are_not_found(self, path: str) -> None:
        assert static.static_response(path)[0] == 404

    def test_an_old_hash_gets_the_file_but_briefly(self) -> None:
        status, headers, _ = static.static_response("0000/app.css")
        assert status == 200 and headers["Cache-Control"] == "public, max-age=60"

    def test_the_style_sheet_asks_nothing_from_outside(self) -> None:
        css = static.static_file("app.css").body.decode()
        assert "@display-bold@" not in css
        assert "@import" not in css
        assert all(url.startswith(("/static/", "data:")) for url in re.findall(r'url\("([^"]*)', css))
        assert css.index("@layer reset, tokens") < css.index("@layer tokens {")

    def test_a_first_page_stays_light(self) -> None:
        files = ("app.css", "app.js", "htmx.js", "display-bold.ttf", "favicon.svg")
        assert sum(len(static.static_file(name).body) for name in files) < 200_000
