"""Orders: carts, quotes, buying, payment by card, protection and release.

A purchase is an order group with one order per seller. From the wallet everything happens in one statement:
stock, money, delivery and events, all or nothing, many purchases at once. By card the units are reserved and
the same happens when the money arrives. A paid line ends with exactly one delivery or one refund. Prices are
never charged that the buyer was not shown.
"""

from fondaco.orders.actions import (
    Placed,
    bought_before,
    buy_with_wallet,
    cancel_for_staff,
    cancel_order,
    checkout,
    checkout_url,
    confirm_delivery,
    freeze,
    pay_group,
    place_with_card,
    policy_of,
    purchase_of,
    release_lines,
    thaw,
)
from fondaco.orders.as_bought import as_bought
from fondaco.orders.carts import (
    Cart,
    Merged,
    add_to_cart,
    cart_of,
    clear_cart,
    count_in_cart,
    merge_guest_cart,
    remove_from_cart,
    set_in_cart,
)
from fondaco.orders.combiner import Combiner
from fondaco.orders.live import watch
from fondaco.orders.model import MATURITY_DAYS, Bought, PayOutcome, Policy, Purchase, Wish
from fondaco.orders.policies import refund_until, refund_words, release_words
from fondaco.orders.quoting import Quote, QuoteLine, confirmed, present, quote
from fondaco.orders.reads import (
    GroupPage,
    GroupPayment,
    Order,
    OrderGroup,
    OrderLine,
    group_in_scope,
    own_groups,
    own_order_group,
    own_order_numbers,
)
from fondaco.orders.receipt import order_receipt
from fondaco.orders.sales import (
    SalesDay,
    SellerBalance,
    SellerOrder,
    SellerOrderLine,
    SellerOrderPage,
    seller_balance,
    seller_order,
    seller_order_numbers,
    seller_orders,
    seller_sales,
)
from fondaco.orders.store_policy import set_store_release, store_release

__all__ = [
    "MATURITY_DAYS",
    "Bought",
    "Cart",
    "Combiner",
    "GroupPage",
    "GroupPayment",
    "Merged",
    "Order",
    "OrderGroup",
    "OrderLine",
    "PayOutcome",
    "Placed",
    "Policy",
    "Purchase",
    "Quote",
    "QuoteLine",
    "SalesDay",
    "SellerBalance",
    "SellerOrder",
    "SellerOrderLine",
    "SellerOrderPage",
    "Wish",
    "add_to_cart",
    "as_bought",
    "bought_before",
    "buy_with_wallet",
    "cancel_for_staff",
    "cancel_order",
    "cart_of",
    "checkout",
    "checkout_url",
    "clear_cart",
    "confirm_delivery",
    "confirmed",
    "count_in_cart",
    "freeze",
    "group_in_scope",
    "merge_guest_cart",
    "order_receipt",
    "own_groups",
    "own_order_group",
    "own_order_numbers",
    "pay_group",
    "place_with_card",
    "policy_of",
    "present",
    "purchase_of",
    "quote",
    "refund_until",
    "refund_words",
    "release_lines",
    "release_words",
    "remove_from_cart",
    "seller_balance",
    "seller_order",
    "seller_order_numbers",
    "seller_orders",
    "seller_sales",
    "set_in_cart",
    "set_store_release",
    "store_release",
    "thaw",
    "watch",
]
