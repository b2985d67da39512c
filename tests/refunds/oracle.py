"""What refunds must do, in plain integers: lines of one seller, release, maturity, the buyer."""

from dataclasses import dataclass, field

from fondaco.core.money import share


@dataclass
class Line:
    """One sold line: what it cost and the parts that are still with seller, marketplace and tax."""

    total: int
    seller: int
    commission: int
    tax: int
    commission_tax: int = 0
    released: bool = False
    matured: bool = False

    @property
    def left(self) -> int:
        return self.seller + self.commission + self.tax + self.commission_tax


@dataclass
class Books:
    """Balances by what they mean; `lines` in the order they were bought."""

    lines: list[Line] = field(default_factory=list)
    wallet: int = 0
    pending: int = 0
    available: int = 0
    owed: int = 0
    paid_out: int = 0
    commission: int = 0
    tax: int = 0

    @property
    def escrow(self) -> int:
        return sum(line.left for line in self.lines if not line.released)

    def refund(self, n: int, amount: int | None) -> bool:
        line = self.lines[n]
        amount = line.left if amount is None else amount
        if not 0 < amount <= line.left:
            return False
        seller, commission, tax, on_commission = share(
            amount, [line.seller, line.commission, line.tax, line.commission_tax]
        )
        line.seller -= seller
        line.commission -= commission
        line.tax -= tax
        line.commission_tax -= on_commission
        self.wallet += amount
        if line.released:
            self.commission -= commission
            self.tax -= tax + on_commission
            if not line.matured:
                taken = min(seller, self.pending)
                self.pending -= taken
                seller -= taken
            taken = min(seller, self.available)
            self.available -= taken
            self.owed += seller - taken
        return True

    def release(self, n: int) -> None:
        line = self.lines[n]
        if line.released or not line.left:
            return
        line.released = True
        self.commission += line.commission
        self.tax += line.tax + line.commission_tax
        netted = min(line.seller, self.owed)
        self.owed -= netted
        self.pending += line.seller - netted

    def mature(self) -> None:
        """Everything released is payable: the last of what is pending goes with it."""
        due = [line for line in self.lines if line.released and not line.matured]
        for line in due:
            line.matured = True
        if due:
            self.available += self.pending
            self.pending = 0

    def pay_out(self, amount: int) -> None:
        amount = min(amount, self.available)
        self.available -= amount
        self.paid_out += amount
