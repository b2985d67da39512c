"""Every layout and macro renders strictly, and what comes out obeys the content policy."""

# ruff: noqa: E501 - templates on one line

import re
from html.parser import HTMLParser

import css_inline
import jinja2
import pytest

from fondaco.pages.render import Shell, environment, render_page
from tests.pages.design_samples import desk_shell, pages, shop_shell

VOID = {"meta", "link", "input", "br", "hr", "img"}


class Checker(HTMLParser):
    """Collects ids, references, forms and anything the content policy would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.refused: list[str] = []
        self.references: list[str] = []
        self.open: list[str] = []
        self.posts = 0
        self.tokens = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        for name in (
            "for",
            "aria-describedby",
            "aria-labelledby",
            "aria-controls",
            "popovertarget",
            "data-dialog",
            "data-copy",
        ):
            self.references += (given.get(name) or "").split()
        self.posts += tag == "form" and given.get("method") == "post"
        self.tokens += given.get("name") == "_csrf_token" and given.get("value") == "sample"
        if (
            any(n == "style" or n.startswith("on") for n in given)
            or tag == "style"
            or (tag == "script" and not given.get("src"))
        ):
            self.refused.append(f"{tag} {given}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    checker.close()
    return checker


@pytest.mark.parametrize("name", pages())
def test_pages_are_well_nested_and_obey_the_content_policy(name: str) -> None:
    found = checked(pages()[name])
    assert not found.open
    assert found.refused == []
    assert len(found.ids) == len(set(found.ids))


@pytest.mark.parametrize("name", pages())
def test_every_reference_leads_to_an_element(name: str) -> None:
    found = checked(pages()[name])
    assert set(found.references) <= set(found.ids)


@pytest.mark.parametrize("name", ["shop", "desk", "signin"])
def test_every_posting_form_carries_the_token(name: str) -> None:
    found = checked(pages()[name])
    assert found.posts and found.tokens == found.posts


def test_every_macro_is_shown_in_the_gallery_or_used_by_one_that_is() -> None:
    env = environment()
    templates = {n: env.loader.get_source(env, n)[0] for n in env.list_templates()}  # type: ignore[union-attr]
    everything = "\n".join(templates.values())
    for name, source in templates.items():
        for macro in re.findall(r"{%-? macro (\w+)\(", source):
            uses = len(re.findall(rf"\b{macro}\(", re.sub(r"{#.*?#}", "", everything, flags=re.DOTALL)))
            assert uses > 1, f"{macro} of {name} is never rendered"


def test_a_missing_value_is_an_error_not_a_blank() -> None:
    with pytest.raises(jinja2.UndefinedError):
        environment().from_string("{{ nothing_of_this_name }}").render()


def test_texts_are_escaped() -> None:
    out = environment().from_string("{{ words }}").render(words="<b>")
    assert out == "&lt;b&gt;"


def test_a_guest_sees_no_wallet_and_a_way_in() -> None:
    html = render_page(environment(), "layouts/storefront.html", shop_shell("auto", signed_in=False))
    assert 'href="/sign-in"' in html and "/wallet" not in html and "Sign out" not in html


def test_layouts_render_with_nothing_but_defaults() -> None:
    env = environment()
    for layout in ("storefront", "desk", "plain"):
        checked(render_page(env, f"layouts/{layout}.html", Shell()))


def test_the_theme_of_the_cookie_is_drawn_by_the_server() -> None:
    assert 'data-theme="dark"' in pages("dark")["shop"]


def test_a_desk_without_palette_loads_none() -> None:
    shell = desk_shell("auto")
    with_palette = render_page(environment(), "layouts/desk.html", shell)
    assert 'id="palette"' in with_palette
    assert 'id="palette"' not in render_page(environment(), "layouts/desk.html", shell, palette_url="")


def test_the_first_page_stays_under_its_weight() -> None:
    assert len(pages()["shop"].encode()) < 150_000


def test_mails_inline_their_style_and_ask_for_no_picture() -> None:
    env = environment()
    source = (  # a mail as a module would write it
        '{% extends "layouts/mail.html" %}{% block heading %}Your key{% endblock %}'
        '{% block content %}<p>{{ words }}</p>{% endblock %}{% block button %}<a class="button" href="#">Open</a>{% endblock %}'
    )
    html = env.from_string(source).render(
        subject="Your key", site_url="https://shop.example", words="<ready>"
    )
    mail = css_inline.inline(html)
    assert "background: #a83e20" in mail and "&lt;ready&gt;" in mail and "<img" not in mail
    plain = '{% extends "layouts/mail.txt" %}{% block content %}{{ words }}{% endblock %}'
    both = env.overlay(loader=jinja2.ChoiceLoader([jinja2.DictLoader({"ready.txt": plain}), env.loader]))
    text = both.get_template("ready.txt").render(site_url="https://shop.example", words="Ready: <a> & b")
    assert "Ready: <a> & b" in text
