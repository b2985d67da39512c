"""How the hosted payment page looks."""

from collections.abc import Sequence

from fondaco_sandbox import cards, money
from fondaco_sandbox.cards import Card
from fondaco_sandbox.html import document, text
from fondaco_sandbox.store import Obj
from fondaco_sandbox.web import Response

BANNER = '<header class="banner"><strong>Sandbox: no real money.</strong> Only test cards work here.</header>'
_LOCAL = ("http://localhost:*", "http://127.0.0.1:*")


def payment_page(
    session: Obj,
    items: list[Obj],
    failure: str | None = None,
    form: dict[str, str] | None = None,
    wrong: str | None = None,
) -> Response:
    """The form. `failure`: what went wrong before; `wrong`: the field it is about; `form`: what was typed."""
    form = form or {}
    amount = money.shown(session["amount_total"], session["currency"])
    parts = [
        '<body class="checkout">',
        BANNER,
        "<main>",
        _summary(session, items, amount),
        '<section class="pay">',
    ]
    parts.append("<h1>Pay</h1>")
    if failure:
        parts.append(f'<p class="error" role="alert" id="failure">{text(failure)}</p>')
    parts.append(_form(session, amount, form, wrong))
    parts.append("</section></main></body>")
    status = 402 if failure and form else 200
    goes_to = (session["success_url"], session["cancel_url"] or "", *_LOCAL)
    return document(f"Pay {amount} (sandbox)", "".join(parts), status=status, goes_to=goes_to)


def _summary(session: Obj, items: list[Obj], amount: str) -> str:
    rows = "".join(_item(item) for item in items)
    back = ""
    if session["cancel_url"]:
        address = text(session["cancel_url"])
        arrow = '<span aria-hidden="true">←</span>'
        back = f'<p><a class="back" href="{address}">{arrow} Cancel and go back</a></p>'
    return (
        f'<section class="summary" aria-label="What you pay for">{back}<p class="total">{text(amount)}</p>'
        f'<ul class="items">{rows}</ul></section>'
    )


def _item(item: Obj) -> str:
    each = ""
    if item["quantity"] > 1:
        one = money.shown(item["price"]["unit_amount"], item["currency"])
        each = f'<span class="quiet">{item["quantity"]} × {text(one)}</span>'
    return (
        f'<li><span class="name">{text(item["description"])}{each}</span>'
        f"<span>{text(money.shown(item['amount_total'], item['currency']))}</span></li>"
    )


def _form(session: Obj, amount: str, form: dict[str, str], wrong: str | None) -> str:
    def field(name: str, label: str, more: str) -> str:
        return _field(name, label, form.get(name, ""), more, wrong=wrong == name)

    takes_cards = "card" in session["payment_method_types"]
    details: Obj = session["customer_details"] or {}
    form = {"email": session["customer_email"] or details.get("email") or "", **form}
    parts = [field("email", "E-mail", 'type="email" autocomplete="email" required')]
    if takes_cards:
        digits = 'inputmode="numeric" autocomplete='
        parts += [
            field("number", "Card number", digits + '"cc-number" maxlength="23"'),
            '<div class="pair">',
            field("expiry", "Expiry (MM/YY)", digits + '"cc-exp" maxlength="7"'),
            field("cvc", "CVC", digits + '"cc-csc" maxlength="4"'),
            "</div>",
            field("name", "Name on card (optional)", 'autocomplete="cc-name" maxlength="200"'),
            f'<button class="primary" type="submit">Pay {text(amount)}</button>',
        ]
    one_click = [card for card in cards.CARDS if takes_cards]
    if any(name in cards.BANK_DEBITS for name in session["payment_method_types"]):
        one_click += [cards.BANK_PAYS, cards.BANK_FAILS]
    buttons = "".join(_button(card) for card in one_click)
    return (
        f'<form method="post" action="/c/pay/{text(session["id"])}" novalidate>{"".join(parts)}'
        '<h2 id="tests">Or pay with one click</h2>'
        f'<p class="quiet">Test cards and what they do. Each pays {text(amount)}.</p>'
        f'<ul class="cards" aria-labelledby="tests">{buttons}</ul></form>'
    )


def _field(name: str, label: str, value: str, more: str, *, wrong: bool) -> str:
    fault = ' aria-invalid="true" aria-describedby="failure" autofocus' if wrong else ""
    return (
        f'<p class="field"><label for="{name}">{text(label)}</label>'
        f'<input id="{name}" name="{name}" value="{text(value)}" {more}{fault}></p>'
    )


def _button(card: Card) -> str:
    number = card.number
    label = " ".join(number[n : n + 4] for n in range(0, 16, 4)) if number.isdigit() else "Bank debit"
    meaning = card.meaning.removeprefix("Bank debit: ").capitalize() if card.is_bank else card.meaning
    return (
        f'<li><button type="submit" name="card" value="{text(number)}">'
        f'<span class="number">{text(label)}</span><span class="quiet">{text(meaning)}</span></button></li>'
    )


def authentication_page(intent: Obj, goes_to: Sequence[str], failure: str | None = None) -> Response:
    amount = money.shown(intent["amount"], intent["currency"])
    alert = f'<p class="error" role="alert">{text(failure)}</p>' if failure else ""
    body = (
        f'<body class="checkout narrow">{BANNER}<main><section class="pay">'
        f"<h1>Your bank asks: is it you?</h1>{alert}"
        f"<p>3-D Secure test page for a payment of <strong>{text(amount)}</strong>.</p>"
        f'<form method="post" action="/c/authenticate/{text(intent["id"])}" class="choices">'
        '<button class="primary" type="submit" name="action" value="complete">'
        "Complete authentication</button>"
        '<button type="submit" name="action" value="fail">Fail authentication</button>'
        "</form></section></main></body>"
    )
    return document("3-D Secure (sandbox)", body, goes_to=(*goes_to, *_LOCAL))


def message_page(title: str, message: str, status: int = 200, back: str | None = None) -> Response:
    link = f'<p><a class="back" href="{text(back)}">Back to the shop</a></p>' if back else ""
    body = (
        f'<body class="checkout narrow">{BANNER}<main><section class="pay"><h1>{text(title)}</h1>'
        f"<p>{text(message)}</p>{link}</section></main></body>"
    )
    return document(f"{title} (sandbox)", body, status=status)
