"""Credit: small orders delivered before they are paid."""

from fondaco.core.migrate import run_file

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0017_credit.sql")
