"""How `visit_collection` treats structures that contain themselves."""

from collections import deque
from dataclasses import dataclass

import pytest
from pydantic import BaseModel

from oxtask.utilities._containers import container_of
from oxtask.utilities.annotations import BaseAnnotation, quote
from oxtask.utilities.collections import visit_collection


def increment(item):
    return item + 1 if type(item) is int else item


def incremented(expr, **options):
    return visit_collection(expr, increment, return_data=True, **options)


class TestCycles:
    @pytest.mark.parametrize("kind", [list, deque])
    def test_the_inner_reference_points_at_the_new_object(self, kind):
        """21.15, W35"""
        cycle = kind([1])
        cycle.append(cycle)
        result = incremented(cycle)
        assert result is not cycle
        assert type(result) is kind
        assert result[0] == 2
        assert result[1] is result
        assert cycle[1] is cycle

    def test_an_unchanged_cycle_is_the_same_object(self):
        """21.5, 21.15"""
        cycle = {"a": ["x"]}
        cycle["a"].append(cycle)
        cycle["b"] = (cycle, quote(cycle))
        assert incremented(cycle) is cycle
        assert cycle["a"][1] is cycle

    def test_what_only_leads_back_to_a_change_is_rebuilt_too(self):
        """W35"""
        inner = ["x"]
        outer = {"inner": inner, "value": 1}
        inner.append(outer)
        result = incremented(outer)
        assert result["value"] == 2
        assert result["inner"] is not inner
        assert result["inner"][0] == "x"
        assert result["inner"][1] is result

    def test_what_does_not_take_part_is_left_alone(self):
        """21.5, W35"""
        bystander = ["x"]
        cycle = [1, bystander]
        cycle.append(cycle)
        assert incremented(cycle)[1] is bystander

    def test_cycles_may_pass_through_anything(self):
        """W35"""

        @dataclass(frozen=True, eq=False)
        class Link:
            to: object

        class Model(BaseModel):
            to: object

        links = [Link, lambda x: Model.model_construct(to=x), lambda x: (x,), quote]
        links += [lambda x: {"k": x}, lambda x: deque([x])]
        for first in links:
            for second in links:
                root = [1]
                root.append(first(second(root)))
                result = incremented(root)
                assert result[0] == 2
                step = result[1]
                for _ in range(2):
                    step = next(
                        child
                        for child in container_of(type(step)).parts(step)[1]
                        if not isinstance(child, (str, int))
                    )
                assert step is result
                assert root[0] == 1

    def test_starting_at_an_immutable_object_works_as_well(self):
        """W35"""
        middle = [1]
        root = (middle,)
        middle.append((root,))
        result = incremented(root)
        assert result[0][0] == 2
        assert result[0][1][0] is result
        assert type(result) is tuple

    def test_annotations_in_a_cycle_can_be_removed(self):
        """21.12, W35"""
        cycle = ["x"]
        cycle.append(quote(cycle))
        result = incremented(cycle, remove_annotations=True)
        assert result[0] == "x"
        assert result[1] is result

    def test_end_for_a_visitor_that_makes_new_objects(self):
        """21.15"""
        cycle = [1]
        cycle.append(cycle)

        def visit(item):
            return list(item) if isinstance(item, list) else increment(item)

        result = visit_collection(cycle, visit, return_data=True)
        assert result[0] == 2
        assert result[1] is result

    def test_of_immutable_objects_only_end_and_are_left_alone(self):
        """21.15"""

        class Looping(BaseAnnotation):
            __slots__ = ()

            def unwrap(self):
                return loop

        root = Looping(None)
        loop = (root, 1)
        assert incremented(root) is root
        assert incremented([root, 1]) == [root, 2]

    def test_end_without_return_data_and_with_a_depth(self):
        """21.15"""
        cycle = []
        cycle.append(cycle)
        for depth in (-1, 0, 1, 1_000_000):
            seen = []
            visit_collection(cycle, seen.append, max_depth=depth)
            assert len(seen) == (1 if depth == 0 else 2)
