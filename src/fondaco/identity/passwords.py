"""Passwords: argon2id in two threads at most, the same cost whether an account exists or not."""

import asyncio
import re
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fondaco.core.problem import Unavailable

T = TypeVar("T")
LEAST, MOST = 10, 200
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)  # 19 MiB each: OWASP's second choice
_THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="argon2")
_MOST_WAITING = 100
_waiting: set[object] = set()

# The cores of the passwords that guessing begins with, spelled without digits and signs.
_COMMON = frozenset(
    """password passwort passwords motdepasse contrasena qwerty qwertz azerty qwertyuiop qwertzuiop asdfghjkl
    asdfgh zxcvbnm yxcvbnm letmein welcome willkommen iloveyou ichliebedich sunshine princess football
    baseball basketball superman batman spiderman starwars pokemon minecraft fortnite monkey dragon master
    shadow michael jennifer jordan ashley charlie freedom whatever trustno trustnoone changeme secret admin
    administrator root login hello helloworld computer internet samsung google facebook liverpool chelsea
    arsenal barcelona realmadrid juventus manchester summer winter spring autumn monday friday january
    december qazwsx qazwsxedc onetwothree abcdef abcdefg abcdefgh abcdefghij test testtest testing tester
    default guest user mypassword mynewpassword newpassword thepassword passwordpassword passw pass passpass
    lovely forever blink killer hunter ninja cookie chocolate butterfly flower cheese
    pepper ginger summertime mustang corvette ferrari porsche mercedes fondaco marketplace""".split()  # noqa: SIM905 - read as words
)
_LEET = str.maketrans("013457@$!", "oieastasi")


async def hash_password(password: str) -> str:
    """The argon2id hash to store. Raises Unavailable when too many already wait."""
    return await _in_thread(lambda: _HASHER.hash(_bytes(password)))


async def matches(stored: str | None, password: str) -> bool:
    """Whether `password` is the one. With `stored` None (no such account) it costs the same and says no."""

    def check() -> bool:
        try:
            _HASHER.verify(stored or _dummy(), _bytes(password[:MOST]))
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None

    return await _in_thread(check)


def stale(stored: str) -> bool:
    """Whether a hash was made with weaker settings than today's."""
    return _HASHER.check_needs_rehash(stored)


def fault(password: str, email: str) -> str | None:
    """Why this password cannot be taken, in words, or None. Looks nothing up outside this program."""
    plain = unicodedata.normalize("NFKC", password)
    if len(plain) < LEAST:
        return f"Use at least {LEAST} characters. Three or four words in a row are easy to remember."
    if len(plain) > MOST:
        return f"Use at most {MOST} characters."
    low = plain.lower()
    local = email.partition("@")[0]
    if low == email or (len(local) >= 4 and local in low and len(low) - len(local) < 6):
        return "Do not use your mail address as the password."
    if _guessable(low):
        return "This password is among the first that are guessed. Please choose another."
    return None


def _guessable(low: str) -> bool:
    if len(set(low)) < 4:
        return True
    if low.isdigit() and (low in "01234567890" * 20 or low in "09876543210" * 20):
        return True
    cores = (re.sub(r"[^a-z]", "", low), re.sub(r"[^a-z]", "", low.strip("0123456789!?.*#").translate(_LEET)))
    if any(core in _COMMON for core in cores):
        return True
    half = low[: len(low) // 2]
    return len(low) % 2 == 0 and half * 2 == low and (half.isdigit() or half in _COMMON)


async def _in_thread(work: Callable[[], T]) -> T:
    if len(_waiting) >= _MOST_WAITING:
        raise Unavailable()
    mark = object()
    _waiting.add(mark)
    try:
        return await asyncio.get_running_loop().run_in_executor(_THREADS, work)
    finally:
        _waiting.discard(mark)


@cache
def _dummy() -> str:
    return _HASHER.hash(b"nobody's password")


def _bytes(password: str) -> bytes:
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
