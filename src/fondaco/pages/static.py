"""Static files: own assets and files of installed packages, under URLs that change with content.

`/static/<hash>/<name>` never changes its bytes, so it is cached for a year; each file is read,
hashed and gzipped once per process. The style sheets are one bundle, `app.css`.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

# Order matters: the first sheet names the cascade layers.
CSS_PARTS = (
    "tokens", "base", "components", "tables", "notices", "overlays", "delivery", "forms", "lists",
    "layouts", "storefront", "shelves", "charts", "console", "utilities",
)  # fmt: skip
# URL name -> (package, path inside it).
_FROM_PACKAGES = {
    "htmx.js": ("js_lib_htmx", "static/htmx/htmx.min.js"),
    "display-bold.ttf": ("font_rhd", "files/RedHatDisplay-Bold.ttf"),
    "swagger-ui.js": ("flask_swagger_ui", "dist/swagger-ui-bundle.js"),
    "swagger-ui.css": ("flask_swagger_ui", "dist/swagger-ui.css"),
}
_OWN = {
    "app.js": "js/app.js",
    "palette.js": "js/palette.js",
    "live.js": "js/live.js",
    "import.js": "js/import.js",
    "reference.js": "js/reference.js",
    "favicon.svg": "favicon.svg",
}
_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "ttf": "font/ttf",
}
NAMES: tuple[str, ...] = ("app.css", *_OWN, *_FROM_PACKAGES)


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file ready to send."""

    name: str
    body: bytes
    gzipped: bytes
    content_type: str
    digest: str

    @property
    def url(self) -> str:
        """The path that always gives exactly these bytes."""
        return f"/static/{self.digest}/{self.name}"


class UnknownAsset(LookupError):
    """No static file has this name."""


@cache
def static_file(name: str) -> StaticFile:
    """The file of that logical name; raises UnknownAsset for any other name."""
    body = _read(name)
    return StaticFile(
        name=name,
        body=body,
        gzipped=gzip.compress(body, 9, mtime=0),
        content_type=_TYPES[name.rsplit(".", 1)[1]],
        digest=hashlib.sha256(body).hexdigest()[:16],
    )


def asset_url(name: str) -> str:
    """The URL of a static file, to be written into pages."""
    return static_file(name).url


def static_response(path: str, accept_encoding: str = "") -> tuple[int, dict[str, str], bytes]:
    """Answer a GET of `path` (the part after `/static/`): status, headers, body.

    A right name with an old hash gets the present file, briefly cached, so that a page rendered
    just before a deployment still has its style.
    """
    digest, _, name = path.strip("/").partition("/")
    if name not in NAMES:
        return 404, {"Content-Type": "text/plain; charset=utf-8"}, b"There is no such file.\n"
    file = static_file(name)
    headers = {
        "Content-Type": file.content_type,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": (
            "public, max-age=31536000, immutable" if digest == file.digest else "public, max-age=60"
        ),
    }
    if "gzip" in accept_encoding.lower():
        headers["Content-Encoding"] = "gzip"
        return 200, headers, file.gzipped
    return 200, headers, file.body


def _read(name: str) -> bytes:
    assets = resources.files("fondaco.pages").joinpath("assets")
    if name == "app.css":
        sheets = [assets.joinpath("css", f"{part}.css").read_text("utf-8") for part in CSS_PARTS]
        return "\n".join(sheets).replace("@display-bold@", asset_url("display-bold.ttf")).encode()
    if name in _OWN:
        return assets.joinpath(*_OWN[name].split("/")).read_bytes()
    if name in _FROM_PACKAGES:
        package, inner = _FROM_PACKAGES[name]
        return resources.files(package).joinpath(*inner.split("/")).read_bytes()
    raise UnknownAsset(name)
