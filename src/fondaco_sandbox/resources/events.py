"""Events, kept for 30 days of the sandbox's clock."""

from fondaco_sandbox.call import Call
from fondaco_sandbox.errors import invalid
from fondaco_sandbox.store import Obj
from fondaco_sandbox.views import EVENTS_KEPT_SECONDS, Query, page

_UNDELIVERED = (
    "exists (select 1 from deliveries where deliveries.event = objects.id and manner = 'normal'"
    " and state <> 'delivered')"
)


def retrieve(call: Call) -> Obj:
    return call.object("event")


def list_(call: Call) -> Obj:
    params = call.params
    if "type" in params and "types" in params:
        raise invalid("You may only specify one of these parameters: type, types.", "types")
    query = Query(call.of("event"))
    query.add("created >= ?", call.box.now() - EVENTS_KEPT_SECONDS)
    if "type" in params:
        wanted: str = params["type"]
        if "*" in wanted:
            query.add("json_extract(body, '$.type') glob ?", wanted.replace("[", "[[]").replace("?", "[?]"))
        else:
            query.add("json_extract(body, '$.type') = ?", wanted)
    if "types" in params:
        types: list[str] = params["types"]
        if len(types) > 20:
            raise invalid("You may specify up to 20 types.", "types")
        query.add(f"json_extract(body, '$.type') in ({', '.join('?' * len(types))})", *types)
    if "delivery_success" in params:
        query.add(f"not {_UNDELIVERED}" if params["delivery_success"] else _UNDELIVERED)
    return page(call, "event", "/v1/events", {}, query)
