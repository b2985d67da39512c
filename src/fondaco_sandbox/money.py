"""Currencies, fees and limits. Amounts are integer minor units."""

from fondaco_sandbox.errors import invalid


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


ZERO_DECIMAL = _codes("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf")
THREE_DECIMAL = _codes("bhd jod kwd omr tnd")
_WHOLE_UNITS = _codes("isk ugx")
TWO_DECIMAL = _codes("""
    usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bmd bnd bob brl bsd bwp byn bzd cad cdf chf
    cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils
    inr isk jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn
    nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub sar sbd scr sek sgd shp sle sos srd
    std szl thb tjs top try ttd twd tzs uah ugx uyu uzs wst xcd yer zar zmw
""")
CURRENCIES = ZERO_DECIMAL | THREE_DECIMAL | TWO_DECIMAL
_SMALLEST = {
    "aed": 200, "czk": 1500, "dkk": 250, "gbp": 30, "hkd": 400, "huf": 17500, "mxn": 1000, "myr": 200,
    "nok": 300, "pln": 200, "ron": 200, "sek": 300, "thb": 1000,
}  # fmt: skip
_LARGEST = 99_999_999
DISPUTE_FEE = 1500


def fee(amount: int) -> int:
    """2.9 % and 30 minor units, rounded half up."""
    return (amount * 29 + 500) // 1000 + 30


def currency(given: str, param: str = "currency") -> str:
    """The code in lower case, or Stripe's refusal."""
    code = given.lower()
    if code not in CURRENCIES:
        raise invalid(
            f"Invalid currency: {given}. Stripe currently supports these currencies: "
            f"{', '.join(sorted(CURRENCIES))}",
            param,
        )
    return code


def payable(amount: int, code: str, param: str = "amount") -> int:
    """An amount that can be charged, or Stripe's refusal."""
    if amount < 1:
        raise invalid("This value must be greater than or equal to 1.", param, "parameter_invalid_integer")
    smallest = _SMALLEST.get(code, 50)
    if amount < smallest:
        message = f"Amount must be at least {shown(smallest, code)}"
        raise invalid(message, param, "amount_too_small")
    if amount > _LARGEST:
        message = f"Amount must be no more than {shown(_LARGEST, code)}"
        raise invalid(message, param, "amount_too_large")
    if (code in THREE_DECIMAL and amount % 10) or (code in _WHOLE_UNITS and amount % 100):
        raise invalid(f"Invalid amount: {amount} cannot be charged in {code}; round it.", param)
    return amount


def shown(amount: int, code: str) -> str:
    """An amount for people, such as "12.50 EUR"."""
    sign, digits = ("-" if amount < 0 else ""), decimal(abs(amount), code)
    whole, point, rest = digits.partition(".")
    return f"{sign}{int(whole):,}{point}{rest} {code.upper()}"


def decimal(amount: int, code: str) -> str:
    """An amount in whole units, such as "-12.50"."""
    sign, digits = ("-" if amount < 0 else ""), str(abs(amount))
    places = 0 if code in ZERO_DECIMAL else 3 if code in THREE_DECIMAL else 2
    if places:
        digits = digits.rjust(places + 1, "0")
        digits = f"{digits[:-places]}.{digits[-places:]}"
    return sign + digits
