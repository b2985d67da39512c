"""Signals, rules, tiers."""

from fondaco.core.migrate import run_file

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0014_risk.sql")
