"""The hosted payment page: /c/pay/{session} and /c/authenticate/{intent}."""

from datetime import UTC, datetime

from fondaco_sandbox import cards, payments
from fondaco_sandbox.box import Cause, Sandbox
from fondaco_sandbox.cards import Card
from fondaco_sandbox.checkout_pages import authentication_page, message_page, payment_page
from fondaco_sandbox.payments import Payer
from fondaco_sandbox.resources import sessions
from fondaco_sandbox.store import Obj
from fondaco_sandbox.web import Request, Response, redirect


class Refusal(Exception):
    """What was typed on the page cannot be used. `field` names the input."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def answer(box: Sandbox, request: Request, base_url: str) -> Response:
    """The page, or what a form on it brings about."""
    _, _, page, object_id = (request.path + "///").split("/")[:4]
    form = dict(request.form_pairs()) if request.method == "POST" else None
    if page == "authenticate":
        return _authenticate(box, object_id, form)
    session = box.store.get("checkout.session", object_id) if page == "pay" else None
    if session is None or session["status"] != "open":
        return _nothing_to_pay(session)
    if form is None:
        return payment_page(session, _items(box, session), _failure(box, session))
    try:
        card, payer = read_form(form, session, box.now())
    except Refusal as refusal:
        return payment_page(session, _items(box, session), refusal.message, form, refusal.field)
    with box.store.transaction():
        box.cause = Cause()
        session = sessions.pay(box, session, card, payer, base_url)
    return _after_attempt(box, session)


def _nothing_to_pay(session: Obj | None) -> Response:
    """The answer for a session that is paid, expired or unknown."""
    if session is None:
        return message_page("Nothing here", "There is no such payment page. Start again in the shop.", 404)
    if session["status"] == "complete":
        return redirect(success_address(session))
    words = "Nothing was paid. Go back to the shop and start again."
    return message_page("This page has expired", words, 410, back=session["cancel_url"])


def success_address(session: Obj) -> str:
    """Where the buyer goes after paying."""
    address: str = session["success_url"]
    return address.replace("{CHECKOUT_SESSION_ID}", session["id"])


def read_form(form: dict[str, str], session: Obj, now: int) -> tuple[Card, Payer]:
    """The card and the payer from the form; raises Refusal. A one-click button carries `card`."""
    email = (form.get("email") or _known_email(session)).strip()
    if "@" not in email or len(email) > 254:
        raise Refusal("email", "Your e-mail address is incomplete.")
    name = form.get("name", "").strip()[:200] or None
    if form.get("card"):
        card = cards.by_name(form["card"])
        if card is None:
            raise Refusal("number", "There is no such test card.")
        return card, Payer(email, name)
    number = form.get("number", "").replace(" ", "")
    if not cards.plausible_number(number):
        raise Refusal("number", "Your card number is invalid.")
    expires = _expiry(form.get("expiry", ""), now)
    cvc = form.get("cvc", "").strip()
    if not (cvc.isdigit() and len(cvc) in (3, 4)):
        raise Refusal("cvc", "Your card's security code is incomplete.")
    return cards.by_name(number) or cards.UNKNOWN_CARD, Payer(email, name, expires)


def _known_email(session: Obj) -> str:
    details: Obj = session["customer_details"] or {}
    return session["customer_email"] or details.get("email") or ""


def _expiry(typed: str, now: int) -> tuple[int, int]:
    month_text, slash, year_text = typed.replace(" ", "").partition("/")
    if not (slash and month_text.isdigit() and year_text.isdigit() and len(year_text) in (2, 4)):
        raise Refusal("expiry", "Write the expiry date as month/year, for example 12/34.")
    month, year = int(month_text), int(year_text) + (2000 if len(year_text) == 2 else 0)
    today = datetime.fromtimestamp(now, UTC)
    if not 1 <= month <= 12:
        raise Refusal("expiry", "Your card's expiry month is invalid.")
    if (year, month) < (today.year, today.month) or year > today.year + 50:
        raise Refusal("expiry", "Your card's expiry date is in the past or too far away.")
    return month, year


def _items(box: Sandbox, session: Obj) -> list[Obj]:
    return box.store.hidden(session["id"])["line_items"]


def _failure(box: Sandbox, session: Obj) -> str | None:
    """Why the last attempt failed, in words."""
    if not session["payment_intent"]:
        return None
    error: Obj = box.store.need("payment_intent", session["payment_intent"])["last_payment_error"] or {}
    return error.get("message")


def _after_attempt(box: Sandbox, session: Obj) -> Response:
    if session["status"] == "complete":
        return redirect(success_address(session))
    intent = box.store.need("payment_intent", session["payment_intent"])
    if intent["status"] == "requires_action":
        return redirect(f"/c/authenticate/{intent['id']}")
    return redirect(f"/c/pay/{session['id']}")


def _authenticate(box: Sandbox, intent_id: str, form: dict[str, str] | None) -> Response:
    """The bank's page of 3-D Secure, for sessions and for intents confirmed through the API."""
    intent = box.store.get("payment_intent", intent_id)
    session_id: str | None = box.store.hidden(intent_id).get("session")
    if intent is None or intent["status"] != "requires_action":
        return _nothing_to_authenticate(intent, session_id)
    after: str = intent["next_action"]["redirect_to_url"]["return_url"]
    goes_to = [after]
    if session_id:
        goes_to = [success_address(box.store.need("checkout.session", session_id))]
    if form is None:
        return authentication_page(intent, goes_to)
    if form.get("action") not in ("complete", "fail"):
        return authentication_page(intent, goes_to, "Choose one of the two buttons.")
    with box.store.transaction():
        box.cause = Cause()
        finish_authentication(box, intent, passed=form["action"] == "complete")
    if session_id:
        return _after_attempt(box, box.store.need("checkout.session", session_id))
    return redirect(after)


def _nothing_to_authenticate(intent: Obj | None, session_id: str | None) -> Response:
    if intent is None:
        return message_page("Nothing here", "There is no such payment.", 404)
    if session_id:
        return redirect(f"/c/pay/{session_id}")
    return message_page("This step is over", "The payment has been authenticated or refused already.")


def finish_authentication(box: Sandbox, intent: Obj, *, passed: bool) -> None:
    """Pass or fail 3-D Secure, and bring the session, if there is one, in line."""
    intent = payments.authenticate(box, intent, passed=passed)
    session_id: str | None = box.store.hidden(intent["id"]).get("session")
    if session_id:
        method = box.store.hidden(intent["id"])["method"]
        billing: Obj = box.store.need("payment_method", method)["billing_details"]
        session = box.store.need("checkout.session", session_id)
        sessions.finish(box, session, intent, Payer(billing["email"], billing["name"]))
