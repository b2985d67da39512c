"""Brakes on guessing. They count in the database, for all processes, and always end by themselves."""

import hashlib
from ipaddress import IPv6Address, ip_address, ip_network
from uuid import UUID

from fondaco.core.db import SYSTEM, Connection, Database, throttle
from fondaco.core.problem import TooMany

Hit = tuple[str, int, int]  # key, limit, window in seconds
_QUARTER, _HOUR = 900, 3600


async def slow_down(db: Database, *hits: Hit) -> None:
    """Count one try on each limit, in a transaction of its own; raises TooMany when one is used up."""

    async def work(conn: Connection) -> int:
        return max([await throttle(conn, *hit) for hit in hits])

    wait = await db.run(SYSTEM, work)
    if wait:
        minutes = -(-wait // 60)
        words = "a minute" if minutes == 1 else f"{minutes} minutes"
        raise TooMany(f"Too many tries. Please wait {words}.", retry_after=wait)


def by_address(verb: str, email: str, limit: int, window: int = _HOUR) -> Hit:
    """Per account, whether it exists or not."""
    return f"{verb}:account:{hashlib.sha256(email.encode()).hexdigest()[:32]}", limit, window


def by_user(verb: str, user_id: UUID, limit: int, window: int = _QUARTER) -> Hit:
    return f"{verb}:user:{user_id}", limit, window


def by_place(verb: str, ip: str, limit: int, window: int = _QUARTER) -> tuple[Hit, Hit]:
    """Per address, and four times that per network around it (/24, or /48 for IPv6)."""
    return (
        (f"{verb}:ip:{network(ip, 32, 64)}", limit, window),
        (f"{verb}:net:{network(ip, 24, 48)}", limit * 4, window),
    )


def network(ip: str, v4: int = 24, v6: int = 64) -> str:
    """The network an address belongs to, as text; anything unreadable is one network."""
    try:
        address = ip_address(ip)
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(ip_network(f"{address}/{v4 if address.version == 4 else v6}", strict=False))


def place_hash(user_id: UUID, ip: str) -> bytes:
    """How a network a user signed in from is remembered."""
    return hashlib.sha256(f"{user_id}|{network(ip)}".encode()).digest()
