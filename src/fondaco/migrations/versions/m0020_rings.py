"""Rings, devices and cards."""

from fondaco.core.migrate import run_file

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0020_rings.sql")
