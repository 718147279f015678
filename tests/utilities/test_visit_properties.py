"""Properties of `visit_collection` over random structures."""

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from oxtask.utilities._containers import container_of
from oxtask.utilities.annotations import BaseAnnotation, allow_failure, quote, unmapped
from oxtask.utilities.collections import visit_collection


class Pair(NamedTuple):
    left: object
    right: object


@dataclass
class Point:
    x: object
    y: object


class Model(BaseModel):
    x: object


class Leaf:
    """Compares by identity, so that a leaf which was not replaced is noticed."""


leaves = st.builds(Leaf)
keys = st.text(max_size=2)


def nest(inner):
    return st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.lists(inner, max_size=4).map(deque),
        st.dictionaries(keys, inner, max_size=3),
        st.dictionaries(keys, inner, max_size=3).map(OrderedDict),
        st.builds(Pair, inner, inner),
        st.builds(Point, inner, inner),
        st.builds(lambda x: Model.model_construct(x=x), inner),
        st.builds(quote, inner),
        st.builds(allow_failure, inner),
        st.builds(unmapped, inner),
        st.sets(leaves, max_size=3),
        st.frozensets(leaves, max_size=3),
    )


trees = st.recursive(leaves, nest, max_leaves=20)


def identity(item):
    return item


def contents(item):
    container = container_of(type(item))
    return None if container is None else container.parts(item)[1]


def leaves_of(item):
    """Collect all leaves by plain recursion."""
    inside = contents(item)
    if inside is None:
        return [item]
    return [leaf for each in inside for leaf in leaves_of(each)]


def containers_of(item):
    inside = contents(item)
    return [] if inside is None else [item, *(c for each in inside for c in containers_of(each))]


def shape(item):
    inside = contents(item)
    if inside is None:
        return "leaf"
    if isinstance(item, (set, frozenset)):
        return (type(item), len(item))
    return (type(item), [shape(each) for each in inside])


@given(trees)
def test_identity_is_preserved_when_nothing_changes(tree):
    """21.5"""
    assert visit_collection(tree, identity, return_data=True) is tree
    assert visit_collection(tree, lambda i, _: i, return_data=True, context={}) is tree


@given(trees)
def test_everything_is_visited_once_for_each_place_it_is_in(tree):
    """21.1"""
    seen = []
    visit_collection(tree, seen.append)
    expected = Counter(map(id, [*leaves_of(tree), *containers_of(tree)]))
    assert Counter(map(id, seen)) == expected


@given(trees)
def test_every_leaf_is_replaced(tree):
    """21.4"""
    replaced = {}

    def visit(item):
        if not isinstance(item, Leaf):
            return item
        return replaced.setdefault(id(item), Leaf())

    before = leaves_of(tree)
    result = visit_collection(tree, visit, return_data=True)
    after = leaves_of(result)
    expected = [replaced.get(id(leaf), leaf) for leaf in before]
    assert Counter(map(id, after)) == Counter(map(id, expected))
    assert shape(result) == shape(tree)


@given(trees, st.data())
def test_only_the_containers_of_a_change_are_copied_and_the_original_is_untouched(tree, data):
    """21.5"""
    candidates = [leaf for leaf in leaves_of(tree) if isinstance(leaf, Leaf)]
    if not candidates:
        return
    target = data.draw(st.sampled_from(candidates))
    new = Leaf()
    before = list(map(id, leaves_of(tree)))
    result = visit_collection(tree, lambda i: new if i is target else i, return_data=True)

    assert list(map(id, leaves_of(tree))) == before
    assert any(leaf is new for leaf in leaves_of(result))
    assert all(leaf is not target for leaf in leaves_of(result))
    originals = {id(container) for container in containers_of(tree)}
    for container in containers_of(result):
        changed = any(leaf is new for leaf in leaves_of(container))
        assert (id(container) in originals) is not changed


@given(trees)
def test_removing_annotations_leaves_none(tree):
    """21.12"""
    result = visit_collection(tree, identity, return_data=True, remove_annotations=True)
    assert not any(isinstance(each, BaseAnnotation) for each in containers_of(result))
    assert Counter(map(id, leaves_of(result))) == Counter(map(id, leaves_of(tree)))


@st.composite
def graphs(draw):
    """Lists, dicts and objects that refer to each other at random, with leaves in some of them."""
    count = draw(st.integers(1, 6))
    kinds = draw(st.lists(st.sampled_from("ldp"), min_size=count, max_size=count))
    nodes = [{"l": list, "d": dict, "p": lambda: Point(None, None)}[kind]() for kind in kinds]
    wraps = {"bare": identity, "tuple": lambda x: (x,), "quote": quote}
    for node in nodes:
        links = draw(
            st.lists(st.tuples(st.integers(0, count), st.sampled_from(sorted(wraps))), max_size=2)
        )
        values = [wraps[wrap](nodes[i] if i < count else Leaf()) for i, wrap in links]
        if isinstance(node, list):
            node.extend(values)
        elif isinstance(node, dict):
            node.update(enumerate(values))
        else:
            node.x, node.y = (*values, None, None)[:2]
    return nodes[0]


def unfold(item, known=None):
    """Describe a graph up to renaming: every object is numbered when it is first met."""
    known = {} if known is None else known
    if id(item) in known:
        return known[id(item)]
    known[id(item)] = len(known)
    inside = contents(item)
    if inside is None:
        return "leaf" if isinstance(item, Leaf) else repr(item)
    if not container_of(type(item)).mutable:
        del known[id(item)]  # Whether an immutable object is shared makes no difference.
    return (type(item).__name__, [unfold(each, known) for each in inside if each is not None])


def reachable(item, known=None):
    known = {} if known is None else known
    if id(item) not in known:
        known[id(item)] = item
        for each in contents(item) or ():
            reachable(each, known)
    return known.values()


@given(graphs())
def test_cycles_end_and_keep_identity_when_nothing_changes(graph):
    """21.5, 21.15"""
    assert visit_collection(graph, identity, return_data=True) is graph
    assert visit_collection(graph, identity) is None


@given(graphs())
def test_graphs_keep_their_shape_when_leaves_are_replaced(graph):
    """21.14, 21.15, W35"""
    new = {}

    def visit(item):
        return new.setdefault(id(item), Leaf()) if isinstance(item, Leaf) else item

    before = unfold(graph)
    result = visit_collection(graph, visit, return_data=True)
    assert unfold(result) == before
    assert unfold(graph) == before
    replacements = {id(leaf) for leaf in new.values()}
    assert all(id(i) in replacements for i in reachable(result) if isinstance(i, Leaf))
    # Whoever leads to a changed leaf is new, everybody else is the original.
    originals = {id(item) for item in reachable(graph)}
    for item in reachable(result):
        if contents(item) is not None:
            leads = any(id(each) in replacements for each in reachable(item))
            assert (id(item) in originals) is not leads
