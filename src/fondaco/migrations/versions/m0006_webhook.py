"""Events that can have no effect end at the door; fees are booked many at once."""

from fondaco.core.migrate import run_file

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0006_webhook.sql")
