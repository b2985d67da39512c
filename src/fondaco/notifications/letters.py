"""The mails' texts: versioned templates, filled in and made ready to send.

A template that was ever sent is never edited: a new text is a new version beside it. `TEMPLATES` holds
the version in use and the SHA-256 of its three files, so that an edit shows.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import css_inline
import jinja2
from babel.dates import format_datetime
from babel.numbers import format_currency, format_decimal

from fondaco.core.money import Money
from fondaco.settings import Settings

LOCALE = "en"
LINK = "https://link.invalid/opened-when-sent"  # stands for the sealed link in stored mails
_PARTS = ("subject.txt", "html", "txt")


@dataclass(frozen=True, slots=True)
class Template:
    """One mail's text: its version in use, the hash of its files, and values to show it with.

    `link` names the purpose of the link it carries ('verify', 'reset'), if any.
    """

    version: int
    sha256: str
    sample: Mapping[str, Any] = field(default_factory=dict[str, Any])
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """A filled-in template."""

    template: str
    version: int
    subject: str
    html: str
    plain: str


_LINES = [
    {
        "quantity": 2,
        "title": "Northern Lights",
        "platform": "Steam",
        "region": "EU",
        "seller": "Lagoon Games",
        "total": 3998,
        "currency": "EUR",
    }
]
_SUM = {"number": "ORD-7K3Q-9XMA-2D4T", "total": 3998, "currency": "EUR", "lines": _LINES}
_SOME_ID = "01930000-0000-7000-8000-000000000000"
_IMPORT = {
    "title": "Northern Lights",
    "batch_id": _SOME_ID,
    "imported": 1200,
    "malformed": 3,
    "repeated": 2,
    "known_elsewhere": 0,
    "failure": "The file is neither text nor CSV.",
}
_PAID = {"amount": 2500, "currency": "EUR", "at": "21 Nov 2026, 13:53 UTC", "reason": "Sold out meanwhile"}

_GIVEN_BACK = {
    "order_id": _SOME_ID,
    "report_id": _SOME_ID,
    "number": "ORD-7K3Q-9XMA-2D4T",
    "title": "Northern Lights",
    "store": "Lagoon Games",
    "amount": 1999,
    "currency": "EUR",
    "reason": "The key does not work",
    "to_wallet": True,
    "taken_back": 1,
    "owed": 0,
    "debt": 0,
    "until": "24 Nov 2026, 13:53 UTC",
    "outcome": "replaced",
}

_APPROVAL = {
    "approval_id": _SOME_ID,
    "words": "Refund 80.00 EUR of ORD-7K3Q-9XMA-2D4T to the buyer's wallet.",
    "reason": "The key was for another region",
    "asker": "support@example.test",
    "until": "28 Nov 2026, 13:53 UTC",
    "approved": True,
    "note": "",
}

_WRONG = "the balance says 1 after 2 entries, the entries say 2 after 2"

_CASE = {
    "number": "CAS-7K3Q-9XMA-2D4T",
    "order_number": "ORD-7K3Q-9XMA-2D4T",
    "title": "Northern Lights",
    "heading": "Support asks you for an answer",
    "words": "Without an answer the case is lost.",
    "until": "24 Nov 2026, 13:53 UTC",
    "path": f"/seller/cases/{_SOME_ID}",
    "side": "seller",
}

_CHARGEBACK = {
    "heading": "A payment for your goods is disputed",
    "words": ["Your money is untouched, however the bank decides.", "Add something until 24 Nov 2026."],
    "path": f"/seller/chargebacks/{_SOME_ID}",
    "because": "you look after the orders of a store",
}
_CREDIT = {
    "heading": "€4.00 are overdue",
    "words": ["You bought GRP-7K3Q-9XMA-2D4T on credit.", "Put it into your wallet."],
    "path": "/wallet",
}
_BOOKS = {
    "new": 1,
    "open": 3,
    "breaks": [{"words": "stripe_fee txn_3Pq", "amount": -250, "currency": "EUR"}],
    "why": "",
}
_ADJUSTED = {
    "given": False,
    "forfeited": False,
    "amount": 1500,
    "currency": "EUR",
    "why": "Paid to you twice by mistake",
    "store": "Lagoon Games",
}
_PAYOUT = {
    "store": "Lagoon Games",
    "payout_id": _SOME_ID,
    "amount": 125000,
    "currency": "EUR",
    "daily": True,
    "lines": [{"number": "ORD-7K3Q-9XMA-2D4T", "title": "Northern Lights", "amount": 3598}],
    "more": 41,
    "heading": "A payout failed",
    "because": "Your payout account may not receive money yet.",
    "where": "The money is in your balance again.",
    "reasons": [("Your payout account is not complete yet.", "Answer what is still asked for.")],
}
TEMPLATES: dict[str, Template] = {
    "account_exists": Template(1, "9f269384d291878bdd612ba87543ad2681ac2e035d06dd0181388bff32d98536"),
    "bad_key_answered": Template(
        1, "bbb035feb91a48bfa98a16bde70b0f41b8952289e9b105627d989e04899bb420", _GIVEN_BACK
    ),
    "bad_key_reported": Template(
        1, "3d2b06dbe248baf65c36f22c3484d66968801187d1169c43938e6a0af2ad8e5e", _GIVEN_BACK
    ),
    "line_refunded": Template(
        2, "bfcc80a0801747a7d3fd173a212049a19d43fff97e43ab03dddbb3dd82bfa4c1", _GIVEN_BACK
    ),
    "sale_refunded": Template(
        1, "11e19ee19a9873a8587ccbfd5a2082a43e53c2f6ad79bf60e6eba669f75d9ae3", _GIVEN_BACK
    ),
    "money_adjusted": Template(
        1, "cdd6d3787b06f6ead5197134841cf9140912882dbe586d2fc9af0b5f4e16ee1e", _ADJUSTED
    ),
    "approval_asked": Template(
        1, "55b65e576d328b98a9000d02907b01654f2fada56410f96e4f794fb9dd1d11e9", _APPROVAL
    ),
    "approval_decided": Template(
        1, "ea922ce148aa98de46c144c4627f6eb88a9f3f261cd189e7c21c8484d9104aab", _APPROVAL
    ),
    "books_differ": Template(1, "85ce6459706407ade7474894d234bc0331483d99f81f9a0a6b9dcb8674a54dd0", _BOOKS),
    "case_turn": Template(1, "45618ad55e6ec70b1670f0c40245ab5e8daa77a013ff7d7e74e570fd31ba6897", _CASE),
    "chargeback_turn": Template(
        1, "9e60af724ed1dd62932f01d2589c30e72f46df6bc502c072cfd558810395aaa5", _CHARGEBACK
    ),
    "credit_turn": Template(1, "536aa05243ae8edde17a46a49406788d3e30d6bc61aba8726c140149033882d1", _CREDIT),
    "checks_failed": Template(
        1,
        "cb4def302f17fc478c43880615641910d77a00c7d0b31c93cffa7ced883f93fc",
        {"faults": [{"name": "I03", "where": "account 17 slot 0", "words": _WRONG}], "count": 3},
    ),
    "checks_well": Template(
        1, "4a7e27cd5c2b6011f2e8925e2817adac991d9ecd924e19fa1e5c13c2630510af", {"count": 3}
    ),
    "import_closed": Template(1, "f26f9c230474b2ced189e78ea65624a7775ff5bb1548f4d142242d2c15be381a", _IMPORT),
    "import_failed": Template(1, "c87a5e9baf9de57ecb0f1bb19f7eee47ed3c325ce098edf93e5a0339ef3ae50c", _IMPORT),
    "new_order": Template(
        1,
        "66c4a7d4a13e552312033eb3974f5c1aed06dd4ad0bfd35bce2b7018ddaaf2ee",
        {**_SUM, "order_id": _SOME_ID, "store": "Lagoon Games"},
    ),
    "order_delivered": Template(
        2,
        "3a384f37f054c403c8aca00ee192ad68d0c189b5d18d641d69660663437f087a",
        {**_SUM, "group_id": _SOME_ID, "paid_with": "by card", "protection_days": 3},
    ),
    "order_delivered_direct": Template(
        1,
        "39efae7260f0aa0813218bc1e64e187519b3790275132a39afa00fc64bf6e22e",
        {**_SUM, "group_id": _SOME_ID, "paid_with": "by card", "protection_days": 3},
    ),
    "order_expired": Template(
        2, "c2d3e90acf25b39eb5c99020e39325027c7a87e314daf4fd8a647785e00db5f3", {**_SUM, "group_id": _SOME_ID}
    ),
    "password_changed": Template(
        1,
        "87eefbdb0b6e76bcd7257cf1b387895a49569b71c8cc443f6770648ac44985f5",
        {"at": "21 Nov 2026, 13:53 UTC"},
    ),
    "payout_failed": Template(1, "621dac40d2351d2020cbe61109f0441ad474f8553dbbd49e12cea145bcbb4664", _PAYOUT),
    "payout_sent": Template(2, "7a41f11ac4a5e5f98276ddad30da129287e1ab62928e38a219def110d3be5116", _PAYOUT),
    "payout_waits": Template(1, "c706a08da7ebbd42a0d74e0b3b3e138fb99f159454a8ab2d6e769193e52de20a", _PAYOUT),
    "refund_succeeded": Template(
        1, "9e8d6444b97e5fff7ac570932585b40a175c3cf58ff6b88c86a854c15e9498dc", _PAID
    ),
    "reset_password": Template(
        1, "7c312c8f768904c9df13c5301fa5616ecd6a0d78f04b177c7c6a6d2783416068", {"link": LINK}, "reset"
    ),
    "standing_changed": Template(
        1,
        "586570d34903ad6242bec63ff085ff9030ef64bd805997c919efbbc2423dda00",
        {
            "heading": "Your standing has changed",
            "words": "Your standing was normal and is now: at risk.",
            "note": "",
            "reasons": ["A card payment was disputed at the bank"],
            "forbids": ["You can buy 5 items in 24 hours at most."],
            "way_back": "If nothing new happens, it gets better on 14 Mar 2027. You can appeal on your page.",
            "path": "/account/standing",
        },
    ),
    "statement_ready": Template(
        1,
        "431c923d27f8f0f1078e7bb460acdf05d793a373fc60a2848534982ed16ef020",
        {
            "store": "Lagoon Games",
            "paper_id": _SOME_ID,
            "month": "October 2026",
            "number": "STM-2026-000012",
            "opening": 12000,
            "closing": 48350,
            "entries": 37,
            "currency": "EUR",
        },
    ),
    "top_up_received": Template(1, "81cb094a85839ad0460940fed077e2a895d1ee9e8da3a09f0ff33e04603a1b88", _PAID),
    "verify_address": Template(
        1, "d0edb50dfc7474e5b5907632cadf9e0277d0400fc740df9f951a18a8af17f9fc", {"link": LINK}, "verify"
    ),
}


def template_hash(name: str) -> str:
    """SHA-256 over the three files of a template's version in use."""
    place = files("fondaco.notifications").joinpath("templates")
    version = TEMPLATES[name].version
    found = b"\0".join(place.joinpath(f"{name}.v{version}.{part}").read_bytes() for part in _PARTS)
    return hashlib.sha256(found).hexdigest()


def render(name: str, settings: Settings, values: Mapping[str, Any]) -> Text:
    """The mail with these values; the style sheet is folded into its elements.

    A value that is missing is an error, never a blank.
    """
    template = TEMPLATES[name]
    context = {
        "site_name": settings.marketplace_name,
        "site_url": settings.base_url,
        "support_email": settings.support_email,
        **values,
    }
    stem = f"{name}.v{template.version}"
    plain = _environment(html=False)
    subject = " ".join(plain.get_template(f"{stem}.subject.txt").render(context).split())
    body = plain.get_template(f"{stem}.txt").render({**context, "subject": subject})
    html = _environment(html=True).get_template(f"{stem}.html").render({**context, "subject": subject})
    return Text(name, template.version, subject, css_inline.inline(html), _tidy(body))


def preview(name: str, settings: Settings) -> Text:
    """The mail with made-up values; KeyError for an unknown name."""
    return render(name, settings, TEMPLATES[name].sample)


def with_link(html: str, plain: str, link: str) -> tuple[str, str]:
    """A stored mail's two texts with the real link in the place of its mark."""
    return html.replace(LINK, escape(link)), plain.replace(LINK, link)


def money(minor: int, currency: str) -> str:
    """2499 EUR -> "€24.99"."""
    return format_currency(Money(minor, currency).decimal(), currency, locale=LOCALE)


def moment(at: datetime) -> str:
    """ "21 Nov 2026, 13:53 UTC"."""
    return format_datetime(at, "d MMM y, HH:mm", locale=LOCALE) + " UTC"


def _number(value: int) -> str:
    return format_decimal(value, locale=LOCALE)


def _plural(count: int, one: str) -> str:
    return f"{_number(count)} {one if count == 1 else one + 's'}"


@cache
def _environment(*, html: bool) -> jinja2.Environment:
    env = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=html,  # noqa: S701 (plain texts are not HTML)
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    words: dict[str, Any] = {"money": money}
    filters: dict[str, Any] = {"plural": _plural, "number": _number}
    env.globals.update(words)
    env.filters.update(filters)
    return env


def _source(name: str) -> str:
    """Our templates; the layouts are the design system's."""
    folder = "pages" if name.startswith("layouts/") else "notifications"
    return files("fondaco").joinpath(folder, "templates", *name.split("/")).read_text("utf-8")


def _tidy(text: str) -> str:
    """Plain text without the gaps that templates leave."""
    lines = [line.rstrip() for line in text.strip().splitlines()]
    kept = [line for i, line in enumerate(lines) if line or (i and lines[i - 1])]
    return "\n".join(kept) + "\n"
