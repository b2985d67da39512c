"""Runs and breaks."""

from fondaco.core.migrate import run_file

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0016_reconciliation.sql")
