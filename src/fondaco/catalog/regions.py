"""Where a key can be activated: regions, their names, and who is inside."""

from functools import cache
from typing import cast

from babel import Locale

GLOBAL = "GLOBAL"
EU = "EU"
_EU = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
# Codes in the names' source that are no countries.
_NO_COUNTRIES = frozenset({"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"})


@cache
def regions() -> dict[str, str]:
    """Every region code with its English name: GLOBAL, EU, then countries (ISO 3166) by name."""
    names = cast(dict[str, str], Locale("en").territories)
    countries = {
        code: name
        for code, name in names.items()
        if len(code) == 2 and code.isalpha() and code not in _NO_COUNTRIES
    }
    ordered = sorted(countries.items(), key=lambda item: item[1])
    return {GLOBAL: "Global", EU: "European Union", **dict(ordered)}


def is_country(code: str) -> bool:
    """Whether `code` is an ISO 3166 country, in capitals."""
    return code in regions() and code not in (GLOBAL, EU)


def region_name(code: str) -> str:
    """The region in words; the code itself when it is unknown."""
    return regions().get(code, code)


def can_activate(region: str, country: str | None) -> bool:
    """Whether somebody in `country` can use a key of `region`. With no country known, only GLOBAL is sure."""
    return region == GLOBAL or (
        country is not None and (region == country or (region == EU and country in _EU.split()))
    )
