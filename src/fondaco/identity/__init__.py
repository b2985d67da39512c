"""Identity: users, sessions, second factor, API keys, roles and THE permission table.

Passwords are argon2id hashes; tokens, keys and recovery codes are kept as hashes only; the second factor's
secret is sealed in the vault. What is answered never tells whether an address is known. Session, role,
membership and closing count from the next request on: every request asks the database who it is.
"""

from fondaco.identity.accounts import (
    ask_reset,
    ask_verification,
    change_details,
    change_password,
    create_user,
    new_mail_token,
    reset_password,
    sign_up,
    theme_of,
    user_by_email,
    verify_email,
)
from fondaco.identity.api_keys import create_api_key, list_api_keys, revoke_api_key
from fondaco.identity.second_factor import (
    confirm_second_factor,
    recovery_codes_left,
    start_second_factor,
    stop_second_factor,
    verify_second_factor,
)
from fondaco.identity.signing_in import (
    begin_session,
    list_sessions,
    revoke_other_sessions,
    revoke_session,
    sign_in,
    sign_out,
    switch_store,
)
from fondaco.identity.staff import close_account, give_staff_role, open_account, set_staff_role
from fondaco.identity.views import delete_view, list_views, save_view

__all__ = [
    "ask_reset",
    "ask_verification",
    "begin_session",
    "change_details",
    "change_password",
    "close_account",
    "confirm_second_factor",
    "create_api_key",
    "create_user",
    "delete_view",
    "give_staff_role",
    "list_api_keys",
    "list_sessions",
    "list_views",
    "new_mail_token",
    "open_account",
    "recovery_codes_left",
    "reset_password",
    "revoke_api_key",
    "revoke_other_sessions",
    "revoke_session",
    "save_view",
    "set_staff_role",
    "sign_in",
    "sign_out",
    "sign_up",
    "start_second_factor",
    "stop_second_factor",
    "switch_store",
    "theme_of",
    "user_by_email",
    "verify_email",
    "verify_second_factor",
]
