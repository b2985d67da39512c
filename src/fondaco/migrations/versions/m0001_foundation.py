"""Foundation: the database of version 0.1.0, frozen in 0001_foundation.sql."""

from fondaco.core.migrate import run_file

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0001_foundation.sql")
