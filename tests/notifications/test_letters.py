"""The templates: every one renders, none is edited in silence, none can leave a hole."""

from importlib.resources import files

import jinja2
import pytest

from fondaco.notifications.letters import LINK, TEMPLATES, preview, render, template_hash, with_link
from fondaco.settings import Settings


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_a_template_in_use_is_the_one_that_was_checked(name: str) -> None:
    """Edited on purpose and never sent: put the new hash in. Sent before: make a new version."""
    assert TEMPLATES[name].sha256 == template_hash(name)


def test_the_list_and_the_folder_agree() -> None:
    folder = files("fondaco.notifications").joinpath("templates")
    assert {p.name.split(".")[0] for p in folder.iterdir()} == set(TEMPLATES)


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_each_can_be_previewed(name: str, settings: Settings) -> None:
    text = preview(name, settings)
    assert text.subject
    assert len(text.subject) < 100
    assert "<style" not in text.html
    assert "<!doctype html>" in text.html.lower()
    assert settings.marketplace_name in text.html + text.plain
    assert "<" not in text.plain
    assert "\n\n\n" not in text.plain
    assert not {"{{", "{%", "None", "Undefined"} & set(text.html.split())
    assert "src=" not in text.html  # nothing is fetched from anywhere


def test_a_missing_value_is_an_error(settings: Settings) -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("order_delivered", settings, {})


def test_the_link_goes_where_its_mark_was(settings: Settings) -> None:
    text = preview("reset_password", settings)
    html, plain = with_link(text.html, text.plain, "https://shop.example/reset?token=a&b")
    assert LINK not in html + plain
    assert "https://shop.example/reset?token=a&amp;b" in html
    assert "https://shop.example/reset?token=a&b" in plain
