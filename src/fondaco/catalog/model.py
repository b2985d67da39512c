"""The catalogue: rows, errors and the listing machine."""

from fondaco.core.machine import Machine, Move

LISTING = Machine(
    "listing",
    born=("DRAFT",),
    ends=("ARCHIVED",),
    moves=(
        Move("DRAFT", "PUBLISHED", "seller", "title, texts and price are complete"),
        Move("PUBLISHED", "PAUSED", "seller, ops", "hidden from buyers; open orders go on"),
        Move("PAUSED", "PUBLISHED", "seller, ops", "shown again"),
        Move("DRAFT", "ARCHIVED", "seller", "given up"),
        Move("PAUSED", "ARCHIVED", "seller", "no longer sold; its orders stay readable"),
    ),
)
