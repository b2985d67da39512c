"""The hosted onboarding page of a connected account: /c/connect/{token}."""

import re

from fondaco_sandbox import balance, connect, ids, payouts
from fondaco_sandbox.box import Cause, Sandbox
from fondaco_sandbox.checkout_pages import BANNER, message_page
from fondaco_sandbox.connect import BANKS, Standing
from fondaco_sandbox.html import document, text
from fondaco_sandbox.store import Obj
from fondaco_sandbox.web import Request, Response, redirect

CHOICES = {
    "verified": "Everything in order: verified at once",
    "pending": "Verified some seconds later",
    "refused": "The identity document is refused",
    "bank_fails": "In order, but payouts to the bank come back",
}
_BIRTH = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_SESSION_SECONDS = 3600


class Refusal(Exception):
    """What was typed cannot be used. `field` names the input."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def answer(box: Sandbox, request: Request) -> Response:
    """The page, or what a form on it brings about. A link opens once; the page it opened may be sent."""
    token = request.path.removeprefix("/c/connect/").rstrip("/")
    link_id = f"link_{token}"
    known_link = box.store.get("link", link_id)
    facts = box.store.hidden(link_id)
    body = box.store.get("account", facts.get("account", ""))
    if known_link is None or body is None:
        return message_page("Nothing here", "There is no such page. Ask for a new link in the shop.", 404)
    if request.method != "POST":
        return _open(box, link_id, facts, body)
    form = dict(request.form_pairs())
    if form.get("session") != facts.get("session") or box.now() > facts["session_until"]:
        return redirect(facts["refresh_url"])
    if form.get("choice") == "skip":
        return redirect(facts["return_url"])
    try:
        known = read_form(form, connect.standing(box, body["id"]), box.now())
    except Refusal as refusal:
        return _page(body, token, facts, form, refusal)
    with box.store.transaction():
        box.cause = Cause()
        submit(box, body, known)
    return redirect(facts["return_url"])


def _open(box: Sandbox, link_id: str, facts: Obj, body: Obj) -> Response:
    if facts["used"] or box.now() > facts["expires_at"]:
        return redirect(facts["refresh_url"])
    session = ids.letters(24)
    with box.store.transaction():
        box.store.hide(link_id, used=True, session=session, session_until=box.now() + _SESSION_SECONDS)
    return _page(body, link_id.removeprefix("link_"), facts | {"session": session}, {}, None)


def read_form(form: dict[str, str], known: Standing, now: int) -> Standing:
    """What is known after the form; raises Refusal. A one-click button fills everything by itself."""
    choice = form.get("choice", "")
    if choice in CHOICES:
        return choose(known, choice, now)
    name = " ".join(f"{form.get('first_name', '')} {form.get('last_name', '')}".split())[:200]
    if not form.get("first_name", "").strip() or not form.get("last_name", "").strip():
        raise Refusal("first_name", "Write your first and last name.")
    birth = _BIRTH.fullmatch(form.get("born", "").strip())
    if not birth or not (1900 <= int(birth[1]) <= 2020 and 1 <= int(birth[2]) <= 12):
        raise Refusal("born", "Write your date of birth as year-month-day, for example 1990-01-31.")
    bank = form.get("bank", "").replace(" ", "")
    if bank not in BANKS:
        raise Refusal("bank", f"Only test bank accounts work here: {', '.join(BANKS)}.")
    if form.get("terms") != "on":
        raise Refusal("terms", "Accept the terms to go on.")
    known.person, known.bank, known.bank_fails = name, bank, False
    known.accepted_at, known.submitted = now, True
    known.identity = "refused" if birth[1] == "1902" else "verified"
    known.extra, known.extra_past_due = [], False
    return known


def choose(known: Standing, choice: str, now: int) -> Standing:
    """What is known after one click of `CHOICES`."""
    known.person = known.person or "Test Seller"
    known.bank = "000111111116" if choice == "bank_fails" else "000123456789"
    known.bank_fails = False
    known.accepted_at, known.submitted = now, True
    known.identity = choice if choice in ("pending", "refused") else "verified"
    known.extra, known.extra_past_due = [], False
    return known


def submit(box: Sandbox, body: Obj, known: Standing) -> Obj:
    """Take over what was given; a pending check ends some seconds later."""
    body = connect.evaluate(box, body, known)
    if body["payouts_enabled"]:
        for currency, *_ in balance.sums(box, body["id"]):
            payouts.expect(box, body["id"], currency)
    if known.identity == "pending":
        box.later(box.settings.settle_seconds, "verify_account", body["id"])
        box.on_work()
    return body


def verify_later(box: Sandbox, body: Obj) -> None:
    """The check of an identity is done."""
    known = connect.standing(box, body["id"])
    if known.identity == "pending":
        known.identity = "verified"
        connect.evaluate(box, body, known)


def _page(body: Obj, token: str, facts: Obj, form: dict[str, str], wrong: Refusal | None) -> Response:
    failure = f'<p class="error" role="alert" id="failure">{text(wrong.message)}</p>' if wrong else ""
    asked = [name.replace("_", " ").replace(".", ", ") for name in body["requirements"]["currently_due"]]
    due = "".join(f"<li>{text(name)}</li>" for name in asked) or "<li>nothing more</li>"

    def field(name: str, label: str, more: str = "") -> str:
        fault = (
            ' aria-invalid="true" aria-describedby="failure" autofocus'
            if wrong and wrong.field == name
            else ""
        )
        return (
            f'<p class="field"><label for="{name}">{text(label)}</label>'
            f'<input id="{name}" name="{name}" value="{text(form.get(name, ""))}" {more}{fault}></p>'
        )

    numeric = 'inputmode="numeric"'
    buttons = "".join(
        f'<li><button type="submit" name="choice" value="{name}"><span>{text(meaning)}</span></button></li>'
        for name, meaning in {**CHOICES, "skip": "Skip for now and go back"}.items()
    )
    content = (
        f'<body class="checkout narrow">{BANNER}<main><section class="pay"><h1>Get paid</h1>{failure}'
        f"<p>Account {text(body['id'])}, {text(body['country'])}. Still asked:</p><ul>{due}</ul>"
        f'<form method="post" action="/c/connect/{text(token)}" novalidate>'
        f'<input type="hidden" name="session" value="{text(facts["session"])}">'
        f"{field('first_name', 'First name')}{field('last_name', 'Last name')}"
        f"{field('born', 'Date of birth (1902 is refused)', numeric)}"
        f"{field('bank', 'Bank account (000123456789 works)', numeric)}"
        '<p class="field"><label for="terms"><input type="checkbox" id="terms" name="terms"> '
        "I accept the terms</label></p>"
        '<button class="primary" type="submit">Submit</button>'
        '<h2 id="tests">Or with one click</h2>'
        f'<ul class="cards" aria-labelledby="tests">{buttons}</ul></form></section></main></body>'
    )
    places = (facts["return_url"], facts["refresh_url"], "http://localhost:*", "http://127.0.0.1:*")
    return document("Get paid (sandbox)", content, status=402 if wrong else 200, goes_to=places)
