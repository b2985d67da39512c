"""Pages: storefront, seller desk and staff console, rendered on the server.

The foundation every page stands on: `environment()`, `render_page()` and `Shell` (templates and what
the layouts need), `static.static_response` (files under /static), `listquery.ListQuery` (what a list
shows, in its URL), `states.state_mark` (words for states), `covers.cover`, `charts`, `richtext`.
Invariants: no inline style or script anywhere, all text escaped, every page works without scripts.
"""

from fondaco.pages.listquery import Facet, FacetValue, ListQuery, ListSpec, SavedView
from fondaco.pages.render import Crumb, Flash, Link, LinkGroup, Shell, Viewer, environment, render_page
from fondaco.pages.static import asset_url, static_response

__all__ = [
    "Crumb",
    "Facet",
    "FacetValue",
    "Flash",
    "Link",
    "LinkGroup",
    "ListQuery",
    "ListSpec",
    "SavedView",
    "Shell",
    "Viewer",
    "asset_url",
    "environment",
    "render_page",
    "static_response",
]
