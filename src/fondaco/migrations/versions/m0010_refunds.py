"""Approvals, refunds of lines, release policies."""

from fondaco.core.migrate import run_file

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0010_refunds.sql")
