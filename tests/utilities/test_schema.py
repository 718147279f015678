import datetime as dt
import enum
import sys
import typing
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from oxtask.utilities.callables import (
    ParameterSchema,
    generate_parameter_schema,
    parameter_docstrings,
    parameter_schema,
    parameter_schema_from_entrypoint,
    signature_plan,
)


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


class Model(BaseModel):
    a: int
    b: str = "x"


class Unknown:
    pass


def dumped(fn):
    return parameter_schema(fn).model_dump_for_openapi()


def properties(fn):
    return parameter_schema(fn).properties


class TestShape:
    def test_a_function_without_parameters(self):
        """37.6"""
        assert dumped(lambda: 0) == {
            "title": "Parameters",
            "type": "object",
            "properties": {},
            "definitions": {},
        }

    def test_parameters_with_types_and_defaults(self):
        """37.6"""

        def f(a, b: int, c: str = "q", *, d: float = 1.0): ...

        assert dumped(f) == {
            "title": "Parameters",
            "type": "object",
            "properties": {
                "a": {"title": "a", "position": 0},
                "b": {"title": "b", "position": 1, "type": "integer"},
                "c": {"title": "c", "position": 2, "type": "string", "default": "q"},
                "d": {"title": "d", "position": 3, "type": "number", "default": 1.0},
            },
            "required": ["a", "b"],
            "definitions": {},
        }

    def test_is_a_pydantic_model_with_required_kept_in_plain_dumps(self):
        """37.6"""
        schema = parameter_schema(lambda: 0)
        assert isinstance(schema, ParameterSchema)
        assert isinstance(schema, BaseModel)
        assert schema.model_dump()["required"] == []

    def test_self_and_cls_are_skipped(self):
        """37.6"""

        class Owner:
            def method(self, a: int): ...

            @classmethod
            def of_class(cls, a: int): ...

        assert properties(Owner.method) == {"a": {"title": "a", "position": 1, "type": "integer"}}
        assert list(properties(Owner().method)) == ["a"]
        assert list(properties(Owner.of_class)) == ["a"]

    @pytest.mark.parametrize("name", ["schema", "copy", "json", "_hidden", "model_config", "self_"])
    def test_any_name_is_possible(self, name):
        """37.6"""
        namespace = {}
        exec(f"def f({name}: int = 1): ...", namespace)
        assert properties(namespace["f"])[name]["default"] == 1


class TestTypes:
    def test_models_and_enums_are_definitions(self):
        """37.6"""

        def f(m: Model, many: list[Model], c: Color = Color.RED, d: Model = Model(a=1)): ...

        schema = parameter_schema(f)
        assert schema.properties["m"]["$ref"] == "#/definitions/Model"
        assert schema.properties["many"]["items"] == {"$ref": "#/definitions/Model"}
        assert schema.properties["c"]["default"] == "r"
        assert schema.properties["d"]["default"] == {"a": 1, "b": "x"}
        assert schema.definitions["Color"]["enum"] == ["r", "b"]
        assert schema.definitions["Model"]["required"] == ["a"]
        assert schema.required == ["m", "many"]

    def test_classes_of_the_same_name_get_definitions_of_their_own(self):
        """37.6"""

        def make(kind):
            class Same(BaseModel):
                x: kind

            return Same

        def f(a, b): ...

        f.__annotations__ = {"a": make(int), "b": make(str)}
        schema = parameter_schema(f)
        references = {schema.properties[name]["$ref"] for name in "ab"}
        assert len(references) == 2
        assert references == {f"#/definitions/{name}" for name in schema.definitions}

    def test_unsupported_types_count_as_any(self):
        """37.6"""

        def f(a: Unknown, b: typing.Callable = len, c: 5 = 1, d: Unknown = Unknown()): ...

        assert properties(f) == {
            "a": {"title": "a", "position": 0},
            "b": {"title": "b", "position": 1},
            "c": {"title": "c", "position": 2, "default": 1},
            "d": {"title": "d", "position": 3},
        }

    def test_text_annotations_are_evaluated_one_by_one(self):
        """37.6"""

        def f(a: "Missing", b: "Model", c: "int | None" = None, d: "list[Model]" = []): ...  # noqa: F821

        found = properties(f)
        assert found["a"] == {"title": "a", "position": 0}
        assert found["b"]["$ref"] == "#/definitions/Model"
        assert found["c"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
        assert found["c"]["default"] is None
        assert found["d"]["items"] == {"$ref": "#/definitions/Model"}

    def test_dates_are_written_as_json(self):
        """37.6"""
        moment = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)

        def f(when: dt.datetime = moment): ...

        assert properties(f)["when"]["default"] == "2020-01-01T00:00:00Z"
        assert properties(f)["when"]["format"] == "date-time"

    def test_field_defaults_and_constraints_are_shown(self):
        """37.6, V2"""

        def f(
            a: int = Field(default=3, ge=1, description="from the field"),
            b: list = Field(default_factory=list),
            c: int = Field(),
            d: typing.Annotated[int, Field(gt=3)] = 4,
        ): ...

        schema = parameter_schema(f)
        assert schema.properties["a"] == {
            "title": "a",
            "position": 0,
            "type": "integer",
            "minimum": 1,
            "description": "from the field",
            "default": 3,
        }
        assert "default" not in schema.properties["b"]
        assert schema.properties["d"]["exclusiveMinimum"] == 3
        assert schema.required == ["c"]


class TestDocstrings:
    def test_google_sections_are_read(self):
        """37.6"""
        text = """Do it.

        More about it: in detail.

        Args:
            a: The first
                over two lines.
            b (dict[str, int]): The second: with a colon.

            *args: The rest.
            **kwargs (Any, optional): By name.

        Returns:
            value: Not a parameter.
        """
        assert parameter_docstrings(text) == {
            "a": "The first\nover two lines.",
            "b": "The second: with a colon.",
            "args": "The rest.",
            "kwargs": "By name.",
        }

    @pytest.mark.parametrize("text", [None, "", "Do it.", "Args:", "Args:\n    no entry here"])
    def test_without_a_section_there_are_none(self, text):
        """37.6"""
        assert parameter_docstrings(text) == {}

    def test_become_descriptions(self):
        """37.6"""

        def f(x: int, y):
            """Do it.

            Args:
                x: A number.
            """

        assert properties(f)["x"]["description"] == "A number."
        assert "description" not in properties(f)["y"]

    def test_can_be_given_with_a_signature(self):
        """1.5"""

        def f(x): ...

        schema = generate_parameter_schema(signature_plan(f).signature, {"x": "Given."})
        assert schema.properties["x"]["description"] == "Given."


class TestEntrypoint:
    def test_reads_a_function_from_a_file(self, tmp_path):
        """1.5"""
        path = tmp_path / "some_flow.py"
        path.write_text(
            "from __future__ import annotations\n"
            "from dataclasses import dataclass\n"
            "@dataclass\n"
            "class Config:\n"
            "    n: int\n"
            "def f(config: Config, y=2): ...\n"
            "class Owner:\n"
            "    def method(self, z): ...\n"
        )
        before = set(sys.modules)
        schema = parameter_schema_from_entrypoint(f"{path}:f")
        assert schema.required == ["config"]
        assert schema.properties["config"]["$ref"] == "#/definitions/Config"
        assert list(parameter_schema_from_entrypoint(f"{path}:Owner.method").properties) == ["z"]
        assert not any("some_flow" in name for name in set(sys.modules) - before)

    @pytest.mark.parametrize("entrypoint", ["{}.dumped", "{}:dumped"])
    def test_reads_a_function_from_a_module(self, entrypoint):
        """1.5"""
        schema = parameter_schema_from_entrypoint(entrypoint.format(__name__))
        assert list(schema.properties) == ["fn"]

    def test_of_a_task_or_flow_the_function_counts(self, tmp_path):
        """1.5"""
        path = tmp_path / "wrapped.py"
        path.write_text(
            "class Wrapped: fn = lambda x: 0\nwrapped = Wrapped()\nwrapped.fn = Wrapped.fn\n"
        )
        assert list(parameter_schema_from_entrypoint(f"{path}:wrapped").properties) == ["x"]

    @pytest.mark.parametrize("entrypoint", ["", "name", ":f", "file.py:"])
    def test_must_name_a_place_and_a_function(self, entrypoint):
        """1.5"""
        with pytest.raises(ValueError, match="entrypoint must name"):
            parameter_schema_from_entrypoint(entrypoint)

    def test_missing_files_and_functions_are_errors(self, tmp_path):
        """1.5"""
        with pytest.raises(FileNotFoundError):
            parameter_schema_from_entrypoint(f"{tmp_path / 'none.py'}:f")
        with pytest.raises(ModuleNotFoundError):
            parameter_schema_from_entrypoint("no_such_module_here.f")
        with pytest.raises(AttributeError):
            parameter_schema_from_entrypoint(f"{Path(__file__)}:no_such_function")
