#!/usr/bin/env python3
"""Checks an evidence pack (JSON or PDF): that nothing in it was changed since the marketplace signed it.

    python verify_evidence.py PACK [PUBLIC_KEY]

PUBLIC_KEY is the marketplace's, in base64, as it publishes it at /api/v1/evidence/key. Without it, the key in
the pack itself is used: that shows whether the pack is whole, not whose it is. Needs Python 3.9 or newer and
the package `cryptography`. Ends with 0 when all is well, 1 when it is not, 2 when it cannot be read.
"""

import base64
import binascii
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = b"fondaco evidence pack 1\n"
TRAILER = re.compile(rb"%fondaco-evidence ([A-Za-z0-9+/=]{44}) ([A-Za-z0-9+/=]{88})\n\Z")


class Broken(Exception):
    """The pack is not what was signed; the message says why."""


class Unreadable(Exception):
    """This is no evidence pack; the message says why."""


def canonical(value: object) -> bytes:
    """The one way the pack's data are written down."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def check_signature(body: bytes, signature: str, key: str) -> str:
    """The key's short name; raises Broken when it did not sign these bytes."""
    try:
        raw = base64.b64decode(key, validate=True)
        Ed25519PublicKey.from_public_bytes(raw).verify(
            base64.b64decode(signature, validate=True), FORMAT + body
        )
    except (InvalidSignature, ValueError, binascii.Error):
        raise Broken("the signature does not fit: something was changed, or another key signed it") from None
    return hashlib.sha256(raw).hexdigest()[:16]


def check_pdf(data: bytes, key: str) -> str:
    """What can be said of a PDF pack."""
    found = TRAILER.search(data)
    if not found:
        raise Broken("the PDF has no signature behind its end")
    inside, signature = found[1].decode(), found[2].decode()
    name = check_signature(data[: found.start()], signature, key or inside)
    return f"The PDF is as it was signed with key {name}."


def check_json(data: bytes, key: str) -> str:
    """What can be said of a JSON pack."""
    try:
        pack: dict[str, Any] = json.loads(data)
        facts: dict[str, Any] = pack["facts"]
        signature: str = str(pack["signature"])
        inside: str = str(pack["public_key"])
    except (ValueError, KeyError, TypeError):
        raise Unreadable("this is neither a JSON pack nor a PDF") from None
    body = canonical(facts)
    name = check_signature(body, signature, key or inside)
    if hashlib.sha256(body).hexdigest() != pack.get("sha256"):
        raise Broken("the hash beside the facts is another one")
    if canonical(pack) != data:
        raise Broken("the file was written anew: its bytes are not those that were given out")
    if facts.get("audience") == "staff":
        snapshot = hashlib.sha256(canonical(facts["snapshot"])).hexdigest()
        if snapshot != facts["snapshot_sha256"]:
            raise Broken("the snapshot inside is not the one whose hash was kept")
    return f"The pack is as it was signed with key {name}."


def check(data: bytes, key: str = "") -> str:
    """A sentence when all is well; raises Broken or Unreadable."""
    return check_pdf(data, key) if data.startswith(b"%PDF-") else check_json(data, key)


def main(arguments: Sequence[str]) -> int:
    """The command."""
    if not 1 <= len(arguments) <= 2:
        sys.stderr.write(__doc__ or "")
        return 2
    try:
        data = Path(arguments[0]).read_bytes()
        words = check(data, arguments[1] if len(arguments) > 1 else "")
    except (OSError, Unreadable) as error:
        sys.stderr.write(f"Cannot be read: {error}\n")
        return 2
    except Broken as error:
        sys.stderr.write(f"NOT VALID: {error}\n")
        return 1
    if len(arguments) < 2:
        words += " Whose key that is, only the marketplace can tell: give its public key to be sure."
    sys.stdout.write(f"VALID. {words}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
