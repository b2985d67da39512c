"""Icons as inline SVG, read from the packaged icon set. They take the colour of the text around."""

import io
import re
from functools import cache
from importlib import resources
from zipfile import ZipFile

from markupsafe import Markup, escape

_SHAPES = re.compile(r"<svg[^>]*>(.*)</svg>", re.DOTALL)


class UnknownIcon(LookupError):
    """The icon set has no icon of this name."""


@cache
def _archive() -> ZipFile:
    return ZipFile(io.BytesIO(resources.files("lucide").joinpath("lucide.zip").read_bytes()))


@cache
def _shapes(name: str) -> str:
    try:
        text = _archive().read(f"{name}.svg").decode()
    except KeyError as error:
        raise UnknownIcon(name) from error
    found = _SHAPES.search(text)
    if found is None:
        raise UnknownIcon(name)
    return re.sub(r"\s+", " ", found.group(1)).replace(" />", "/>").strip()


@cache
def icon(name: str, size: int = 18, label: str = "") -> Markup:
    """The icon `name` as inline SVG, `size` CSS pixels square.

    Without `label` it is hidden from screen readers (the word beside it speaks); with one it is an
    image of that name. Raises UnknownIcon for a name the set does not have.
    """
    spoken = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    return Markup(  # noqa: S704 - built from the packaged set and an escaped label
        f'<svg class="icon" width="{size}" height="{size}" viewBox="0 0 24 24" fill="none" '
        f'stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round" '
        f'{spoken} focusable="false">{_shapes(name)}</svg>'
    )
