"""Templates: one Jinja environment, strict, escaped, and callable without a web server.

Besides what a page passes, every template may use

- globals: `macros(name)` (what `{% import "macros/<name>.html" as … %}` gives, without what that costs in a
  template that extends another), `asset_url(name)`, `icon(name, size=18, label="")`,
  `cover(title, kind, …)`, `avatar(name)`, `format_money(minor, currency)`, `time_tag(moment)`,
  `date_words(day)`, `minute_words(moment)`, `chart_empty(series)`, `state_mark(state, machine=None)`,
  `rich_text(markdown)`, `plain_text(markdown, limit)`, `site_name`, and the fields of `Shell` with their
  defaults;
- filters: `number` (12345 -> 12,345), `plural` (`3|plural("key")` -> "3 keys").

What a page does not pass and is not listed here is an error (StrictUndefined), never a silent blank.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, Literal, cast

import jinja2
from babel.dates import format_date, format_datetime, format_timedelta
from markupsafe import Markup, escape

from fondaco.core import clock
from fondaco.core.counting import AtLeast
from fondaco.core.money import Money
from fondaco.pages import charts, covers
from fondaco.pages.icons import icon
from fondaco.pages.richtext import plain_text, rich_text
from fondaco.pages.states import state_mark
from fondaco.pages.static import asset_url

LOCALE = "en"
Theme = Literal["auto", "light", "dark"]


@dataclass(frozen=True, slots=True)
class Link:
    """A link in a menu: words, where, an icon's name, a number beside it, whether one is there now."""

    label: str
    href: str
    icon: str = ""
    count: int | None = None
    current: bool = False


@dataclass(frozen=True, slots=True)
class LinkGroup:
    """Links under one heading; a group may have none."""

    label: str
    links: Sequence[Link]


@dataclass(frozen=True, slots=True)
class Crumb:
    """One step of the way here; the last has no `href`."""

    label: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class Flash:
    """A message shown once on the next page; tone as in `fondaco.pages.states`."""

    tone: str
    text: str


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whoever is signed in, as far as headers show it."""

    name: str
    email: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class Shell:
    """What the layouts read around every page. Everything has a default, so a page may omit it.

    viewer: who is signed in, or None · wallet: their spendable balance · csrf_token: for forms of
    the layout · cart_count: units in the cart · nav: categories (storefront, a sequence of Link) or
    the sidebar (desk, a sequence of LinkGroup) · account: links of the account menu · footer: the
    storefront's footer, LinkGroups · flash: messages · crumbs: the way here · theme: from the cookie
    · search: what is in the header's search box · desk_name: "Seller desk", "Console" ·
    desk_home: where the sidebar's logo leads · palette_url: empty for no command palette.
    """

    viewer: Viewer | None = None
    wallet: Money | None = None
    csrf_token: str = ""
    cart_count: int = 0
    nav: Sequence[Link | LinkGroup] = ()
    account: Sequence[Link] = ()
    footer: Sequence[LinkGroup] = ()
    flash: Sequence[Flash] = ()
    crumbs: Sequence[Crumb] = ()
    theme: Theme = "auto"
    search: str = ""
    desk_name: str = ""
    desk_home: str = "/"
    palette_url: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


def environment(*, site_name: str = "fondaco", now: Callable[[], datetime] = clock.now) -> jinja2.Environment:
    """A new environment over this package's templates. `now` is the clock relative times use."""
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("fondaco.pages", "templates"),
        autoescape=jinja2.select_autoescape(
            enabled_extensions=(), disabled_extensions=("txt",), default_for_string=True, default=True
        ),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    shell = Shell()

    @cache
    def macros(name: str) -> Any:
        return env.get_template(f"macros/{name}.html").module

    def timed(moment: datetime) -> Markup:
        return time_tag(moment, now())

    names = cast(dict[str, Any], env.globals)
    names.update({f.name: getattr(shell, f.name) for f in fields(shell)})
    names.update(
        site_name=site_name,
        macros=macros,
        asset_url=asset_url,
        icon=icon,
        cover=covers.cover,
        avatar=covers.avatar,
        bars=charts.bars,
        lines=charts.lines,
        donut=charts.donut,
        format_money=format_money,
        state_mark=state_mark,
        rich_text=rich_text,
        plain_text=plain_text,
        date_words=date_words,
        minute_words=minute_words,
        chart_empty=charts.is_empty,
        time_tag=timed,
    )
    cast(dict[str, Any], env.filters).update(number=number, plural=plural)
    return env


def render_page(env: jinja2.Environment, template: str, shell: Shell, **context: Any) -> str:
    """The page as HTML: the shell's fields, then the page's own context (which wins)."""
    around = {f.name: getattr(shell, f.name) for f in fields(shell)}
    return env.get_template(template).render({**around, **shell.extra, **context})


def format_money(amount_minor: int, currency: str, signed: bool = False) -> str:
    """An amount in minor units as people write it: 2499 EUR -> "€24.99"; `signed` shows a plus."""
    return Money(amount_minor, currency).words(signed=signed)


def number(value: int) -> str:
    """12345 -> "12,345", and with a + when it is AtLeast so many."""
    return f"{int(value):,}" + ("+" if isinstance(value, AtLeast) else "")


def plural(count: int, one: str, many: str = "") -> str:
    """`3|plural("key")` -> "3 keys"; `many` for words that do not just take an s."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def date_words(moment: date | datetime) -> str:
    """The day, of a moment that in UTC, as "21 Nov 2026"."""
    day = _aware(moment).date() if isinstance(moment, datetime) else moment
    return format_date(day, "d MMM y", locale=LOCALE)


def minute_words(moment: datetime) -> str:
    """The minute in UTC, as "21 Nov 2026, 13:53 UTC"."""
    return format_datetime(_aware(moment), "d MMM y, HH:mm", locale=LOCALE) + " UTC"


def moment_words(moment: datetime) -> str:
    """The moment in UTC, exact, as "21 Nov 2026, 13:53:07 UTC"."""
    return format_datetime(_aware(moment), "d MMM y, HH:mm:ss", locale=LOCALE) + " UTC"


def relative_words(moment: datetime, now: datetime) -> str:
    """ "3 minutes ago", "in 2 days"; beyond a week the day itself."""
    distance = _aware(moment) - now
    if abs(distance.total_seconds()) < 45:
        return "just now"
    if abs(distance.days) >= 7:
        return date_words(moment)
    return format_timedelta(distance, add_direction=True, locale=LOCALE)


def time_tag(moment: datetime, now: datetime) -> Markup:
    """A `<time>` element: relative words, the exact moment as its title, kept fresh by app.js."""
    exact = _aware(moment)
    return Markup('<time datetime="{}" title="{}" data-relative>{}</time>').format(
        exact.isoformat(timespec="seconds").replace("+00:00", "Z"),
        escape(moment_words(exact)),
        relative_words(exact, now),
    )


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time without a zone cannot be shown")
    return moment.astimezone(UTC)
