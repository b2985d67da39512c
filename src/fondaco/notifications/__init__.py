"""Notifications: mails from versioned templates, caused by events.

A mail is a row written while reading the event that causes it, once per cause; sending comes afterwards
and never undoes what the mail is about. Links that open something are sealed until they are sent.
"""

from fondaco.notifications.actions import (
    Recipient,
    count_mails,
    list_mails,
    mail_by_id,
    mails_of,
    queue_mail,
    send_again,
)
from fondaco.notifications.letters import TEMPLATES, preview
from fondaco.notifications.model import STATES, FullMail, MailRow

__all__ = [
    "STATES",
    "TEMPLATES",
    "FullMail",
    "MailRow",
    "Recipient",
    "count_mails",
    "list_mails",
    "mail_by_id",
    "mails_of",
    "preview",
    "queue_mail",
    "send_again",
]
