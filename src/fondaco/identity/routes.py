"""The API of accounts, sessions, second factor, API keys and saved views."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta

from fondaco import identity
from fondaco.core.pagination import Page
from fondaco.core.problem import NotFound
from fondaco.core.web import Call
from fondaco.identity.model import ApiKey, SavedView, SessionRow, SignedIn
from fondaco.identity.permissions import KEY_SCOPES
from fondaco.vault import Vault

Email = Annotated[str, Meta(description="Mail address.", max_length=320, examples=["ada@example.com"])]
Password = Annotated[str, Meta(description="At least 10 characters, not a common one.", max_length=1000)]
Code = Annotated[str, Meta(description="Six digits from the app, or a recovery code.", max_length=40)]
Link = Annotated[str, Meta(description="The secret in the mailed link.", max_length=200)]
Country = Annotated[str | None, Meta(description="ISO 3166-1, two letters.")]


class NewUser(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Somebody signing up."""

    email: Email
    password: Password
    name: Annotated[str, Meta(description="Shown on receipts, 1 to 120 characters.")]
    country: Country = None


class Address(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The address a mail is asked for."""

    email: Email


class Proof(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A mailed link being used."""

    token: Link


class NewPassword(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A new password, proved by a mailed link."""

    token: Link
    password: Password


class PasswordChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A new password, proved by the present one."""

    current: Password
    password: Password


class Credentials(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Address and password."""

    email: Email
    password: Password


class CodeGiven(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A code of the second factor."""

    code: Code


class Details(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One's own details."""

    name: Annotated[str, Meta(description="1 to 120 characters.")]
    country: Country = None
    theme: Literal["auto", "light", "dark"] = "auto"


class StoreChoice(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The store to work in from now on."""

    seller_id: UUID


class NewKey(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An API key to be made."""

    name: Annotated[str, Meta(description="What it is for, 1 to 80 characters.")]
    scopes: Annotated[list[str], Meta(description=f"Some of {', '.join(KEY_SCOPES)}.", max_length=50)]
    days: Annotated[int | None, Meta(description="Days until it ends, 1 to 3650; null: until revoked.")] = (
        None
    )


class NewView(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A filter to be kept."""

    list: Annotated[str, Meta(description="Which list it belongs to, such as seller.orders.")]
    name: Annotated[str, Meta(description="1 to 60 characters; the same name again replaces it.")]
    query: Annotated[str, Meta(description="The part of the page's address after '?'.")]


class Told(msgspec.Struct):
    """What happens next. The same whether the address is known or not."""

    message: str


class SessionToken(msgspec.Struct):
    """A session. Send the token as `Authorization: Bearer`; it is not shown again."""

    token: str
    session_id: UUID
    second_factor_needed: Annotated[
        bool, Meta(description="True: the token is good only for POST /api/v1/session/second-factor.")
    ]


class FactorSetup(msgspec.Struct):
    """What an authenticator app needs. Confirm with a first code to switch it on."""

    secret: str
    uri: str
    svg: Annotated[str, Meta(description="QR code as SVG.")]


class FactorOn(msgspec.Struct):
    """The second factor is on. Token and recovery codes are not shown again."""

    token: Annotated[str, Meta(description="This session's new token; the one before is dead.")]
    recovery_codes: list[str]


class Key(msgspec.Struct):
    """The new key; it is not shown again."""

    id: UUID
    key: str
    prefix: str


class Ended(msgspec.Struct):
    """How many sessions ended."""

    ended: int


class Me(msgspec.Struct):
    """Who is signed in."""

    user_id: UUID
    email: str
    name: str
    country: str | None
    verified: Annotated[bool, Meta(description="The mail address is proved.")]
    second_factor: Annotated[bool, Meta(description="A second factor is set up.")]
    staff_role: str | None
    seller_id: Annotated[UUID | None, Meta(description="The store this session works in.")]
    seller_name: str
    seller_role: str | None


def _session(found: SignedIn) -> SessionToken:
    return SessionToken(found.token, found.session_id, found.second_factor_needed)


@post("/api/v1/users", permit="public.see", status_code=202, summary="Sign up")
async def sign_up(request: Call, data: JSONBody[NewUser]) -> Told:
    await identity.sign_up(
        request.db,
        request.viewer,
        email=data.email,
        password=data.password,
        name=data.name,
        country=data.country,
    )
    return Told("Check your mail: open the link in it to prove your address.")


@post("/api/v1/users/verify", permit="public.see", status_code=200, summary="Prove a mail address")
async def verify(request: Call, data: JSONBody[Proof]) -> Told:
    await identity.verify_email(request.db, data.token)
    return Told("Your address is proved. You can sign in.")


@post(
    "/api/v1/users/verification", permit="public.see", status_code=202, summary="Ask for the link once more"
)
async def ask_verification(request: Call, data: JSONBody[Address]) -> Told:
    await identity.ask_verification(request.db, request.viewer, email=data.email)
    return Told("If this address has an account that is not proved yet, a mail is on its way.")


@post("/api/v1/users/reset", permit="public.see", status_code=202, summary="Ask for a link to a new password")
async def ask_reset(request: Call, data: JSONBody[Address]) -> Told:
    await identity.ask_reset(request.db, request.viewer, email=data.email)
    return Told("If this address has an account, a mail with a link is on its way. It works for 30 minutes.")


@post("/api/v1/users/password", permit="public.see", status_code=200, summary="Set a new password by link")
async def reset_password(request: Call, data: JSONBody[NewPassword]) -> Told:
    await identity.reset_password(request.db, data.token, password=data.password)
    return Told("Your password is changed and every session has ended. Please sign in.")


@post("/api/v1/session", permit="public.see", secret=True, summary="Sign in")
async def sign_in(request: Call, data: JSONBody[Credentials]) -> SessionToken:
    return _session(
        await identity.sign_in(request.db, request.viewer, email=data.email, password=data.password)
    )


@delete("/api/v1/session", permit="public.see", summary="Sign out")
async def sign_out(request: Call) -> None:
    await identity.sign_out(request.db, request.viewer)


@post(
    "/api/v1/session/second-factor",
    permit="public.see",
    secret=True,
    status_code=200,
    summary="Pass the second factor",
)
async def pass_second_factor(request: Call, data: JSONBody[CodeGiven]) -> SessionToken:
    return _session(
        await identity.verify_second_factor(request.db, request.part(Vault), request.viewer, data.code)
    )


@post("/api/v1/session/store", permit="account.own", status_code=204, summary="Work in another store")
async def switch_store(request: Call, data: JSONBody[StoreChoice]) -> None:
    await identity.switch_store(request.db, request.viewer, data.seller_id)


@get("/api/v1/me", permit="account.own", summary="Who is signed in")
async def me(request: Call) -> Me:
    v = request.viewer
    return Me(
        v.user(),
        v.email,
        v.name,
        v.country,
        v.verified,
        v.mfa_enrolled,
        v.staff_role,
        v.seller_id,
        v.seller_name,
        v.seller_role,
    )


@patch("/api/v1/me", permit="account.own", status_code=204, summary="Change one's details")
async def change_me(request: Call, data: JSONBody[Details]) -> None:
    await identity.change_details(
        request.db, request.viewer, name=data.name, country=data.country, theme=data.theme
    )


@post(
    "/api/v1/me/password",
    permit="account.own",
    secret=True,
    status_code=200,
    summary="Change one's password; all other sessions end",
)
async def change_password(request: Call, data: JSONBody[PasswordChange]) -> SessionToken:
    return _session(
        await identity.change_password(
            request.db, request.viewer, current=data.current, password=data.password
        )
    )


@post("/api/v1/me/second-factor", permit="account.own", secret=True, summary="Set up a second factor")
async def start_factor(request: Call) -> FactorSetup:
    made = await identity.start_second_factor(
        request.db, request.part(Vault), request.settings, request.viewer
    )
    return FactorSetup(made.secret, made.uri, made.svg)


@post(
    "/api/v1/me/second-factor/confirm",
    permit="account.own",
    secret=True,
    status_code=200,
    summary="Switch the second factor on",
)
async def confirm_factor(request: Call, data: JSONBody[CodeGiven]) -> FactorOn:
    made = await identity.confirm_second_factor(request.db, request.part(Vault), request.viewer, data.code)
    return FactorOn(made.token, list(made.recovery_codes))


@post(
    "/api/v1/me/second-factor/off",
    permit="account.own",
    status_code=204,
    summary="Switch the second factor off",
)
async def stop_factor(request: Call, data: JSONBody[CodeGiven]) -> None:
    await identity.stop_second_factor(request.db, request.part(Vault), request.viewer, data.code)


@get("/api/v1/me/sessions", permit="account.own", summary="Where one is signed in")
async def list_sessions(request: Call) -> Page[SessionRow]:
    return Page(await identity.list_sessions(request.db, request.viewer))


@delete("/api/v1/me/sessions/{session_id:uuid}", permit="account.own", summary="End a session")
async def revoke_session(request: Call, session_id: FromPath[UUID]) -> None:
    await identity.revoke_session(request.db, request.viewer, session_id)


@delete("/api/v1/me/sessions", permit="account.own", status_code=200, summary="End all sessions but this one")
async def revoke_others(request: Call) -> Ended:
    return Ended(await identity.revoke_other_sessions(request.db, request.viewer))


@get("/api/v1/me/views", permit="account.own", summary="Saved views of a list")
async def list_views(
    request: Call, list_name: Annotated[str, QueryParameter(name="list", min_length=1, max_length=60)]
) -> Page[SavedView]:
    if not list_name.isprintable():
        raise NotFound()
    return Page(await identity.list_views(request.db, request.viewer, list_name=list_name))


@post("/api/v1/me/views", permit="account.own", summary="Save a view")
async def save_view(request: Call, data: JSONBody[NewView]) -> SavedView:
    return await identity.save_view(
        request.db, request.viewer, list_name=data.list, name=data.name, query=data.query
    )


@delete("/api/v1/me/views/{view_id:uuid}", permit="account.own", summary="Forget a saved view")
async def delete_view(request: Call, view_id: FromPath[UUID]) -> None:
    await identity.delete_view(request.db, request.viewer, view_id)


@get("/api/v1/seller/api-keys", permit="api_keys.edit", summary="The store's API keys")
async def list_keys(request: Call) -> Page[ApiKey]:
    return Page(await identity.list_api_keys(request.db, request.viewer))


@post("/api/v1/seller/api-keys", permit="api_keys.edit", secret=True, summary="Make an API key")
async def create_key(request: Call, data: JSONBody[NewKey]) -> Key:
    made = await identity.create_api_key(
        request.db, request.viewer, name=data.name, scopes=data.scopes, days=data.days
    )
    return Key(made.id, made.key, made.prefix)


@delete("/api/v1/seller/api-keys/{key_id:uuid}", permit="api_keys.edit", summary="Revoke an API key")
async def revoke_key(request: Call, key_id: FromPath[UUID]) -> None:
    await identity.revoke_api_key(request.db, request.viewer, key_id)


routes = [
    sign_up,
    verify,
    ask_verification,
    ask_reset,
    reset_password,
    sign_in,
    sign_out,
    pass_second_factor,
    switch_store,
    me,
    change_me,
    change_password,
    start_factor,
    confirm_factor,
    stop_factor,
    list_sessions,
    revoke_session,
    revoke_others,
    list_views,
    save_view,
    delete_view,
    list_keys,
    create_key,
    revoke_key,
]
