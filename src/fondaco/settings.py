"""Every setting, validated together at the start. Environment variables, `.env`, or secret files."""

import base64
from collections.abc import Iterator
from email.utils import parseaddr
from enum import StrEnum
from functools import cached_property
from ipaddress import ip_network
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fondaco.core import clock, failpoints


class Mode(StrEnum):
    """`demo`: the laptop start, everything local. `production`: unsafe defaults refuse to start."""

    DEMO = "demo"
    PRODUCTION = "production"


class Settings(BaseSettings):
    """All settings. Each field's description is its documentation."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, secrets_dir=None, hide_input_in_errors=True
    )

    fondaco_mode: Annotated[Mode, Field(description="demo or production.")] = Mode.DEMO
    base_url: Annotated[
        str,
        Field(
            description="Where browsers reach the marketplace; used in every link "
            "and mail. https in production."
        ),
    ] = "http://127.0.0.1:8000"
    marketplace_name: Annotated[str, Field(description="The name on pages, receipts and mails.")] = "fondaco"
    currency: Annotated[
        str, Field(pattern="^[A-Z]{3}$", description="Currency of new listings and wallets (ISO 4217).")
    ] = "EUR"
    support_email: Annotated[str, Field(description="Address shown to customers.")] = "support@localhost.test"

    database_url: Annotated[
        SecretStr,
        Field(
            description="PostgreSQL 15 or newer, as the application role "
            "(owns nothing). May be a transaction pooler."
        ),
    ]
    database_direct_url: Annotated[
        SecretStr | None,
        Field(description="The same database without a pooler: LISTEN. Default: database_url."),
    ] = None
    database_owner_url: Annotated[
        SecretStr | None, Field(description="As the owner, for `fondaco migrate` only.")
    ] = None
    database_pooled: Annotated[
        bool, Field(description="database_url is a transaction pooler such as PgBouncer.")
    ] = False
    database_pool_size: Annotated[int, Field(ge=2, le=100, description="Connections per process.")] = 6

    secret_key: Annotated[
        SecretStr,
        Field(description="At least 32 random bytes, base64: signs cursors, CSRF tokens and guest carts."),
    ]
    vault_keys: Annotated[
        SecretStr,
        Field(
            description="Key-encryption keys, newest first: "
            "`name:base64-of-32-bytes`, comma-separated. Old ones stay "
            "until rotation is finished."
        ),
    ]
    fingerprint_key: Annotated[
        SecretStr,
        Field(
            description="32 random bytes, base64: recognises a key sold "
            "twice without keeping its text. Never change it."
        ),
    ]
    signing_key: Annotated[
        SecretStr, Field(description="Ed25519 private key, 32 bytes base64: signs audit blocks.")
    ]

    recognise_browsers: Annotated[
        bool | None,
        Field(
            description="Keep a keyed hash of a browser's cookie at sign-in and checkout, to see which "
            "accounts are used from one browser. Left out: in production only; in a demo one browser "
            "plays all parts."
        ),
    ] = None

    stripe_secret_key: Annotated[SecretStr, Field(description="Stripe's secret key (sk_...).")] = SecretStr(
        "sk_test_sandbox"
    )
    stripe_api_base: Annotated[
        str | None,
        Field(description="Base address of the local Stripe sandbox; leave out for Stripe itself."),
    ] = None
    stripe_webhook_secrets: Annotated[
        SecretStr,
        Field(
            description="Signing secrets (whsec_...) of the webhook "
            "endpoint, comma-separated while one is rotated."
        ),
    ]

    smtp_host: Annotated[
        str | None,
        Field(description="Mail server. Without one, mails are captured and shown in the console."),
    ] = None
    smtp_port: Annotated[int, Field(ge=1, le=65535, description="Mail server's port.")] = 587
    smtp_user: Annotated[str | None, Field(description="Mail account.")] = None
    smtp_password: Annotated[SecretStr | None, Field(description="Mail account's password.")] = None
    smtp_starttls: Annotated[bool, Field(description="Use STARTTLS.")] = True
    mail_from: Annotated[str, Field(description="Sender of all mails.")] = "fondaco <no-reply@localhost.test>"

    blob_url: Annotated[str, Field(description="Where pictures are kept: file:///folder or s3://bucket.")] = (
        "file://./.fondaco/blobs"
    )
    commission_bps: Annotated[
        int, Field(ge=0, le=5000, description="Marketplace's share of a sale in basis points (1000 = 10 %).")
    ] = 1000
    reservation_minutes: Annotated[
        int,
        Field(ge=30, le=1440, description="How long a card checkout holds its stock (Stripe's least is 30)."),
    ] = 30
    protection_days: Annotated[
        int,
        Field(
            ge=0,
            le=60,
            description="Buyer protection: days after delivery until money is released by itself.",
        ),
    ] = 3
    case_days: Annotated[
        int,
        Field(
            ge=0,
            le=180,
            description="Days after the release of a line's money in which its buyer may still open a case.",
        ),
    ] = 14
    payout_hour: Annotated[
        int, Field(ge=0, le=23, description="Hour of the day (UTC) from which the daily payouts are made.")
    ] = 2
    payout_min: Annotated[int, Field(ge=1, description="The least that is paid out, minor units.")] = 100
    reserve_days: Annotated[
        int,
        Field(ge=1, le=365, description="Days after which money kept back by risk tier becomes payable."),
    ] = 60
    hold_days: Annotated[
        int,
        Field(ge=1, le=730, description="Days after which money still held for a seller is an alert."),
    ] = 90
    release_policy: Annotated[
        Literal["delivered_days", "revealed_hours", "confirmed"],
        Field(
            description="When a seller gets the money of a sale, besides the buyer's word and "
            "protection_days: delivered_days (nothing else), revealed_hours (release_hours after everything "
            "was opened), confirmed (nothing else, and pages say so)."
        ),
    ] = "delivered_days"
    release_hours: Annotated[
        int, Field(ge=1, le=1440, description="With release_policy revealed_hours: hours after opening.")
    ] = 24
    refund_days: Annotated[
        int,
        Field(
            ge=0,
            le=60,
            description="Days after delivery in which buyers may give back by themselves what they have not "
            "opened, while the money is held. 0: not at all.",
        ),
    ] = 14
    replacement_days: Annotated[
        int,
        Field(
            ge=0,
            le=60,
            description="Days after delivery in which buyers may report a key that does not work.",
        ),
    ] = 14
    report_hours: Annotated[
        int,
        Field(ge=1, le=720, description="Hours a seller has to answer such a report; then it is refunded."),
    ] = 72
    chargeback_liability: Annotated[
        Literal["platform", "seller", "shared"],
        Field(
            description="Who bears what a lost chargeback leaves owed by its buyer: platform (sellers "
            "never), seller (up to what they got for the line), shared (chargeback_share of that)."
        ),
    ] = "platform"
    chargeback_share: Annotated[
        int,
        Field(
            ge=0,
            le=10_000,
            description="With chargeback_liability shared: the sellers' part, hundredths of a percent.",
        ),
    ] = 5_000
    evidence_unconfirmed: Annotated[
        Literal["send", "leave"],
        Field(
            description="What becomes of evidence nobody confirmed: send (evidence_hours before the bank's "
            "time is over) or leave (the chargeback is lost)."
        ),
    ] = "send"
    evidence_hours: Annotated[
        int, Field(ge=1, le=240, description="Hours before the bank's time is over, for that.")
    ] = 24
    warning_refund_limit: Annotated[
        int,
        Field(
            ge=0,
            description="After a card network's early warning of fraud, what is unspent of a payment goes "
            "back by itself up to this, minor units. 0: never.",
        ),
    ] = 10_000
    goodwill_limit: Annotated[
        int, Field(ge=0, description="Above this a goodwill payment needs two people, minor units.")
    ] = 2_000
    refund_limit: Annotated[
        int,
        Field(ge=0, description="Above this a refund by the staff needs two people, minor units."),
    ] = 10_000
    top_up_min: Annotated[int, Field(ge=1, description="Least wallet top-up, minor units.")] = 500
    top_up_max: Annotated[int, Field(ge=1, description="Largest wallet top-up, minor units.")] = 50_000
    api_rate: Annotated[
        int,
        Field(
            ge=1,
            le=1_000_000,
            description="Calls per second one caller may make to the API of one process; "
            "three seconds' worth may come at once.",
        ),
    ] = 20
    trusted_proxies: Annotated[
        str,
        Field(description="Addresses of reverse proxies whose X-Forwarded-For is believed, comma-separated."),
    ] = ""
    fondaco_test_faults: Annotated[
        bool, Field(description="Allows the three settings below; for tests, refused in production.")
    ] = False
    fondaco_failpoints: Annotated[
        str,
        Field(description="Where processes shall die, wait or fail: `point=action@turn`, comma-separated."),
    ] = ""
    fondaco_failpoints_log: Annotated[
        str | None, Field(description="File in which failpoints that acted are written down.")
    ] = None
    fondaco_test_clock_offset: Annotated[
        float, Field(description="Seconds by which this process's clock shall be wrong.")
    ] = 0.0

    @model_validator(mode="after")
    def _whole(self) -> "Settings":
        faults = list(_faults(self))
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @cached_property
    def key(self) -> bytes:
        """The bytes of secret_key."""
        return base64.b64decode(self.secret_key.get_secret_value())

    @cached_property
    def webhook_secrets(self) -> tuple[str, ...]:
        return tuple(
            s.strip() for s in self.stripe_webhook_secrets.get_secret_value().split(",") if s.strip()
        )

    @property
    def direct_dsn(self) -> str:
        return (self.database_direct_url or self.database_url).get_secret_value()

    @property
    def production(self) -> bool:
        return self.fondaco_mode is Mode.PRODUCTION

    @property
    def knows_browsers(self) -> bool:
        return self.production if self.recognise_browsers is None else self.recognise_browsers

    @property
    def secure_cookies(self) -> bool:
        return self.base_url.startswith("https://")


def _key_length(secret: SecretStr) -> int:
    try:
        return len(base64.b64decode(secret.get_secret_value(), validate=True))
    except ValueError:
        return -1


def _faults(s: Settings) -> Iterator[str]:
    """Everything that is wrong, as sentences."""
    yield from _key_faults(s)
    if s.top_up_min > s.top_up_max:
        yield "top_up_min must not be above top_up_max"
    if s.database_pooled and not s.database_direct_url:
        yield "database_direct_url is missing: with database_pooled, jobs need a way around the pooler"
    if bool(s.smtp_user) != bool(s.smtp_password):
        yield "smtp_user and smtp_password go together; one of them is missing"
    yield from _address_faults(s)
    yield from _test_faults(s)
    if s.production:
        yield from _production_faults(s)


def _key_faults(s: Settings) -> Iterator[str]:
    for name in ("secret_key", "fingerprint_key", "signing_key"):
        size = _key_length(getattr(s, name))
        if size < 32 or (name == "signing_key" and size != 32):
            yield f"{name} must be {'exactly ' if name == 'signing_key' else 'at least '}32 bytes in base64"
    names: list[str] = []
    keys: list[str] = []
    for part in s.vault_keys.get_secret_value().split(","):
        name, _, encoded = part.strip().partition(":")
        if not name or _key_length(SecretStr(encoded)) != 32:
            yield "vault_keys must be name:base64-of-32-bytes, comma-separated"
            break
        names.append(name)
        keys.append(encoded)
    if len(set(names)) != len(names) or len(set(keys)) != len(keys):
        yield "vault_keys must not name or hold the same key twice"
    if not s.webhook_secrets or any(not w.startswith("whsec_") or len(w) < 20 for w in s.webhook_secrets):
        yield "stripe_webhook_secrets must be one or more whsec_... secrets of at least 20 characters"


def _address_faults(s: Settings) -> Iterator[str]:
    if not s.base_url.startswith(("http://", "https://")) or s.base_url.endswith("/"):
        yield "base_url must start with http:// or https:// and not end with a slash"
    for name in ("database_url", "database_direct_url", "database_owner_url"):
        dsn = getattr(s, name)
        if dsn and not dsn.get_secret_value().startswith(("postgresql://", "postgres://")):
            yield f"{name} must start with postgresql://"
    for name in ("support_email", "mail_from"):
        if "@" not in parseaddr(getattr(s, name))[1]:
            yield f"{name} must be a mail address"
    if urlsplit(s.blob_url).scheme not in ("file", "s3", "memory"):
        yield "blob_url must start with file://, s3:// or memory://"
    for proxy in filter(None, (p.strip() for p in s.trusted_proxies.split(","))):
        try:
            ip_network(proxy, strict=False)
        except ValueError:
            yield f"trusted_proxies: {proxy!r} is no address or network"


def _test_faults(s: Settings) -> Iterator[str]:
    if s.fondaco_test_faults and s.production:
        yield "production: fondaco_test_faults is for tests; leave it out"
    for name in ("fondaco_failpoints", "fondaco_failpoints_log", "fondaco_test_clock_offset"):
        if getattr(s, name) and not (s.fondaco_test_faults and not s.production):
            yield f"{name} needs fondaco_test_faults and a mode that is not production"
    try:
        failpoints.parse(s.fondaco_failpoints)
    except ValueError as error:
        yield f"fondaco_failpoints: {error}"


def _production_faults(s: Settings) -> Iterator[str]:
    if not s.base_url.startswith("https://"):
        yield "production: base_url must be https"
    if s.stripe_api_base:
        yield "production: stripe_api_base points at a sandbox; leave it out"
    if s.stripe_secret_key.get_secret_value() == "sk_test_sandbox":
        yield "production: stripe_secret_key is missing"
    if not s.smtp_host:
        yield "production: smtp_host is missing; customers would get no mail"
    if s.support_email.endswith("localhost.test") or "localhost.test" in s.mail_from:
        yield "production: support_email and mail_from must be real addresses"


def arm_faults(settings: Settings) -> None:
    """Switch on the faults that a test asked this process for; at the start of web and worker."""
    failpoints.arm(settings.fondaco_failpoints, settings.fondaco_failpoints_log)
    clock.set_wrong(settings.fondaco_test_clock_offset)


class BadSettings(Exception):
    """The configuration cannot be used; the message lists every fault, one a line."""


def load() -> Settings:
    """Settings from the environment; raises BadSettings naming all faults at once."""
    try:
        return Settings()  # type: ignore[call-arg]
    except ValidationError as error:
        lines: list[str] = []
        for e in error.errors():
            where = ".".join(str(p) for p in e["loc"]).upper()
            for text in str(e["msg"]).removeprefix("Value error, ").splitlines():
                lines.append(f"{where}: {text}" if where else text)
        raise BadSettings("\n".join(lines)) from None
