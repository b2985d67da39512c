"""Chargebacks, early warnings, wallets at risk."""

from fondaco.core.migrate import run_file

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0013_chargebacks.sql")
