"""The context that `visit_collection` passes on, and how it treats annotations."""

from oxtask.utilities.annotations import allow_failure, freeze, opaque, quote, unmapped
from oxtask.utilities.collections import StopVisiting, visit_collection


def visited(expr, **options):
    seen = []
    visit_collection(expr, seen.append, **options)
    return seen


def increment(item):
    return item + 1 if type(item) is int else item


def incremented(expr, **options):
    return visit_collection(expr, increment, return_data=True, **options)


class TestContext:
    def test_is_passed_to_every_visit(self):
        """21.11"""
        seen = []
        visit_collection(
            [1, [2]], lambda item, context: seen.append(context["x"]), context={"x": 5}
        )
        assert seen == [5, 5, 5, 5]

    def test_an_empty_context_is_a_context(self):
        """21.11"""
        seen = []
        visit_collection([1], lambda item, context: seen.append(context), context={})
        assert seen == [{}, {}]

    def test_changes_are_seen_by_contents_only(self):
        """21.11"""

        def visit(item, context):
            if isinstance(item, list):
                context["depth"] += 1
                return item
            return f"{item}{context['depth']}"

        result = visit_collection(
            ["a", ["b", ["c"]], ["d"], "e"],
            visit,
            context={"depth": 0},
            return_data=True,
        )
        assert result == ["a1", ["b2", ["c3"]], ["d2"], "e1"]

    def test_holds_the_innermost_annotation_and_all_of_them(self):
        """21.11, W34"""
        seen = {}

        def visit(item, context):
            if isinstance(item, str):
                seen[item] = (context.get("annotation"), context.get("annotations"))

        inner = opaque("in")
        outer = allow_failure(["mid", inner])
        visit_collection([outer, "out"], visit, context={})
        assert seen == {
            "mid": (outer, (outer,)),
            "in": (inner, (outer, inner)),
            "out": (None, None),
        }

    def test_directly_nested_annotations_are_all_visible(self):
        """W34"""
        seen = []
        expr = allow_failure(opaque(quote("x")))
        visit_collection(
            allow_failure(unmapped(quote("x"))),
            lambda item, context: seen.append([type(a) for a in context.get("annotations", ())]),
            context={},
        )
        assert seen == [
            [],
            [allow_failure],
            [allow_failure, unmapped],
            [allow_failure, unmapped, quote],
        ]
        assert "x" not in visited(expr)

    def test_an_object_is_transformed_anew_under_another_annotation(self):
        """21.14, W34"""

        def visit(item, context):
            if isinstance(context.get("annotation"), quote):
                raise StopVisiting
            allowed = any(type(each) is allow_failure for each in context.get("annotations", ()))
            return (
                increment(item) * (10 if allowed and item == 1 else 1)
                if type(item) is int
                else item
            )

        shared = [1]
        expr = [quote(shared), allow_failure(shared), shared, allow_failure(shared)]
        result = visit_collection(
            expr, visit, context={}, return_data=True, remove_annotations=True
        )
        assert result == [[1], [20], [2], [20]]
        assert result[0] is shared
        assert result[1] is result[3]


class TestAnnotations:
    def test_are_kept_and_put_around_changed_content(self):
        """21.12"""
        result = incremented([quote(1), unmapped("a"), allow_failure([freeze(1)])])
        assert result == [quote(2), unmapped("a"), allow_failure([freeze(2)])]

    def test_unchanged_ones_are_the_same_object(self):
        """21.5, 21.12"""
        annotation = unmapped("a")
        assert incremented([annotation, 1])[0] is annotation

    def test_are_replaced_by_their_content_on_request(self):
        """21.12"""
        expr = [quote(1), unmapped(["a"]), allow_failure([freeze(1)])]
        assert incremented(expr, remove_annotations=True) == [2, ["a"], [2]]
        assert incremented(quote(quote(1)), remove_annotations=True) == 2

    def test_the_content_of_opaque_is_visited_but_not_entered(self):
        """21.13"""
        expr = opaque([1, [2]])
        assert visited(expr) == [expr, [1, [2]]]
        assert incremented(opaque(1)) == opaque(2)
        assert incremented([opaque([1]), 1], remove_annotations=True) == [[1], 2]

    def test_what_is_under_opaque_keeps_its_annotations(self):
        """20.10"""
        assert incremented(opaque(allow_failure(1)), remove_annotations=True) == allow_failure(1)
