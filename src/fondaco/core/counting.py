"""Counts that stop. A list says "1,000+", it does not walk through all there is to say how many."""

from collections.abc import Collection, Iterable, Mapping

MOST = 1_000  # of one state, told on a page
MOST_WAITING = 10_000  # of one queue, told to monitoring


class AtLeast(int):
    """A count that stopped: so many or more. It is shown with a + behind it."""


def shown(counts: Mapping[str, int], *, newest: bool = False) -> dict[str, int]:
    """Counts per state, those that stopped as AtLeast. `newest`: they are from `among_newest`."""
    stopped = newest and sum(counts.values()) >= MOST
    return {state: AtLeast(n) if stopped or n >= MOST else n for state, n in counts.items()}


def total(counts: Mapping[str, int], chosen: Collection[str] = ()) -> int:
    """The sum of `shown` counts, of the chosen states when there are any; AtLeast when one of them is."""
    parts = [n for state, n in counts.items() if not chosen or state in chosen]
    return AtLeast(sum(parts)) if any(isinstance(n, AtLeast) for n in parts) else sum(parts)


def by_state(states: Iterable[str], column: str, rows: str) -> str:
    """SQL of (state, n) for those of `states` that occur in `rows`, each counted up to MOST.

    `rows` is a SELECT that ends in its WHERE clause, `column` what the state is called there. It needs an
    index that begins with what WHERE asks for and then the state.
    """
    names = ", ".join(f"'{state}'" for state in states)
    return f"""SELECT s.state, few.n FROM unnest(ARRAY[{names}]) s(state), LATERAL (
      SELECT count(*) AS n FROM ({rows} AND {column} = s.state LIMIT {MOST}) t) few
      WHERE few.n > 0 ORDER BY 1"""


def among_newest(rows: str, order: str) -> str:
    """SQL of (state, n) among the newest MOST of `rows`, a SELECT of `state`: for what one person has."""
    return f"""SELECT state, count(*) AS n FROM ({rows} ORDER BY {order} LIMIT {MOST}) newest
      GROUP BY 1 ORDER BY 1"""
