"""The list grammar: everything a list shows is in its URL, as plain GET parameters.

`?q=steam&platform=steam&platform=gog&sort=price&view=table&size=50&after=<cursor>`
A page names its facets and sorts once (`ListSpec`), parses the request into a `ListQuery`, and asks
that for the URL of every chip, header and arrow. Unknown parameters and values are dropped, never
an error: an old or mistyped link still opens the list.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

MAX_TEXT = 200
MAX_VALUES = 20
VIEWS = ("cards", "table")


@dataclass(frozen=True, slots=True)
class ListSpec:
    """What one list understands.

    `path` is the list's URL path; `facets` the parameter names that filter; `sorts` maps each sort
    key to the words shown, the first being the default; `sizes` are the page sizes offered, the
    first being the default; `views` the ways to show it, the first being the default.
    """

    path: str
    facets: Sequence[str] = ()
    sorts: Mapping[str, str] = field(default_factory=lambda: {"new": "Newest first"})
    sizes: Sequence[int] = (24, 48, 96)
    views: Sequence[str] = ("table",)


@dataclass(frozen=True, slots=True)
class ListQuery:
    """One request for a list, parsed; every field has a usable value."""

    spec: ListSpec
    q: str = ""
    chosen: tuple[tuple[str, str], ...] = ()
    sort: str = ""
    size: int = 0
    view: str = ""
    after: str = ""
    before: str = ""

    @classmethod
    def parse(cls, spec: ListSpec, params: Iterable[tuple[str, str]]) -> "ListQuery":
        """From the query string's pairs, in order. Never raises: what is not understood is dropped."""
        single: dict[str, str] = {}
        chosen: list[tuple[str, str]] = []
        for name, raw in params:
            value = raw.replace("\x00", "").strip()[:MAX_TEXT]
            if name in spec.facets:
                if value and (name, value) not in chosen and len(chosen) < MAX_VALUES:
                    chosen.append((name, value))
            else:
                single[name] = raw.replace("\x00", "").strip() if name in ("after", "before") else value
        after = single.get("after", "")
        return cls(
            spec,
            q=single.get("q", ""),
            chosen=tuple(chosen),
            sort=_one_of(single.get("sort", ""), list(spec.sorts)),
            size=int(_one_of(single.get("size", ""), [str(size) for size in spec.sizes])),
            view=_one_of(single.get("view", ""), spec.views),
            after=after,
            before="" if after else single.get("before", ""),
        )

    def values(self, facet: str) -> tuple[str, ...]:
        """The values chosen of one facet."""
        return tuple(value for name, value in self.chosen if name == facet)

    @property
    def filtered(self) -> bool:
        """Whether a text or a facet narrows the list."""
        return bool(self.q or self.chosen)

    def pairs(self) -> list[tuple[str, str]]:
        """The parameters that differ from the defaults, in a fixed order."""
        spec = self.spec
        found = [("q", self.q)] if self.q else []
        found += self.chosen
        defaults = {"sort": next(iter(spec.sorts)), "size": spec.sizes[0], "view": spec.views[0]}
        found += [(n, str(getattr(self, n))) for n, d in defaults.items() if getattr(self, n) != d]
        found += [(n, getattr(self, n)) for n in ("after", "before") if getattr(self, n)]
        return found

    def url(self) -> str:
        """The URL of exactly this list."""
        query = urlencode(self.pairs())
        return f"{self.spec.path}?{query}" if query else self.spec.path

    def with_(
        self,
        *,
        q: str | None = None,
        sort: str | None = None,
        size: int | None = None,
        view: str | None = None,
    ) -> "ListQuery":
        """The same list changed, back on its first page (a new view keeps its page)."""
        changed = replace(
            self,
            q=self.q if q is None else q,
            sort=self.sort if sort is None else sort,
            size=self.size if size is None else size,
            view=self.view if view is None else view,
        )
        only_view = q is None and sort is None and size is None
        return changed if only_view else replace(changed, after="", before="")

    def toggled(self, facet: str, value: str) -> "ListQuery":
        """The list with one facet value added, or removed when it is on."""
        pair = (facet, value)
        chosen = tuple(p for p in self.chosen if p != pair) if pair in self.chosen else (*self.chosen, pair)
        return replace(self, chosen=chosen, after="", before="")

    def only(self, facet: str, value: str | None) -> "ListQuery":
        """The list with this facet set to one value, or to none."""
        chosen = tuple(p for p in self.chosen if p[0] != facet)
        return replace(self, chosen=(*chosen, (facet, value)) if value else chosen, after="", before="")

    def cleared(self) -> "ListQuery":
        """The list without text and facets; sort, size and view stay."""
        return replace(self, q="", chosen=(), after="", before="")

    def next_page(self, cursor: str) -> "ListQuery":
        """The page after `cursor`."""
        return replace(self, after=cursor, before="")

    def previous_page(self, cursor: str) -> "ListQuery":
        """The page before `cursor`."""
        return replace(self, after="", before=cursor)

    def hidden(self, *leave_out: str) -> list[tuple[str, str]]:
        """Pairs a form must carry as hidden fields, without those it sets itself and the cursors."""
        return [p for p in self.pairs() if p[0] not in (*leave_out, "after", "before")]


@dataclass(frozen=True, slots=True)
class FacetValue:
    """One chip: its value in the URL, customers' words, and how many rows it would leave."""

    value: str
    label: str
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Facet:
    """A named group of chips."""

    name: str
    label: str
    values: Sequence[FacetValue]

    def label_of(self, value: str) -> str:
        """The words of a value; the value itself when the list no longer offers it."""
        return next((v.label for v in self.values if v.value == value), value)


@dataclass(frozen=True, slots=True)
class SavedView:
    """A list worth coming back to: words and the URL that opens it."""

    label: str
    url: str


def _one_of(value: str, allowed: Sequence[str]) -> str:
    return value if value in allowed else allowed[0]
