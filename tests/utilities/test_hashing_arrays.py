"""Hashing arrays and frames: by content, however they lie in memory."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from oxtask.utilities.hashing import hash_objects


def key(value):
    return hash_objects(value, raise_on_failure=True)


SHAPES = [(0,), (3,), (300_000,), (2, 3), (300, 500), (7, 11, 13), (40, 50, 60), ()]


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "u1", "c16", "?", "U3", "M8[s]", "g"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_order_of_an_array_in_memory_does_not_matter(shape, dtype):
    """2.3: memory layout is made canonical"""
    size = int(np.prod(shape))
    array = (np.arange(size) % 100).reshape(shape).astype("i8").astype(dtype)
    same = [array.copy(), np.array(array, order="F"), array[...]]
    if shape:
        wide = np.empty((*shape[:-1], shape[-1] * 2), dtype)
        wide[..., ::2] = array
        same += [wide[..., ::2], array[::-1].copy()[::-1]]
    assert {key(other) for other in same} == {key(array)}
    assert hash_objects(array, hash_algo="blake3") == hash_objects(same[1], hash_algo="blake3")


DIFFERENT = [
    np.arange(6), np.arange(6.0), np.arange(6).reshape(2, 3), np.arange(6).reshape(3, 2),
    np.arange(6).reshape(2, 3).T, np.arange(6, dtype="i4"), np.arange(6, dtype="u8"),
    np.array([0.0]), np.array([-0.0]), np.array([np.nan]), np.array([0j]), np.array(0),
    np.array(0.0), np.int64(1), np.int32(1), np.float64(1), np.float32(1), np.bool_(True),
    np.str_("a"), "a", 1, 1.0, np.array(["a"]), np.array([b"a"]), np.array(["a"], dtype=object),
    np.array([1, None], dtype=object), np.array(["2020"], "M8[D]"), np.array(["2020"], "M8[s]"),
    np.array([1], "m8[s]"), np.array(["NaT"], "M8[D]"),
    np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
    np.array([(1, 2.0)], [("a", "i4"), ("c", "f8")]), np.ma.array([1, 2], mask=[0, 1]),
    np.ma.array([1, 2]), np.array([1], ">i4"), np.rec.array([(1,)]), np.dtype("i4"),
    np.dtype("i8"), np.add, np.sin, np.float64, np.float32, np.zeros(70_000), np.zeros(70_001),
    np.zeros((70_000, 1)), b"", bytes(8), [], pd.DataFrame({"a": [1, 2]}),
    pd.DataFrame({"b": [1, 2]}), pd.DataFrame({"a": [1.0, 2]}),
    pd.DataFrame({"a": [1, 2]}, index=[1, 2]), pd.DataFrame({"a": [2, 1]}), pd.DataFrame(),
    pd.DataFrame({"a": ["x", "y"]}), pd.DataFrame({"a": ["x", None]}), pd.Series([1, 2]),
    pd.Series([1, 2], name="a"), pd.Series([1, None], dtype="Int64"),
    pd.Series([1, 0], dtype="Int64"), pd.Series(["a"], dtype="category"), pd.Series(["a"]),
    pd.Series(["a"], dtype=object), pd.Index([0, 1]), pd.RangeIndex(2), pd.Index(["a"]),
    pd.date_range("2020", periods=2), pd.date_range("2020", periods=2, tz="UTC"),
    pd.MultiIndex.from_tuples([(1, 2)]), pd.Timestamp("2020"), pd.Timedelta(1), pd.NA, pd.NaT,
    pd.Period("2020"), pd.interval_range(0, 2),
    pd.Series(pd.period_range("2020", periods=2, freq="D")), pl.DataFrame({"a": [1, 2]}),
    pl.DataFrame({"b": [1, 2]}), pl.DataFrame({"a": ["x"]}), pl.DataFrame(), pl.Series([1, None]),
    pl.Series([1, 0]), pl.Series(["x", None]), pl.Series(["x", ""]), pl.Series([[1], [2]]),
    pl.Series("a", [1]), pl.Series([True, None]), pl.Series(["x"], dtype=pl.Categorical), pl.Int64,
    pl.col("a"), pl.col("b"), pa.table({"a": [1, 2]}), pa.table({"b": [1, 2]}),
    pa.table({"a": ["x"]}), pa.array([1, None]), pa.array([1, 0]), pa.array([1.0]),
    pa.array(["a", "bc"]), pa.array(["ab", "c"]), pa.array(["a", None]), pa.array(["a", ""]),
    pa.array([b"a"]), pa.array([[1], [2]]), pa.array([{"a": 1}]), pa.array([True, None]),
    pa.array(["a"]).dictionary_encode(), pa.schema([("a", pa.int8())]), pa.int8(), pa.int16(),
    pa.scalar(1), pa.scalar(1.0),
]  # fmt: skip


def test_arrays_and_frames_that_differ_have_different_keys():
    """2.3: dtype, shape, names, index, nulls"""
    keys = [key(value) for value in DIFFERENT]
    for one, two in itertools.combinations(range(len(keys)), 2):
        assert keys[one] != keys[two], (DIFFERENT[one], DIFFERENT[two])


def test_all_nans_of_an_array_are_the_same():
    """2.1"""
    for dtype in ("f2", "f4", "f8", "c8", "c16"):
        array = np.zeros(100_000, dtype)
        array[7] = np.nan
        other = array.copy()
        other[7] = -other[7] if dtype[0] == "f" else -np.nan
        assert key(array) == key(other) != key(np.zeros(100_000, dtype))


def test_any_element_of_a_large_array_matters():
    """2.3"""
    array = np.zeros(1_500_000)
    before = key(array)
    for place in (0, 32_767, 32_768, 777_777, 1_499_999):
        array[place] = 1
        assert key(array) != before
        array[place] = 0
    assert key(array) == before


def test_equal_frames_have_equal_keys_however_they_were_made():
    """2.1: a filtered, copied or joined frame"""
    frame = pd.DataFrame({"a": [1.5, 2, 3], "b": ["x", None, "z"], "c": [1, 2, 3]})
    whole = pd.DataFrame({"a": [0, 1.5, 2, 3], "b": ["", "x", None, "z"], "c": [0, 1, 2, 3]})
    cut = whole[whole.c > 0].reset_index(drop=True)
    joined = pd.concat([frame[:1], frame[1:]])
    assert key(cut) == key(frame.copy()) == key(joined.reset_index(drop=True)) == key(frame)
    rows = pd.DataFrame(np.arange(40_000.0).reshape(10_000, 4), columns=list("abcd"))
    assert key(rows) == key(pd.DataFrame({name: rows[name].copy() for name in rows}))


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3, 4],
        [1, None, 3, 4],
        [1.5, None, float("nan"), 2],
        ["a", "bcd", "", "e"],
        ["a", None, "cd", None],
        [True, None, False, True],
        [b"a", None, b"", b"b"],
        [[1], None, [], [2, 3]],
    ],
)
def test_the_pieces_of_an_arrow_array_do_not_matter(values):
    """2.3: memory layout is made canonical"""
    whole = pa.array(values)
    cut = pa.concat_arrays([whole, whole]).slice(4)
    pieces = pa.chunked_array([whole[:1], whole[1:]])
    assert key(whole) == key(cut) == key(pieces)
    assert key(pa.table({"a": whole})) == key(pa.table({"a": pieces}))
    series = pl.Series(values, strict=False)
    assert key(series) == key(pl.concat([series[:2], series[2:]])) == key(series.clone())


def test_frames_of_a_derived_class_are_told_apart():
    """2.3"""

    class Frame(pd.DataFrame):
        _metadata = ["unit"]

    one, two = Frame({"a": [1]}), Frame({"a": [1]})
    one.unit = two.unit = "m"
    assert key(one) == key(two) != key(pd.DataFrame({"a": [1]}))
    two.unit = "s"
    assert key(one) != key(two)
