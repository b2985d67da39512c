"""The chart of accounts for every way money can go."""

from fondaco.core.migrate import run_file

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0009_chart.sql")
