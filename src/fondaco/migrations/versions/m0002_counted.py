"""Counted stock: listings sold by number."""

from fondaco.core.migrate import run_file

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0002_counted.sql")
