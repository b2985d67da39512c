"""Sellers: the parties that list, deliver and are paid; the tenant boundary.

A store has at least one owner at any time. Its address (slug) never changes. Its commission is its own or
the marketplace's.
"""

from fondaco.sellers.actions import (
    commission_bps,
    edit_store,
    my_store,
    open_store,
    store_by_slug,
    stores_of,
)
from fondaco.sellers.model import LastOwner, Member, OwnStore, Store, StoreName, VerifyFirst
from fondaco.sellers.team import add_member, change_role, list_team, remove_member

__all__ = [
    "LastOwner",
    "Member",
    "OwnStore",
    "Store",
    "StoreName",
    "VerifyFirst",
    "add_member",
    "change_role",
    "commission_bps",
    "edit_store",
    "list_team",
    "my_store",
    "open_store",
    "remove_member",
    "store_by_slug",
    "stores_of",
]
