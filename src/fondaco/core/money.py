"""Money: integer minor units and a currency code. No float comes near it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from babel.numbers import format_currency

from fondaco.core.problem import Problem

# Digits after the decimal point where they are not two (ISO 4217).
_NO_DIGITS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THREE_DIGITS = "BHD IQD JOD KWD LYD OMR TND"
_EXPONENTS: dict[str, int] = {}
_EXPONENTS.update((code, 0) for code in _NO_DIGITS.split())
_EXPONENTS.update((code, 3) for code in _THREE_DIGITS.split())
_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,3})?")
MAX_MINOR = 10**15


class BadAmount(Problem):
    """Write the amount in digits, with a point before the cents, like 12.50."""

    status = 422
    code = "bad_amount"


def exponent(currency: str) -> int:
    """Number of minor-unit digits of a currency: 2 for EUR, 0 for JPY, 3 for KWD."""
    return _EXPONENTS.get(currency, 2)


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount in minor units (cents) of one currency (ISO 4217, upper case)."""

    minor: int
    currency: str

    def __add__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.minor - other.minor, self.currency)

    def _same(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise ValueError(f"cannot mix {self.currency} and {other.currency}")

    def decimal(self) -> Decimal:
        """The amount in major units, exact."""
        return Decimal(self.minor).scaleb(-exponent(self.currency))

    def words(self, *, signed: bool = False) -> str:
        """As people write it in sentences and tables: "€24.99"; `signed` shows a plus."""
        before, digits, after = _around_amount(self.currency)
        whole, rest = divmod(abs(self.minor), 10**digits)
        text = f"{before}{whole:,}.{rest:0{digits}d}{after}" if digits else f"{before}{whole:,}{after}"
        if self.minor < 0:
            return f"\N{MINUS SIGN}{text}"
        return f"+{text}" if signed and self.minor > 0 else text

    def __str__(self) -> str:
        return f"{self.decimal():f} {self.currency}"


@cache
def _around_amount(currency: str) -> tuple[str, int, str]:
    """What stands before and after an amount, and its digits after the point. Asked of Babel once for each
    currency: the digits between are put together much faster than Babel does."""
    digits = exponent(currency)
    zero = f"{0:.{digits}f}"
    pattern = "\N{CURRENCY SIGN}" + zero
    text = format_currency(Decimal(0), currency, pattern, locale="en", currency_digits=False)
    before, _, after = text.partition(zero)
    return before, digits, after


def parse_amount(text: str, currency: str) -> int:
    """Minor units from what a person typed ("12.50"); raises BadAmount on anything doubtful."""
    if not text.isascii() or not _AMOUNT.fullmatch(text := text.strip()):
        raise BadAmount()
    scaled = Decimal(text).scaleb(exponent(currency))
    if scaled != scaled.to_integral_value():
        raise BadAmount(f"{currency} has {exponent(currency)} digits after the point.")
    return int(scaled)


def share(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` in proportion to `weights` by largest remainder; the parts sum to `total`."""
    whole = sum(weights)
    if whole <= 0 or any(w < 0 for w in weights):
        raise ValueError("weights must be non-negative and not all zero")
    parts = [total * w // whole for w in weights]
    rest = total - sum(parts)
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in by_remainder[:rest]:
        parts[i] += 1
    return parts


def commission(total: int, tax: int, bps: int) -> int:
    """The marketplace's share of a line in minor units: `bps` basis points of the net, rounded
    down, so that the odd cent stays with the seller."""
    return (total - tax) * bps // 10_000
