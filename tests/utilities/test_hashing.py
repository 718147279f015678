"""Hashes of text, files and objects: what is equal, what is not, what is refused."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import fractions
import functools
import hashlib
import itertools
import pathlib
import pickle
import threading
import types
import uuid
from array import array
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pydantic
import pytest

from oxtask.exceptions import HashError
from oxtask.utilities.hashing import file_hash, hash_objects, stable_hash


class Point(NamedTuple):
    x: object
    y: object


UTC = ZoneInfo("UTC")


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Plain:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Other(Plain):
    pass


class Text(str):
    __slots__ = ()


@dataclasses.dataclass
class Pair:
    a: object
    b: object = None


@dataclasses.dataclass
class Twin:
    a: object
    b: object = None


class Model(pydantic.BaseModel):
    a: int
    secret: pydantic.SecretStr = pydantic.SecretStr("a")


class Derived(Model):
    pass


class Holder(pydantic.BaseModel):
    inner: Model


class Keyed:
    def __init__(self, key):
        self.key = key
        self.lock = threading.Lock()

    def __oxtask_key__(self):
        return self.key


def key(value):
    return hash_objects(value, raise_on_failure=True)


def test_text_and_bytes_are_hashed_one_after_the_other():
    """H1, H2, H3"""
    assert stable_hash("hello") == "5d41402abc4b2a76b9719d911017c592"
    assert stable_hash("hello", "goodbye") == "441add4718519b71e42d329a834d6d5e"
    assert stable_hash("hello", b"goodbye") == stable_hash("hellogoodbye")
    assert stable_hash("goodbye", "hello") == "c04d8ccb6b9368703e62be93358094f9"
    assert stable_hash("a", hash_algo=hashlib.sha256) == hashlib.sha256(b"a").hexdigest()


def test_only_text_and_bytes_have_a_stable_hash():
    """H4"""
    with pytest.raises(TypeError):
        stable_hash(1)


def test_a_file_is_hashed_by_its_content(tmp_path):
    """H5"""
    path = tmp_path / "file"
    path.write_bytes(b"0")
    assert file_hash(path) == file_hash(str(path)) == "cfcd208495d565ef66e7dff9f98764da"
    assert file_hash(path, hashlib.sha1) == hashlib.sha1(b"0").hexdigest()
    with pytest.raises(FileNotFoundError):
        file_hash(tmp_path / "nothing")
    with pytest.raises(TypeError, match="path"):
        file_hash()


def test_positional_and_keyword_objects_differ():
    """H6, H11"""
    assert hash_objects(1, a=2) != hash_objects(1, {"a": 2})
    assert hash_objects() != hash_objects(None)


def test_a_hash_is_as_long_as_its_algorithm_says():
    """H13"""
    lengths = [len(hash_objects(1, hash_algo=a)) for a in (None, "xxh3", "blake3", hashlib.sha1)]
    assert lengths == [32, 32, 64, 40]
    with pytest.raises(ValueError, match="'xxh3' or 'blake3'"):
        hash_objects(1, hash_algo="crc")


DIFFERENT = [
    None, True, False, 0, 1, -1, 2**63 - 1, 2**63, 2**64, -(2**63), -(2**63) - 1, 0.0, -0.0, 1.0,
    float("inf"), 0j, 1j, complex(0.0, -0.0), "", "a", "1", "None", "\u00e9", "e\u0301", "\ud800",
    "\udcff", b"", b"a", bytearray(b"a"), memoryview(b"a"), array("b", [97]), array("d", [1.0]),
    [], (), {}, set(), frozenset(), [1], (1,), {1}, frozenset({1}), {1: None}, {"1": None}, [[]],
    [[], []], [1, [2]], [[1], 2], [1, 2], [2, 1], {None: 1}, {"null": 1}, {True: 1}, {1: 1},
    dt.date(2020, 1, 2), dt.datetime(2020, 1, 2), dt.time(1, 2),
    dt.time(1, 2, tzinfo=dt.timezone.utc), dt.datetime(2020, 1, 2, tzinfo=dt.timezone.utc),
    dt.datetime(2020, 1, 2, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
    dt.datetime(2020, 1, 2, 1, tzinfo=ZoneInfo("Europe/Berlin")), dt.timedelta(1),
    dt.timedelta(-1), dt.timedelta(microseconds=1), Decimal("1.0"), Decimal("1.00"),
    Decimal("NaN"), fractions.Fraction(1, 2), uuid.UUID(int=1), str(uuid.UUID(int=1)),
    pathlib.Path("a"), pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("a"), Colour.RED,
    Colour, Level.LOW, Point(1, 2), (1, 2), Pair(1), Pair(1.0), Twin(1), Pair(1, 2), Plain(a=1),
    Plain(a=2), Other(a=1), Plain(), Model(a=1), Model(a=2), Derived(a=1), Model(a=1, secret="b"),
    Holder(inner=Model(a=1)), Holder(inner=Derived(a=1)), Text("a"), range(3), range(0),
    slice(1, 2), slice(1, 3), types.SimpleNamespace(a=1), collections.deque([1]),
    collections.deque([1], 3), collections.OrderedDict(a=1, b=2),
    collections.OrderedDict(b=2, a=1), {"a": 1, "b": 2}, collections.defaultdict(list),
    collections.defaultdict(int), collections.Counter("ab"), ValueError(1), ValueError("1"),
    KeyError(1), ..., NotImplemented, int, str, list[int], len, "a" * 2000, "a" * 2001,
    b"a" * 2000, list(range(5000)), list(range(5001)), "a" * 10**6, set(range(100)),
    set(range(101)), {i: i for i in range(100)}, dict.fromkeys(range(100), 0),
    functools.partial(len), functools.partial(int, base=2), functools.partial(int, base=8),
]  # fmt: skip


def test_values_that_differ_have_different_keys():
    """2.2, 2.3; issue: types, zeros, lists and tuples"""
    keys = [key(value) for value in DIFFERENT]
    for one, two in itertools.combinations(range(len(keys)), 2):
        assert keys[one] != keys[two], (DIFFERENT[one], DIFFERENT[two])


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({i: i for i in range(50)}, {i: i for i in reversed(range(50))}),
        ({0, 8, 16}, {16, 8, 0}),
        ({"a", ("b", 1)}, {("b", 1), "a"}),
        (float("nan"), -float("nan")),
        ([float("nan")], [float("inf") - float("inf")]),
        (array("d", [float("nan")]), array("d", [-float("nan")])),
        (dt.time(1, tzinfo=dt.timezone.utc), dt.time(1, tzinfo=dt.timezone(dt.timedelta(0)))),
        (dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc), dt.datetime(2020, 1, 1, tzinfo=UTC)),
        (dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, fold=1)),
        (range(0), range(2, 1)),
        (range(0, 3, 2), range(0, 4, 2)),
        (Plain(a=1, b=2), Plain(b=2, a=1)),
        (Keyed(1), Keyed(1)),
        (collections.Counter("ab"), collections.Counter("ba")),
        (memoryview(bytearray(b"abcd"))[::2], memoryview(bytearray(b"axcd"))[::2]),
    ],
)  # fmt: skip
def test_values_that_are_equal_have_equal_keys(one, two):
    """2.1, W-H7"""
    assert key(one) == key(two)
    assert key([one, {"x": two}]) == key([two, {"x": one}])


def test_sharing_parts_does_not_change_a_key():
    """W-H10"""
    part = [1, 2, "x" * 3000]
    assert key([part, part]) == key([part, list(part)])
    text = str(b"abc", "ascii")
    assert key([text, text]) == key([text, "abc"])


def test_what_was_computed_on_first_access_does_not_change_a_key():
    """2.1: equal objects"""

    class Lazy:
        @functools.cached_property
        def value(self):
            return 1

    one, two = Lazy(), Lazy()
    assert one.value == 1
    assert key(one) == key(two)


def test_a_model_leaves_out_what_it_excludes():
    """2.1"""

    class Client(pydantic.BaseModel):
        name: str
        trace: str = pydantic.Field("", exclude=True)
        _private: int = 0

    one, two = Client(name="a", trace="1"), Client(name="a", trace="2")
    two._private = 1
    assert key(one) == key(two) != key(Client(name="b"))


def test_an_object_can_say_what_its_key_is_made_of():
    """issue: __oxtask_key__"""
    assert key(Keyed(1)) != key(Keyed(2))
    assert key({"client": Keyed([1])}) == key({"client": Keyed([1])})


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"cfg": Plain(client=Plain(_lock=threading.Lock()))}, "['cfg'].client._lock"),
        ([1, (2, {3: threading.Lock()})], "[1][1][3]"),
        (Pair(1, Pair(threading.Lock())), ".b.a"),
        ({(1, 2): threading.Lock()}, "[<tuple>]"),
        ({threading.Lock()}, "[<lock>]"),
        (functools.partial(len, threading.Lock()), "[0]"),
    ],
)
def test_what_cannot_be_hashed_is_named_by_its_path(value, path):
    """H9; issue: the path inside the argument"""
    assert hash_objects(value) is None
    with pytest.raises(HashError, match="Unable to create hash") as caught:
        key(value)
    assert caught.value.path == f"(args, kwargs)[0][0]{path}"
    assert "_thread.lock" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).path == caught.value.path


@pytest.mark.parametrize(
    "make",
    [
        lambda: iter([1, 2]),
        lambda: (x for x in [1, 2]),
        lambda: map(str, [1, 2]),
        lambda: zip([1, 2], [3, 4]),
        lambda: filter(None, [1, 2]),
        lambda: itertools.chain([1], [2]),
    ],
)
def test_what_can_be_read_only_once_is_refused_and_not_read(make):
    """W-H12"""
    value = make()
    with pytest.raises(HashError, match="read only once"):
        key({"x": value})
    assert list(value) == list(make())


def test_an_open_file_is_refused(tmp_path):
    """W-H3, W-H9"""
    with (tmp_path / "file").open("w") as file, pytest.raises(HashError):
        key(file)


def test_cycles_have_keys():
    """Issue: cycles must not overflow the stack"""

    def cycle(value):
        outer = [value]
        outer.append({"outer": outer})
        return outer

    assert key(cycle(1)) == key(cycle(1)) != key(cycle(2))
    node = Plain(value=1)
    node.next = node
    assert key(node) != key(Plain(value=1, next=None))


def test_a_value_whose_parts_are_shared_many_times_is_hashed_once_for_each():
    """Issue: hostile objects"""
    value, flat = ["x" * 100], ["x" * 100]
    for _ in range(200):
        value, flat = [value, value], {"a": flat, "b": flat}
    assert key(value) == key(value) != key(flat)


@pytest.mark.parametrize(
    "wrap", [lambda x: [x], lambda x: {"a": x}, lambda x: Pair(x), lambda x: (x,)]
)
def test_what_is_nested_too_deep_is_refused(wrap):
    """Issue: deep nesting must not overflow the stack, on a small one either"""
    deep = shallow = 0
    for _ in range(100_000):
        deep = wrap(deep)
    for _ in range(400):
        shallow = wrap(shallow)
    found = []
    size = threading.stack_size(1024 * 1024)
    try:
        thread = threading.Thread(target=lambda: found.extend([hash_objects(deep), key(shallow)]))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(size)
    assert found[0] is None
    assert len(found[1]) == 32
    with pytest.raises(HashError, match="nested deeper than 500") as caught:
        key(deep)
    assert len(str(caught.value)) < 500
    while deep:  # collecting it whole would take the stack of the interpreter
        deep = (
            deep.a if isinstance(deep, Pair) else deep["a"] if isinstance(deep, dict) else deep[0]
        )
