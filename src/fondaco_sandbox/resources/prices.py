"""Line items, and the prices and products that they bring with them."""

from decimal import Decimal

from fondaco_sandbox import ids, money
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.call import Call
from fondaco_sandbox.errors import invalid, missing, no_such, unsupported
from fondaco_sandbox.params import metadata
from fondaco_sandbox.store import Obj


def line_item(box: Sandbox, wanted: Obj, position: int) -> Obj:
    """A line item from the parameters `line_items[position]`."""
    path = f"line_items[{position}]"
    for name in wanted:
        if name not in ("metadata", "price", "price_data", "quantity"):
            raise unsupported(f"{path}[{name}]", f"{path}[{name}]")
    if ("price" in wanted) == ("price_data" in wanted):
        raise invalid(f"Give one of {path}[price] and {path}[price_data].", f"{path}[price_data]")
    if "quantity" not in wanted:
        raise missing(f"{path}[quantity]")
    quantity: int = wanted["quantity"]
    if not 1 <= quantity <= 999_999:
        raise invalid("The quantity must be between 1 and 999999.", f"{path}[quantity]")
    if "price" in wanted:
        price = box.store.get("price", wanted["price"])
        if price is None:
            raise no_such("price", wanted["price"], f"{path}[price]")
    else:
        price = _price(box, wanted["price_data"], f"{path}[price_data]")
    product = box.store.need("product", price["product"])
    total: int = price["unit_amount"] * quantity
    return {
        "id": ids.new_id("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": total,
        "amount_tax": 0,
        "amount_total": total,
        "currency": price["currency"],
        "description": product["name"],
        "metadata": metadata(wanted.get("metadata")),
        "price": price,
        "quantity": quantity,
    }


def _price(box: Sandbox, data: Obj, path: str) -> Obj:
    for name in data:
        if name not in (
            "currency",
            "product",
            "product_data",
            "tax_behavior",
            "unit_amount",
            "unit_amount_decimal",
        ):
            raise unsupported(f"{path}[{name}]", f"{path}[{name}]")
    currency = money.currency(data["currency"], f"{path}[currency]")
    amount = _unit_amount(data, path)
    if ("product" in data) == ("product_data" in data):
        raise invalid(f"Give one of {path}[product] and {path}[product_data].", f"{path}[product_data]")
    if "product" in data:
        product = box.store.get("product", data["product"])
        if product is None:
            raise no_such("product", data["product"], f"{path}[product]")
    else:
        product = _product(box, data["product_data"], path)
    price: Obj = {
        "id": ids.new_id("price"),
        "object": "price",
        "active": False,
        "billing_scheme": "per_unit",
        "created": box.now(),
        "currency": currency,
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "product": product["id"],
        "recurring": None,
        "tax_behavior": data.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    }
    return box.store.insert("price", price)


def _unit_amount(data: Obj, path: str) -> int:
    if ("unit_amount" in data) == ("unit_amount_decimal" in data):
        raise invalid(
            f"Give one of {path}[unit_amount] and {path}[unit_amount_decimal].", f"{path}[unit_amount]"
        )
    if "unit_amount" in data:
        amount: int = data["unit_amount"]
    else:
        exact = Decimal(data["unit_amount_decimal"])
        if exact != int(exact):
            raise unsupported("fractions of a minor unit", f"{path}[unit_amount_decimal]")
        amount = int(exact)
    if amount < 0:
        raise invalid("Invalid non-negative integer", f"{path}[unit_amount]", "parameter_invalid_integer")
    return amount


def _product(box: Sandbox, data: Obj, path: str) -> Obj:
    for name in data:
        if name not in ("description", "images", "metadata", "name", "tax_code", "unit_label"):
            raise unsupported(f"{path}[product_data][{name}]", f"{path}[product_data][{name}]")
    if len(data.get("images", [])) > 8:
        raise invalid("A product can have up to 8 images.", f"{path}[product_data][images]")
    product: Obj = {
        "id": f"prod_{ids.letters(14)}",
        "object": "product",
        "active": False,
        "created": box.now(),
        "default_price": None,
        "description": data.get("description"),
        "images": data.get("images", []),
        "livemode": False,
        "marketing_features": [],
        "metadata": metadata(data.get("metadata")),
        "name": data["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": data.get("tax_code"),
        "type": "service",
        "unit_label": data.get("unit_label"),
        "updated": box.now(),
        "url": None,
    }
    return box.store.insert("product", product)


def retrieve_price(call: Call) -> Obj:
    return call.object("price")


def retrieve_product(call: Call) -> Obj:
    return call.object("product")


def retrieve_payment_method(call: Call) -> Obj:
    return call.object("payment_method")
