"""The API of stores and teams."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from fondaco import sellers
from fondaco.core.pagination import Page
from fondaco.core.web import Call
from fondaco.sellers.model import Member, OwnStore, Store, StoreName

Role = Literal["owner", "manager", "fulfilment", "finance", "read_only"]
Country = Annotated[str, Meta(description="ISO 3166-1, two letters.", examples=["DE"])]


class NewStore(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A store to be opened."""

    name: Annotated[str, Meta(description="2 to 80 characters; its address is made from it.")]
    country: Country
    support_email: Annotated[str | None, Meta(description="Where customers write; default: yours.")] = None
    about: Annotated[str, Meta(description="Markdown, at most 5000 characters.")] = ""


class StoreChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to change of a store; fields left out stay."""

    version: Annotated[int, Meta(ge=1, le=2**31 - 1, description="`version` as it was seen.")]
    name: str | None = None
    country: Annotated[str | None, Meta(description="ISO 3166-1, two letters.")] = None
    support_email: str | None = None
    about: Annotated[str | None, Meta(description="Markdown, at most 5000 characters.")] = None


class NewMember(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A person to be added to the team: somebody with a proved account."""

    email: str
    role: Role


class RoleChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A member's new role."""

    role: Role


@post("/api/v1/stores", permit="store.open", summary="Open a store")
async def open_store(request: Call, data: JSONBody[NewStore]) -> OwnStore:
    return await sellers.open_store(
        request.db,
        request.viewer,
        name=data.name,
        country=data.country,
        support_email=data.support_email,
        about=data.about,
    )


@get("/api/v1/stores/{slug:str}", permit="public.see", summary="A store as everybody sees it")
async def show_store(request: Call, slug: FromPath[str]) -> Store:
    return await sellers.store_by_slug(request.db, slug)


@get("/api/v1/me/stores", permit="account.own", summary="The stores one works in")
async def my_stores(request: Call) -> Page[StoreName]:
    return Page(await sellers.stores_of(request.db, request.viewer))


@get("/api/v1/seller/store", permit="seller.see", summary="The store this session works in")
async def my_store(request: Call) -> OwnStore:
    return await sellers.my_store(request.db, request.viewer)


@patch("/api/v1/seller/store", permit="store.edit", summary="Change the store")
async def edit_store(request: Call, data: JSONBody[StoreChange]) -> OwnStore:
    now = await sellers.my_store(request.db, request.viewer)
    return await sellers.edit_store(
        request.db,
        request.viewer,
        version=data.version,
        name=now.name if data.name is None else data.name,
        support_email=now.support_email if data.support_email is None else data.support_email,
        country=now.country if data.country is None else data.country,
        about=now.about if data.about is None else data.about,
    )


@get("/api/v1/seller/team", permit="team.see", summary="The store's team")
async def list_team(request: Call) -> Page[Member]:
    return Page(await sellers.list_team(request.db, request.viewer))


@post("/api/v1/seller/team", permit="team.edit", summary="Add a member")
async def add_member(request: Call, data: JSONBody[NewMember]) -> Page[Member]:
    await sellers.add_member(request.db, request.viewer, email=data.email, role=data.role)
    return Page(await sellers.list_team(request.db, request.viewer))


@patch(
    "/api/v1/seller/team/{user_id:uuid}",
    permit="team.edit",
    status_code=204,
    summary="Change a member's role",
)
async def change_role(request: Call, user_id: FromPath[UUID], data: JSONBody[RoleChange]) -> None:
    await sellers.change_role(request.db, request.viewer, user_id=user_id, role=data.role)


@delete("/api/v1/seller/team/{user_id:uuid}", permit="team.edit", summary="Remove a member")
async def remove_member(request: Call, user_id: FromPath[UUID]) -> None:
    await sellers.remove_member(request.db, request.viewer, user_id=user_id)


routes = [
    open_store,
    show_store,
    my_stores,
    my_store,
    edit_store,
    list_team,
    add_member,
    change_role,
    remove_member,
]
