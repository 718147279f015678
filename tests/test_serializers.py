"""Serializers: bytes of values, and values again."""

from __future__ import annotations

import bz2
import dataclasses
import enum
import io
import json
import subprocess
import sys
import uuid
from base64 import encodebytes
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from oxtask.serializers import (
    CompressedJSONSerializer,
    CompressedPickleSerializer,
    CompressedSerializer,
    JSONSerializer,
    PickleSerializer,
    Serializer,
    UnknownSerializer,
    json_object_decoder,
    resolve_serializer,
    serializer_from_record,
)

TYPES = ["pickle", "json", "compressed/pickle", "compressed/json"]


class Shout(Serializer):
    type: str = "test-shout"
    suffix: str = "!"

    def dumps(self, obj):
        return (obj + self.suffix).encode()

    def loads(self, blob):
        return blob.decode().removesuffix(self.suffix)


class Model(BaseModel):
    name: str
    extra: dict = {}


@dataclasses.dataclass
class Point:
    x: int
    y: float


class Colour(enum.Enum):
    RED = "red"


class Odd(Exception):
    pass


@pytest.mark.parametrize("type", TYPES)
def test_every_type_is_made_from_its_name(type):
    """results.md S1, S4"""
    serializer = Serializer(type=type)

    assert serializer.type == type
    assert serializer == resolve_serializer(type) == resolve_serializer(serializer)
    assert Serializer.model_validate(serializer.model_dump()) == serializer
    assert serializer.loads(serializer.dumps({"x": [1, None, "é"]})) == {"x": [1, None, "é"]}


def test_a_subclass_is_found_by_the_default_of_its_type():
    """results.md S1, S14"""
    serializer = Serializer(type="test-shout", suffix="?")

    assert isinstance(serializer, Shout)
    assert serializer.loads(serializer.dumps("a")) == "a"
    assert serializer_from_record(serializer.model_dump()) == serializer


def test_defining_a_type_again_replaces_it_and_says_so():
    """results.md S1"""

    class First(Serializer):
        type: str = "test-again"

    with pytest.warns(UserWarning, match=r"'test-again' was .*First and is now .*Second"):

        class Second(Serializer):
            type: str = "test-again"

    assert isinstance(Serializer(type="test-again"), Second)
    with pytest.raises(NotImplementedError, match="Second has no method 'dumps'"):
        Second().dumps(1)


@pytest.mark.parametrize("options", [{"type": "nope"}, {"type": ["json"]}, {}])
def test_an_unknown_type_is_refused_at_that_field(options):
    """results.md S2"""
    with pytest.raises(ValidationError) as caught:
        Serializer(**options)

    assert caught.value.errors()[0]["loc"] == ("type",)


def test_options_nobody_knows_are_refused():
    """results.md S1"""
    with pytest.raises(ValidationError, match="colour"):
        JSONSerializer(colour="red")
    with pytest.raises(ValidationError, match="the type of JSONSerializer is 'json'"):
        JSONSerializer(type="pickle")


def test_a_field_of_a_model_takes_a_serializer_or_a_dict():
    """results.md S2"""

    class Options(BaseModel):
        serializer: Serializer

    assert Options(serializer={"type": "json"}).serializer == JSONSerializer()
    assert Options(serializer=PickleSerializer()).serializer == PickleSerializer()
    with pytest.raises(ValidationError) as caught:
        Options(serializer={"type": "nope"})
    assert caught.value.errors()[0]["loc"] == ("serializer", "type")


def test_what_is_no_serializer_is_refused_with_its_type():
    """results.md S3"""
    with pytest.raises(TypeError, match=r"'serializer' must be .* got 3 of type int"):
        resolve_serializer(3)
    with pytest.raises(ValidationError, match="no serializer has the type 'nope'"):
        resolve_serializer("nope")


def test_an_unknown_serializer_keeps_its_fields_and_cannot_be_used():
    """results.md S4, L13"""
    serializer = serializer_from_record({"type": "elsewhere", "level": 3})

    assert isinstance(serializer, UnknownSerializer)
    assert serializer.model_dump() == {"type": "elsewhere", "level": 3}
    for use in (serializer.dumps, serializer.loads):
        with pytest.raises(RuntimeError, match="'elsewhere' is not available in this environment"):
            use(b"")
    with pytest.raises(ValidationError):
        serializer_from_record({"type": "json", "level": 3})


class TestPickle:
    def test_bytes_are_base64_in_lines(self):
        """results.md S5, L5"""
        serializer = PickleSerializer()

        assert serializer.dumps({"v": 1}) == b"gAWVCgAAAAAAAAB9lIwBdpRLAXMu\n"
        assert serializer.loads(b"gAWVCgAAAAA\nAAAB9lIwBd pRLAXMu") == {"v": 1}
        assert serializer.loads(serializer.dumps(lambda x: x + 1))(1) == 2

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("nowhere_to_be_found", "Failed to import requested pickle library"),
            ("re", "does not have a 'dumps' method"),
            (3, "valid string"),
            ("", "Failed to import"),
        ],
    )
    def test_a_library_that_does_not_pickle_is_refused(self, name, message):
        """results.md S5"""
        with pytest.raises(ValidationError, match=message):
            PickleSerializer(picklelib=name)

    def test_another_version_of_the_library_is_a_warning(self):
        """results.md S6"""
        import cloudpickle

        PickleSerializer(picklelib_version=cloudpickle.__version__)
        with pytest.warns(UserWarning, match="cloudpickle is here in version .* not 0.1"):
            PickleSerializer(picklelib_version="0.1")


class TestJson:
    @pytest.mark.parametrize(
        "value",
        [
            uuid.uuid4(),
            datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=timezone.utc),
            timedelta(days=1, microseconds=3),
            Decimal("1.10"),
            Path("a/b"),
            {1, 2},
            frozenset({"a"}),
            1 + 2j,
            b"utf-8",
            Point(1, 2.5),
            Model(name="n", extra={"__class__": "builtins.int", "data": "1"}),
            Colour.RED,
            [{"nested": {Path("x")}}],
            {"user": 1, "__class__": "builtins.int", "data": "7"},
            [{"__exc_type__": "builtins.ValueError"}, "__class__"],
            {"__class__": "builtins.dict", "data": [["a", 1]]},
        ],
        ids=repr,
    )
    def test_what_pydantic_knows_comes_back_as_it_was(self, value):
        """results.md S8, S9, S10, W-S1"""
        serializer = JSONSerializer()
        read = serializer.loads(serializer.dumps(value))

        assert read == value
        assert type(read) is type(value)

    def test_what_json_has_no_notion_of_changes(self):
        """results.md S10"""
        serializer = JSONSerializer()

        assert serializer.dumps({"a": (1, float("inf")), 2: None}) == (
            b'{"a": [1, Infinity], "2": null}'
        )
        read = serializer.loads(serializer.dumps(KeyError("x")))
        assert (type(read), read.args) == (KeyError, ("'x'",))
        assert type(serializer.loads(serializer.dumps(Odd("o")))) is Odd

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.text() | st.sampled_from(["__class__", "__exc_type__", "data"]), inner
                )
            ),
        )
    )
    def test_any_json_comes_back_as_it_was(self, value):
        """results.md S10, W-S1"""
        serializer = JSONSerializer()

        assert serializer.loads(serializer.dumps(value)) == value

    @pytest.mark.parametrize(
        "value", [b"\xff", {(1, 2): 3}, object(), range(3), SimpleNamespace(a=1), print]
    )
    def test_what_cannot_be_written_is_refused(self, value):
        """results.md S11"""
        with pytest.raises((TypeError, ValueError)):
            JSONSerializer().dumps(value)

    def test_a_class_that_reading_would_not_find_is_refused(self):
        @dataclasses.dataclass
        class Local:
            x: int = 1

        with pytest.raises(ValueError, match="its class is made in a function"):
            JSONSerializer().dumps(Local())

    def test_a_stream_is_written_as_a_placeholder_and_not_read(self):
        """results.md S8"""
        stream = io.StringIO("content")

        written = json.loads(JSONSerializer().dumps(stream))

        assert written["__class__"] == "_io.StringIO"
        assert "IOStream Placeholder: type=_io.StringIO" in written["data"]
        assert stream.read() == "content"

    @pytest.mark.parametrize(
        "written",
        [
            {"__class__": "nothing.Anywhere", "data": 1},
            {"__class__": "dotless", "data": 1},
            {"__class__": 3, "data": 1},
            {"__class__": "builtins.nothing", "data": 1},
            {"plain": 1},
        ],
    )
    def test_a_dict_that_names_no_class_stays_as_it_is(self, written):
        """results.md S9"""
        assert json_object_decoder(dict(written)) == written

    @pytest.mark.parametrize("path", ["builtins.int", "nothing.Error", "no", 3])
    def test_an_exception_has_to_be_one(self, path):
        """results.md S9"""
        with pytest.raises(ValueError, match="Invalid exception type"):
            json_object_decoder({"__exc_type__": path, "message": ""})

    @pytest.mark.parametrize(
        "text",
        [
            '{"__class__": "this.Anything", "data": 1}',
            '{"__class__": "xml.dom.minidom.Document", "data": 1}',
            '{"__class__": "pydantic.types.ImportString", "data": "this.s"}',
            '{"__exc_type__": "this.Error", "message": ""}',
            '{"__class__": "os.system", "data": "true"}',
            '{"py/object": "this.Anything"}',
        ],
    )
    def test_reading_imports_nothing(self, text):
        """results.md W-S1, RELIABILITY Z2"""
        code = (
            "import sys; from oxtask.serializers import JSONSerializer\n"
            "import pydantic.types; JSONSerializer().loads(b'[]')\n"
            "from pydantic import TypeAdapter; TypeAdapter(int)\n"
            "before = set(sys.modules)\n"
            "try: JSONSerializer().loads(sys.argv[1].encode())\n"
            "except ValueError: pass\n"
            "print(sorted(sys.modules.keys() - before))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, text], capture_output=True, text=True, check=True
        )
        assert done.stdout == "[]\n"

    def test_functions_of_the_user_replace_ours(self):
        """results.md S7"""
        serializer = JSONSerializer(
            object_encoder="builtins.repr", object_decoder=None, dumps_kwargs={"indent": 1}
        )

        assert serializer.loads(serializer.dumps([{1}])) == ["{1}"]
        assert JSONSerializer(object_encoder=None).loads(b'{"a": 1}') == {"a": 1}
        with pytest.raises(ValidationError, match="object_encoder"):
            JSONSerializer(dumps_kwargs={"default": repr})
        with pytest.raises(ValidationError, match="object_decoder"):
            JSONSerializer(loads_kwargs={"object_hook": dict})
        with pytest.raises(ValidationError, match="does not have a 'dumps' method"):
            JSONSerializer(jsonlib="re")


class TestCompressed:
    @pytest.mark.parametrize("library", ["bz2", "lzma", "zlib"])
    def test_any_library_that_compresses_does(self, library):
        """results.md S12, L4"""
        serializer = CompressedSerializer(serializer="json", compressionlib=library)

        assert serializer.serializer == JSONSerializer()
        assert serializer.loads(serializer.dumps([1] * 1000)) == [1] * 1000
        assert Serializer(**serializer.model_dump()) == serializer

    def test_bytes_are_base64(self):
        """results.md S12"""
        serializer = CompressedSerializer(serializer=JSONSerializer(), compressionlib="bz2")

        assert serializer.dumps([1]) == encodebytes(bz2.compress(b"[1]"))

    def test_a_serializer_is_needed(self):
        """results.md S12"""
        with pytest.raises(ValidationError, match="serializer"):
            CompressedSerializer()
        with pytest.raises(ValidationError, match="does not have a 'compress' method"):
            CompressedSerializer(serializer="json", compressionlib="re")
        assert CompressedJSONSerializer().serializer == JSONSerializer()
        assert CompressedPickleSerializer().serializer == PickleSerializer()
