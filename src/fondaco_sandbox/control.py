"""The control API under /sandbox/: clock, faults, paying without the page, truth, reset."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from fondaco_sandbox import cards, control_money, timers
from fondaco_sandbox.api import Api, base_url, error_answer
from fondaco_sandbox.box import Cause, Sandbox
from fondaco_sandbox.checkout import finish_authentication, success_address
from fondaco_sandbox.delivery import Courier
from fondaco_sandbox.errors import ApiError, invalid, no_such
from fondaco_sandbox.panel import error_of
from fondaco_sandbox.payments import Payer
from fondaco_sandbox.resources import sessions, webhook_endpoints
from fondaco_sandbox.store import Obj, is_object
from fondaco_sandbox.web import Request, Response, as_json, redirect

Action: TypeAlias = Callable[[Request, Obj, str], Awaitable[Response | Obj]]
_LONGEST_JUMP = 400 * 86_400
_SETTLE_POLL = 0.02


class Control:
    """What only a sandbox can do."""

    def __init__(self, box: Sandbox, api: Api, courier: Courier) -> None:
        self._box, self._api, self._courier = box, api, courier
        self._actions: dict[str, Action] = {
            "GET health": self._health,
            "GET clock": self._show_clock,
            "POST clock": self._move_clock,
            "GET faults": self._show_faults,
            "POST faults": self._set_faults,
            "GET truth": self._truth,
            "GET settled": self._settled,
            "POST reset": self._reset,
            "GET deliveries": self._deliveries,
            "POST events/{id}/resend": self._resend,
            "POST pay/{id}": self._pay,
            "POST authenticate/{id}": self._authenticate,
            "POST webhook_endpoints/{id}/roll": self._roll,
            **control_money.actions(box),
        }

    async def answer(self, request: Request) -> Response:
        """The answer to one request under /sandbox/. Forms (from the panel) lead back to the panel."""
        try:
            action, object_id = self._find(request)
            result = await action(request, _content(request), object_id)
        except ApiError as error:
            return error_answer(error)
        if request.method == "POST" and request.is_form:
            return redirect("/")
        return result if isinstance(result, Response) else as_json(result)

    def _find(self, request: Request) -> tuple[Action, str]:
        parts = request.path.removeprefix("/sandbox/").rstrip("/").split("/")
        names = {f"{request.method} {'/'.join(parts)}": ""}
        if len(parts) > 1:
            names[f"{request.method} {'/'.join([parts[0], '{id}', *parts[2:]])}"] = parts[1]
        for name, object_id in names.items():
            if name in self._actions:
                return self._actions[name], object_id
        known = ", ".join(name.replace(" ", " /sandbox/") for name in self._actions)
        raise ApiError(404, f"There is no {request.method} {request.path}. There are: {known}.")

    async def _health(self, _request: Request, _content: Obj, _id: str) -> Obj:
        count = "select count(*) from deliveries where state = 'pending'"
        return {
            "status": "ok",
            "now": self._box.now(),
            "deliveries_pending": self._box.store.db.execute(count).fetchone()[0],
            "deliveries_under_way": self._courier.under_way,
            "due": self._courier.due(),
            "requests_with_key_running": self._api.keys.running,
        }

    async def _show_clock(self, _request: Request, _content: Obj, _id: str) -> Obj:
        return {"now": self._box.now(), "ahead_of_real_time_ms": self._box.clock.offset_ms}

    async def _move_clock(self, _request: Request, content: Obj, _id: str) -> Obj:
        """{"advance": seconds}: the clock jumps, and everything due until then happens, in order."""
        seconds = content.get("advance")
        if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 <= seconds <= _LONGEST_JUMP:
            raise invalid(f"advance must be a whole number of seconds from 0 to {_LONGEST_JUMP}.", "advance")
        box = self._box
        box.clock.offset_ms += seconds * 1000
        with box.store.transaction():
            box.store.remember("clock_offset_ms", box.clock.offset_ms)
        done = timers.run_due(box)
        box.on_work()
        return {"now": box.now(), "ahead_of_real_time_ms": box.clock.offset_ms, "timers_run": done}

    async def _show_faults(self, _request: Request, _content: Obj, _id: str) -> Obj:
        return self._box.faults.describe()

    async def _set_faults(self, _request: Request, content: Obj, _id: str) -> Obj:
        with self._box.store.transaction():
            if content.pop("clear", False):
                self._box.faults.clear()
            self._box.faults.configure(content)
        return self._box.faults.describe()

    async def _truth(self, request: Request, _content: Obj, _id: str) -> Response:
        """The lines of truth.jsonl, those after `?after=seq`."""
        after = dict(request.query_pairs()).get("after", "0")
        if not after.isdigit():
            raise invalid("after must be the number of a line.", "after")
        lines = self._box.store.facts(int(after))
        body = "".join(line + "\n" for line in lines).encode()
        return Response(200, body, {"content-type": "application/x-ndjson"})

    async def _settled(self, request: Request, _content: Obj, _id: str) -> Obj:
        """Answers when nothing is due and nothing is under way, at the latest after `?timeout=` seconds."""
        asked = dict(request.query_pairs()).get("timeout", "10")
        if not asked.isdigit():
            raise invalid("timeout must be a whole number of seconds.", "timeout")
        loop = asyncio.get_running_loop()
        until = loop.time() + min(int(asked), 60)
        while self._courier.under_way or self._courier.due():
            if loop.time() > until:
                return {"settled": False}
            await asyncio.sleep(_SETTLE_POLL)
        return {"settled": True}

    async def _reset(self, _request: Request, _content: Obj, _id: str) -> Obj:
        """Forget everything but the endpoint given at the start; the clock runs in real time again."""
        box = self._box
        box.store.wipe()
        box.clock.restart()
        with box.store.transaction():
            box.faults.clear()
            webhook_endpoints.configure(box)
        box.on_work()
        return {"reset": True}

    async def _deliveries(self, request: Request, _content: Obj, _id: str) -> Obj:
        """All deliveries, newest first; `?event=evt_...` for those of one event."""
        event = dict(request.query_pairs()).get("event")
        sql = "select * from deliveries where ? is null or event = ? order by seq desc limit 1000"
        rows = self._box.store.db.execute(sql, (event, event)).fetchall()
        return {"data": [dict(row) for row in rows]}

    async def _resend(self, _request: Request, _content: Obj, object_id: str) -> Obj:
        """Deliver an event once more to every endpoint that wanted it."""
        box = self._box
        found = box.store.find(object_id)
        if found is None or found[1]["object"] != "event":
            raise no_such("event", object_id)
        with box.store.transaction():
            for endpoint in box.listeners(found[1]["type"], found[1].get("account")):
                self._plan_again(object_id, endpoint["id"])
        return {"event": object_id, "resent": True}

    def _plan_again(self, event: str, endpoint: str) -> None:
        """An undelivered delivery is tried now; beside a delivered one comes another."""
        box, now = self._box, self._box.clock.now_ms()
        sql = """update deliveries set state = 'pending', due_ms = ?
                 where event = ? and endpoint = ? and manner = 'normal' and state <> 'delivered'"""
        if box.store.db.execute(sql, (now, event, endpoint)).rowcount == 0:
            box.deliver(event, endpoint, "resent", due_ms=now)
        box.on_work()

    async def _pay(self, request: Request, content: Obj, object_id: str) -> Obj:
        """{"card": "4242..." or "bank_debit_success", "email": ...}: pay a session without its page."""
        box = self._box
        session = box.store.get("checkout.session", object_id)
        if session is None:
            raise no_such("checkout.session", object_id)
        card = cards.by_name(str(content.get("card", "4242424242424242")))
        if card is None:
            raise invalid(
                f"No such test card. There are: {', '.join(each.number for each in cards.ALL)}.", "card"
            )
        if session["status"] != "open":
            raise invalid(
                f"This Checkout Session has a status of {session['status']}; only an open one can be paid."
            )
        details: Obj = session["customer_details"] or {}
        email = (
            content.get("email") or session["customer_email"] or details.get("email") or "buyer@example.com"
        )
        with box.store.transaction():
            box.cause = Cause()
            session = sessions.pay(box, session, card, Payer(str(email)), base_url(request))
        return self._outcome(session)

    async def _authenticate(self, _request: Request, content: Obj, object_id: str) -> Obj:
        """{"complete": true or false}: finish 3-D Secure of an intent."""
        box = self._box
        intent = box.store.get("payment_intent", object_id)
        if intent is None:
            raise no_such("payment_intent", object_id)
        if intent["status"] != "requires_action":
            raise invalid(
                f"This PaymentIntent has a status of {intent['status']}; nothing is to be authenticated."
            )
        with box.store.transaction():
            box.cause = Cause()
            finish_authentication(box, intent, passed=content.get("complete", True) is True)
        intent = box.store.need("payment_intent", object_id)
        return {"payment_intent": intent["id"], "status": intent["status"]}

    def _outcome(self, session: Obj) -> Obj:
        intent = self._box.store.need("payment_intent", session["payment_intent"])
        return {
            "session": session["id"],
            "status": session["status"],
            "payment_status": session["payment_status"],
            "payment_intent": intent["id"],
            "payment_intent_status": intent["status"],
            "error": error_of(intent) or None,
            "success_url": success_address(session),
        }

    async def _roll(self, _request: Request, content: Obj, object_id: str) -> Obj:
        """{"keep_seconds": 86400}: a new signing secret; the old one signs beside it for a while."""
        box = self._box
        endpoint = box.store.get("webhook_endpoint", object_id)
        if endpoint is None:
            raise no_such("webhook_endpoint", object_id)
        keep = content.get("keep_seconds", 86_400)
        if isinstance(keep, bool) or not isinstance(keep, int) or not 0 <= keep <= 7 * 86_400:
            raise invalid("keep_seconds must be a whole number from 0 to 604800.", "keep_seconds")
        with box.store.transaction():
            secret = webhook_endpoints.roll_secret(box, endpoint, keep)
        return {"id": object_id, "secret": secret}


def _content(request: Request) -> Obj:
    """The JSON object or the form in the body. Whole numbers in forms become numbers."""
    if request.method != "POST" or not request.body:
        return {}
    if request.is_form:
        pairs = [(name, value) for name, value in request.form_pairs() if value != ""]
        return {name: int(value) if value.isdigit() and len(value) < 10 else value for name, value in pairs}
    try:
        content = json.loads(request.body)
    except ValueError as error:
        raise invalid("The body is neither a JSON object nor a form.") from error
    if not is_object(content):
        raise invalid("The body must be a JSON object.")
    return content
