"""Customers, and how lists are paged."""

import pytest
import stripe


def test_life_of_a_customer(api: stripe.StripeClient) -> None:
    made = api.v1.customers.create(
        {
            "email": "buyer@example.com",
            "metadata": {"user": "7", "tier": "new"},
            "address": {"city": "Venice"},
        }
    )
    assert (made.email, made.metadata and made.metadata["user"]) == ("buyer@example.com", "7")
    changed = api.v1.customers.update(made.id, {"name": "Buyer", "metadata": {"tier": "", "since": "2026"}})
    assert changed.name == "Buyer"
    assert changed.metadata is not None
    assert changed.metadata.to_dict() == {"user": "7", "since": "2026"}
    assert api.v1.customers.retrieve(made.id).address.city == "Venice"  # type: ignore[union-attr]
    gone = api.v1.customers.delete(made.id)
    assert gone.deleted is True
    assert api.v1.customers.retrieve(made.id).deleted is True
    assert api.v1.customers.list().data == []
    assert [event.type for event in api.v1.events.list({"type": "customer.*"})] == [
        "customer.deleted",
        "customer.updated",
        "customer.created",
    ]


def test_update_event_says_what_was_before(api: stripe.StripeClient) -> None:
    made = api.v1.customers.create({"email": "old@example.com"})
    api.v1.customers.update(made.id, {"email": "new@example.com"})
    event = api.v1.events.list({"type": "customer.updated"}).data[0]
    assert event.to_dict()["data"]["previous_attributes"] == {"email": "old@example.com"}
    assert event.data.object["email"] == "new@example.com"


def test_lists_are_paged_newest_first_both_ways(api: stripe.StripeClient) -> None:
    ids = [api.v1.customers.create({"email": f"buyer{n}@example.com"}).id for n in range(7)][::-1]
    first = api.v1.customers.list({"limit": 3})
    assert ([each.id for each in first], first.has_more) == (ids[:3], True)
    second = api.v1.customers.list({"limit": 3, "starting_after": ids[2]})
    assert ([each.id for each in second], second.has_more) == (ids[3:6], True)
    last = api.v1.customers.list({"limit": 3, "starting_after": ids[5]})
    assert ([each.id for each in last], last.has_more) == (ids[6:], False)
    back = api.v1.customers.list({"limit": 2, "ending_before": ids[4]})
    assert ([each.id for each in back], back.has_more) == (ids[2:4], True)
    assert [each.id for each in api.v1.customers.list({"limit": 2}).auto_paging_iter()] == ids


def test_lists_filter(api: stripe.StripeClient) -> None:
    one = api.v1.customers.create({"email": "one@example.com"})
    api.v1.customers.create({"email": "two@example.com"})
    assert [each.id for each in api.v1.customers.list({"email": "one@example.com"})] == [one.id]
    assert api.v1.customers.list({"created": {"gt": one.created + 3600}}).data == []
    assert len(api.v1.customers.list({"created": {"gte": one.created, "lte": one.created + 3600}}).data) == 2


@pytest.mark.parametrize("limit", [0, 101])
def test_limit_is_limited(api: stripe.StripeClient, limit: int) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.customers.list({"limit": limit})
    assert caught.value.param == "limit"


def test_cursor_must_exist(api: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.customers.list({"starting_after": "cus_nobody"})
    assert (caught.value.code, caught.value.param) == ("resource_missing", "starting_after")
