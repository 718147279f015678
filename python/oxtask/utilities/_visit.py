"""The walk through nested collections behind `oxtask.utilities.collections.visit_collection`.

The walk is iterative, so depth is bounded by memory and not by the recursion limit. Each container
that is entered becomes a node. A node is settled (its result is known) when all its contents are:

- nothing in it changed: the result is the object itself;
- something changed: the result is a structural copy (see `oxtask.utilities._containers`).

An object that is met again gets the node it has. If that node is still open, the structure has a
cycle; from then on settling waits until the walk is over, because what an inner object should refer
to is not known before.
"""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING, Any

from oxtask.utilities._containers import Container, container_of
from oxtask.utilities.annotations import BaseAnnotation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_OPEN: Any = object()


class StopVisiting(BaseException):
    """Raised by a visitor to keep the visited object as it is and not to enter it.

    Derives from `BaseException`, so that an ``except Exception`` in a visitor does not swallow it.
    """


class _Surroundings:
    """What the contents of a container are visited with; shared by all of them."""

    __slots__ = ("annotations", "context", "depth", "met")

    def __init__(
        self,
        context: dict[str, Any] | None,
        annotations: tuple[BaseAnnotation[Any], ...],
        depth: int,
        met: dict[int, _Node],
    ) -> None:
        self.context = context
        self.annotations = annotations  # Outermost first; not kept without a context.
        self.depth = depth  # Levels that may still be entered; -1 for no limit.
        self.met = met  # Nodes by the `id` of what they were made for.


class _Node:
    """A container that is being entered, or was."""

    __slots__ = (
        "children",
        "container",
        "context",
        "keys",
        "labels",
        "origin",
        "originals",
        "outside",
        "result",
        "unvisited",
        "value",
    )

    def __init__(self, origin: Any, value: Any, container: Container) -> None:
        self.origin = origin  # What was met; kept alive, because its `id` is a key of the walk.
        self.value = value  # What the visitor made of it.
        self.container = container
        self.labels: Sequence[str]
        self.originals: list[Any]
        self.labels, self.originals = container.parts(value)
        self.children: list[Any] = []  # Of each original: the final value, or a node.
        self.unvisited: Iterator[Any] | None = None  # None until the node is entered.
        self.result = _OPEN
        self.context: dict[str, Any] | None
        self.outside: _Surroundings
        self.keys: tuple[int, ...]

    def results(self) -> list[Any]:
        return [child.result if type(child) is _Node else child for child in self.children]


class Walk:
    """One call of `visit_collection`."""

    def __init__(
        self, visit_fn: Callable[..., Any], *, return_data: bool, remove_annotations: bool
    ) -> None:
        self.visit_fn = visit_fn
        self.return_data = return_data
        self.remove_annotations = remove_annotations
        self.cyclic = False
        self.open: dict[int, _Node] = {}
        self.waiting: list[_Node] = []
        # An object may turn out differently under another annotation or with less depth left, so
        # "met before" means: with the same depth, under the same kinds of annotations.
        self.met: dict[tuple[int, tuple[type, ...]], dict[int, _Node]] = {}

    def run(self, root: Any, context: dict[str, Any] | None, max_depth: int) -> Any:
        """Walk through ``root`` and return what it turned into."""
        annotations = tuple(context.get("annotations", ())) if context is not None else ()
        top = self.visit(root, context, self.surroundings(context, annotations, max(max_depth, -1)))
        if type(top) is not _Node:
            return top
        try:
            path = [(top, self.enter(top))]
            while path:
                node, inside = path[-1]
                entered = self.visit_contents(node, inside)
                if entered is not None:
                    path.append((entered, self.enter(entered)))
                else:
                    path.pop()
                    self.leave(node)
            if self.waiting:
                _settle_cycles(self.waiting, remove_annotations=self.remove_annotations)
            return top.result
        finally:
            # Nodes and tables refer to each other; do not leave the user's data to the collector.
            for met in self.met.values():
                met.clear()
            self.open.clear()
            self.waiting.clear()

    def surroundings(
        self,
        context: dict[str, Any] | None,
        annotations: tuple[BaseAnnotation[Any], ...],
        depth: int,
    ) -> _Surroundings:
        # Repeated kinds are dropped: nesting them deeper does not make a difference, and the number
        # of tables stays bounded.
        kinds = tuple(dict.fromkeys(type(annotation) for annotation in reversed(annotations)))
        return _Surroundings(context, annotations, depth, self.met.setdefault((depth, kinds), {}))

    def visit(self, original: Any, context: dict[str, Any] | None, outside: _Surroundings) -> Any:
        """Visit one object; return its final value, or the node of what is to be entered."""
        try:
            arguments = (original,) if context is None else (original, context)
            value = self.visit_fn(*arguments)
        except StopVisiting:
            return original
        if not self.return_data:
            value = original
        if outside.depth == 0:
            return value
        container = container_of(type(value))
        if container is None:
            return value
        keys: tuple[int, ...] = (id(value),)
        if value is not original and container_of(type(original)) is not None:
            # A container that is met twice is transformed once, even if the visitor makes a new
            # object each time; this also ends cycles for such visitors.
            keys = (id(original), id(value))
        for key in keys:
            if key in self.open:
                self.cyclic = True
                return self.open[key]
        for key in keys:
            if key in outside.met:
                return outside.met[key]
        node = _Node(original, value, container)
        node.context = context
        node.outside = outside
        node.keys = keys
        return node

    def enter(self, node: _Node) -> _Surroundings:
        for key in node.keys:
            self.open[key] = node
        node.unvisited = iter(node.originals)
        outside = node.outside
        depth = 0 if node.container.shallow else max(outside.depth - 1, -1)
        context = node.context
        if context is not None and isinstance(node.value, BaseAnnotation):
            annotations = (*outside.annotations, node.value)
            context = context.copy()
            context["annotation"] = node.value
            context["annotations"] = annotations
            return self.surroundings(context, annotations, depth)
        if depth != outside.depth:
            return self.surroundings(context, outside.annotations, depth)
        if context is None:
            return outside
        return _Surroundings(context, outside.annotations, depth, outside.met)

    def visit_contents(self, node: _Node, inside: _Surroundings) -> _Node | None:
        """Visit the contents of a node up to the next one that has to be entered; return that."""
        context = inside.context
        add = node.children.append
        for original in node.unvisited or ():
            child = self.visit(original, None if context is None else context.copy(), inside)
            add(child)
            if type(child) is _Node and child.unvisited is None:
                return child
        return None

    def leave(self, node: _Node) -> None:
        for key in node.keys:
            del self.open[key]
            node.outside.met[key] = node
        if not self.return_data:
            return
        if self.cyclic:
            self.waiting.append(node)
        else:
            _settle(node, remove_annotations=self.remove_annotations)


def _settle(node: _Node, *, remove_annotations: bool) -> None:
    """Work out the result of a node whose contents are all settled."""
    results = node.results()
    if remove_annotations and isinstance(node.value, BaseAnnotation):
        node.result = results[0]
    elif all(map(is_, results, node.originals)):
        node.result = node.value
    else:
        node.result = node.container.build(node.value, results, node.labels)


def _settle_cycles(nodes: list[_Node], *, remove_annotations: bool) -> None:
    """Settle nodes that refer to each other.

    Args:
        nodes: In the order in which the walk left them, so contents mostly come first.
        remove_annotations: Whether an annotation is replaced by its content.
    """
    waiting = _changed(nodes, remove_annotations=remove_annotations)
    while waiting:
        still_open = sum(node.result is _OPEN for node in waiting)
        waiting = [
            node
            for node in waiting
            if not _settle_or_begin(node, remove_annotations=remove_annotations)
        ]
        if still_open and still_open == sum(node.result is _OPEN for node in waiting):
            # Only immutable objects that contain each other, which ordinary code cannot create.
            for node in waiting:
                node.result = node.value if node.result is _OPEN else node.result


def _settle_or_begin(node: _Node, *, remove_annotations: bool) -> bool:
    """Settle a node; if a content is not there yet, at least provide what others refer to."""
    ready = True
    for child in node.children:
        if type(child) is _Node and child.result is _OPEN:
            if child.container.mutable:
                child.result = child.container.blank(child.value)
            else:
                ready = False
    if not node.container.mutable:
        if ready and node.result is _OPEN:
            _settle(node, remove_annotations=remove_annotations)
        return node.result is not _OPEN
    if node.result is _OPEN:
        node.result = node.container.blank(node.value)
    if ready:
        node.container.fill(node.result, node.results(), node.labels)
    return ready


def _changed(nodes: list[_Node], *, remove_annotations: bool) -> list[_Node]:
    """Settle the nodes in which nothing changes and return the others."""
    containing: dict[int, list[_Node]] = {}
    for node in nodes:
        node.result = node.value
        for child in node.children:
            if type(child) is _Node:
                containing.setdefault(id(child), []).append(node)
    changed = {
        id(node): node
        for node in nodes
        if (remove_annotations and isinstance(node.value, BaseAnnotation))
        or not all(map(is_, node.results(), node.originals))
    }
    spreading = list(changed.values())
    while spreading:
        for node in containing.get(id(spreading.pop()), ()):
            if id(node) not in changed:
                changed[id(node)] = node
                spreading.append(node)
    for node in changed.values():
        node.result = _OPEN
    return [node for node in nodes if id(node) in changed]
