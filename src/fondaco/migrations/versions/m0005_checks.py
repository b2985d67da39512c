"""Checks that run by themselves."""

from fondaco.core.migrate import run_file

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0005_checks.sql")
