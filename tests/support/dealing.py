"""Which process begins with what. Each is given an equal share of the list, one part of it behind the other,
and takes from the ends of the others' shares when its own is done: so each share begins with slow tests."""

from collections import defaultdict
from pathlib import Path

import pytest


def dealt(items: list[pytest.Item], hands: int) -> list[pytest.Item]:
    """The same tests in the order in which `hands` processes get through them soonest."""
    slow = {_group(item) for item in items if item.get_closest_marker("slow")}
    groups: dict[Path, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if _group(item) in slow:
            groups[_group(item)].append(item)
    begin: list[list[pytest.Item]] = [[] for _ in range(hands)]
    for group in sorted(groups.values(), key=_slow_ones, reverse=True):
        min(begin, key=_slow_ones).extend(group)
    rest, order = [item for item in items if _group(item) not in slow], list[pytest.Item]()
    for hand, first in enumerate(begin):
        share = (len(items) - len(order)) // (hands - hand)
        more = max(0, share - len(first))
        order += [*first, *rest[:more]]
        del rest[:more]
    return order + rest


def _group(item: pytest.Item) -> Path:
    """Tests that share what takes long to start: those of a file, and all that visit one marketplace."""
    return item.path.parent if item.path.parent.name == "browser" else item.path


def _slow_ones(items: list[pytest.Item]) -> int:
    return sum(item.get_closest_marker("slow") is not None for item in items)
