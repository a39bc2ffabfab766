"""Sums of small tables over a graph of variables, minimised by deciding one variable after another.

Source: Dechter 1999, Bucket elimination, Artificial Intelligence 113, section 4; the least rest of every table, found
on the way back, is Pearl's second pass (Probabilistic Reasoning in Intelligent Systems, 1988, section 4.2).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from fedtailor.protos.errors import PlanError
from fedtailor.protos.schema import Doubles

_MOST_STATES = 1_000_000  # choices of all variables that one node brings together


@dataclass(frozen=True)
class Node:
    """A table over the variables `open`: a given one, or the sum of one or two earlier nodes, its `parts`.

    What is open in a part but not here is decided here.
    """

    open: tuple[str, ...]
    parts: tuple[int, ...] = ()


Tree = Sequence[Node]


def elimination_tree(scopes: Sequence[tuple[str, ...]], sizes: Mapping[str, int]) -> Tree:
    """Nodes for the given tables, then those that add them up; the last one has no variable open.

    The next variable decided is always the one whose tables bring the fewest choices together.

    Raises:
        PlanError: the tables hang together so closely that a node would compare more than a million choices.
    """
    tree = [Node(scope) for scope in scopes]
    loose = list(range(len(tree)))
    waiting = set(sizes)
    while waiting:
        name = min(waiting, key=lambda each: (_states(_together(tree, loose, each), sizes), each))
        _check(name, _together(tree, loose, name), sizes)
        waiting.remove(name)
        touching = [at for at in loose if name in tree[at].open]
        loose = [at for at in loose if at not in touching] + [_add_up(tree, touching, name)]
    _add_up(tree, loose, "")
    return tree


def least_totals(tree: Tree, tables: Sequence[Doubles], sizes: Mapping[str, int]) -> list[Doubles]:
    """For every node the least sum of the tables below it, by the choices of its open variables."""
    totals: list[Doubles] = list(tables)
    for node in tree[len(tables) :]:
        scope = _scope(tree, node)
        whole = sum((_spread(totals[at], tree[at].open, scope, sizes) for at in node.parts), np.zeros(()))
        totals.append(_least(whole, scope, node.open))
    return totals


def least_rests(tree: Tree, totals: Sequence[Doubles], sizes: Mapping[str, int]) -> list[Doubles]:
    """For every node the least sum of all tables that are not below it, by the choices of its open variables."""
    rests: list[Doubles] = [np.zeros(())] * len(tree)
    for at in range(len(tree) - 1, -1, -1):
        node = tree[at]
        scope = _scope(tree, node)
        for part in node.parts:
            others = [(totals[each], tree[each].open) for each in node.parts if each != part]
            around = [(rests[at], node.open), *others]
            whole = sum((_spread(table, over, scope, sizes) for table, over in around), np.zeros(()))
            rests[part] = _least(np.broadcast_to(whole, [sizes[name] for name in scope]), scope, tree[part].open)
    return rests


def best_choices(tree: Tree, totals: Sequence[Doubles], sizes: Mapping[str, int]) -> dict[str, int]:
    """The choice of every variable with the least sum of all tables."""
    chosen: dict[str, int] = {}
    for node in reversed(tree):
        free = [name for name in _scope(tree, node) if name not in chosen]
        if node.parts and free:
            whole = np.zeros(())
            for part in node.parts:
                over = tree[part].open
                table = totals[part][tuple(chosen.get(name, slice(None)) for name in over)]
                whole = whole + _spread(table, [name for name in over if name not in chosen], free, sizes)
            chosen |= zip(free, map(int, np.unravel_index(whole.argmin(), whole.shape)), strict=True)
    return chosen


def _together(tree: Tree, loose: Iterable[int], name: str) -> set[str]:
    """The variables that come together where `name` is decided."""
    return {each for at in loose if name in tree[at].open for each in tree[at].open}


def _states(names: Iterable[str], sizes: Mapping[str, int]) -> int:
    return prod(sizes[name] for name in names)


def _check(name: str, together: set[str], sizes: Mapping[str, int]) -> None:
    if _states(together, sizes) > _MOST_STATES:
        raise PlanError(
            f"variable {name!r} and the {len(together) - 1} others that it hangs together with have "
            f"{_states(together, sizes)} choices, at most {_MOST_STATES} can be compared; offer fewer for each"
        )


def _add_up(tree: list[Node], parts: Sequence[int], decided: str) -> int:
    """Append nodes that add up these, two at a time, and decide a variable in the last one; its place."""
    at = parts[0]
    for other in parts[1:-1]:
        at = _append(tree, (at, other), "")
    return _append(tree, (at, *parts[1:][-1:]), decided)


def _append(tree: list[Node], parts: tuple[int, ...], decided: str) -> int:
    node = Node((), parts)
    tree.append(Node(tuple(name for name in _scope(tree, node) if name != decided), parts))
    return len(tree) - 1


def _scope(tree: Tree, node: Node) -> tuple[str, ...]:
    """The variables of its parts."""
    return tuple(dict.fromkeys(name for at in node.parts for name in tree[at].open))


def _spread(table: Doubles, over: Sequence[str], scope: Sequence[str], sizes: Mapping[str, int]) -> Doubles:
    """A table over some variables of a scope, with its axes in the scope's order and of size 1 where it has none."""
    axes = sorted(range(len(over)), key=lambda axis: scope.index(over[axis]))
    return table.transpose(axes).reshape([sizes[name] if name in over else 1 for name in scope])


def _least(table: Doubles, scope: Sequence[str], open_: Sequence[str]) -> Doubles:
    """The minimum over the variables that are not open, axes in the order of those that are."""
    least = table.min(axis=tuple(axis for axis, name in enumerate(scope) if name not in open_))
    left = [name for name in scope if name in open_]
    turned: Doubles = least.transpose([left.index(name) for name in open_])
    return turned
