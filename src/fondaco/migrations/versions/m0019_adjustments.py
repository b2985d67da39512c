"""Tax on commission, adjustments, forfeits."""

from fondaco.core.migrate import run_file

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0019_adjustments.sql")
