"""The mail server: one mail at a time over SMTP, with an id by which a repetition can be recognised."""

from collections.abc import Sequence
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from uuid import UUID

import aiosmtplib

from fondaco.core.clock import now
from fondaco.settings import Settings

TIMEOUT_S = 20


class MailRefused(Exception):
    """The server refused this mail for good (a 5xx answer to it); trying again is useless."""


class MailNotSent(Exception):
    """The mail was not taken this time, or it is not known whether it was; it may be tried again."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file sent along; `media_type` like "application/pdf"."""

    name: str
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Letter:
    """What is sent. `id` makes the Message-ID, so a second sending of the same letter shows as the same."""

    id: UUID
    recipient: str
    subject: str
    plain: str
    html: str
    attachments: Sequence[Attachment] = ()


class Mailer:
    """Sends through the configured server; `configured` is false when there is none."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def configured(self) -> bool:
        return self._settings.smtp_host is not None

    def message(self, letter: Letter) -> EmailMessage:
        """The letter in its wire form."""
        made = EmailMessage()
        made["Message-ID"] = f"<{letter.id}@{self._domain()}>"
        made["Date"] = format_datetime(now())
        made["From"] = self._sender()
        made["To"] = letter.recipient
        made["Subject"] = " ".join(letter.subject.split())
        made["Auto-Submitted"] = "auto-generated"
        made.set_content(letter.plain)
        made.add_alternative(letter.html, subtype="html")
        for file in letter.attachments:
            main, _, sub = file.media_type.partition("/")
            made.add_attachment(file.body, maintype=main, subtype=sub, filename=file.name)
        return made

    async def send(self, letter: Letter) -> None:
        """Hand the letter to the server. Raises MailRefused or MailNotSent."""
        try:
            message = self.message(letter)
        except ValueError as error:
            raise MailRefused(f"the mail cannot be written: {error}") from error
        settings = self._settings
        password = settings.smtp_password
        try:
            await aiosmtplib.send(
                message,
                hostname=settings.smtp_host,
                port=settings.smtp_port,
                username=settings.smtp_user,
                password=password.get_secret_value() if password else None,
                start_tls=settings.smtp_starttls,
                timeout=TIMEOUT_S,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            code = max((r.code for r in error.recipients), default=550)
            words = f"the server refused the recipient ({code})"
            raise (MailRefused if code >= 500 else MailNotSent)(words) from error
        except aiosmtplib.SMTPAuthenticationError as error:
            raise MailNotSent("the server refused our account") from error
        except aiosmtplib.SMTPResponseException as error:
            words = f"the server answered {error.code}"
            refused = error.code >= 500 and isinstance(
                error, aiosmtplib.SMTPDataError | aiosmtplib.SMTPRecipientRefused
            )
            raise (MailRefused if refused else MailNotSent)(words) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise MailNotSent(f"the server cannot be reached ({type(error).__name__})") from error

    async def probe(self) -> None:
        """Connect, secure the connection and sign in, as sending would. Raises MailNotSent."""
        settings = self._settings
        password = settings.smtp_password
        client = aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_user,
            password=password.get_secret_value() if password else None,
            start_tls=settings.smtp_starttls,
            timeout=TIMEOUT_S,
        )
        try:
            async with client:
                await client.noop()
        except aiosmtplib.SMTPAuthenticationError as error:
            raise MailNotSent("the server refused the account or its password") from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise MailNotSent(f"the server cannot be used ({type(error).__name__})") from error

    def _sender(self) -> Address:
        name, address = parseaddr(self._settings.mail_from)
        return Address(display_name=name, addr_spec=address)

    def _domain(self) -> str:
        return parseaddr(self._settings.mail_from)[1].rpartition("@")[2] or "localhost"
