"""How arrays, frames and tensors are taken apart to hash them: into arrays of plain elements.

Nothing is copied where the elements lie in memory as they are; the core hashes them there.
"""

from __future__ import annotations

import sys
from typing import Any

from oxtask._internal.keys_objects import Reduction
from oxtask._internal.keys_parts import Parts, UnhashableError, name_of


def plan_of(cls: type, library: str) -> Parts | None:
    """Return the plan for a type of a library that is loaded, or one derived from it."""
    module = sys.modules.get(library)
    if module is None:
        return None
    found: Parts | None = _PLANS[library](cls, module)
    return found


# --- NumPy ----------------------------------------------------------------------------------------


def _numpy(cls: type, numpy: Any) -> Parts | None:
    if cls is numpy.ndarray:
        return "array", _odd_array
    if issubclass(cls, numpy.ma.MaskedArray):
        return "call", _masked_array
    if issubclass(cls, numpy.ndarray):
        return "call", _derived_array
    if issubclass(cls, numpy.generic):
        return "call", lambda value: ("numpy scalar", None, numpy.asarray(value))
    if issubclass(cls, numpy.dtype):
        return "call", lambda value: ("numpy dtype", None, str(value), value.descr)
    if issubclass(cls, numpy.ufunc):
        return "call", lambda value: ("numpy function", None, value.__name__)
    return None


def _derived_array(value: Any) -> Parts:
    import numpy as np  # noqa: PLC0415 - loaded, since the value is there

    return f"array:{name_of(type(value))}", getattr(value, "__dict__", None), np.asarray(value)


def _masked_array(value: Any) -> Parts:
    import numpy as np  # noqa: PLC0415 - loaded, since the value is there

    mask = np.ma.getmaskarray(value)
    # What lies under the mask is no part of the value.
    data = np.where(mask, np.zeros((), value.dtype), np.asarray(value.data))
    return f"array:{name_of(type(value))}", None, data, mask, value.fill_value


def _odd_array(value: Any) -> Parts:
    """Take apart an array whose elements the core cannot hash by their bytes."""
    kind = value.dtype.kind
    label = f"array:{value.dtype.str}"
    if not value.dtype.isnative and not value.dtype.names:
        return label, None, value.astype(value.dtype.newbyteorder("="))
    if kind in "mM":
        return label, None, value.view("i8")
    if kind == "O":
        return label, None, value.shape, value.ravel().tolist()
    if kind in "fc" and value.dtype.itemsize > (16 if kind == "c" else 8):
        # Some of the bytes of a long double are padding.
        return label, None, value.shape, [repr(item) for item in value.ravel()]
    if value.dtype.names:
        return label, {name: value[name] for name in value.dtype.names}
    return f"{label}:{value.dtype}", None, value.shape, value.tobytes()


# --- pandas ---------------------------------------------------------------------------------------


def _pandas(cls: type, pandas: Any) -> Parts | None:
    if issubclass(cls, pandas.DataFrame):
        return "call", _data_frame
    if issubclass(cls, pandas.Series):
        return "call", _series
    if issubclass(cls, pandas.MultiIndex):
        return "call", _multi_index
    if issubclass(cls, pandas.RangeIndex):
        return "call", lambda value: ("pandas.range", None, value._range, value.name)
    if issubclass(cls, pandas.Index):
        return "call", lambda value: (_label(value), None, _plain(value.array), value.name)
    if issubclass(cls, pandas.api.extensions.ExtensionArray):
        return "call", lambda value: (_label(value), None, *_extension(value))
    if issubclass(cls, pandas.api.extensions.ExtensionDtype):
        return "call", lambda value: (_label(value), None, repr(value))
    return None


def _label(value: Any) -> str:
    return f"pandas:{name_of(type(value))}"


def _data_frame(frame: Any) -> Parts:
    columns = [_plain(frame.iloc[:, place].array) for place in range(frame.shape[1])]
    return _label(frame), _attributes(frame), frame.columns, frame.index, columns


def _series(series: Any) -> Parts:
    return _label(series), _attributes(series), series.name, series.index, _plain(series.array)


def _attributes(value: Any) -> dict[str, Any] | None:
    """Return what is known of a frame beside its content; derived classes can have more."""
    own = {name: getattr(value, name, None) for name in value._metadata if name != "_name"}
    return {**own, "attrs": value.attrs} if own or value.attrs else None


def _multi_index(index: Any) -> Parts:
    levels = [index.get_level_values(level) for level in range(index.nlevels)]
    return _label(index), None, levels


def _plain(values: Any) -> Any:
    """Return the NumPy array within a pandas array, if there is nothing else to it."""
    found = getattr(values, "_ndarray", None)
    if found is not None and type(values).__name__ == "NumpyExtensionArray":
        return found
    return values


def _extension(values: Any) -> Parts:
    dtype = str(values.dtype)
    pandas = sys.modules["pandas"]
    if isinstance(values, pandas.Categorical):
        return dtype, values.categories, values.codes, values.ordered
    if hasattr(values, "_mask"):
        data = values._data.copy()
        data[values._mask] = 0
        return dtype, data, values._mask
    if hasattr(values, "_ndarray"):
        return dtype, values._ndarray
    if hasattr(values, "_pa_array"):
        return dtype, values._pa_array
    return dtype, values.to_numpy(dtype=object)


# --- polars ---------------------------------------------------------------------------------------


def _polars(cls: type, polars: Any) -> Parts | None:
    if issubclass(cls, polars.DataFrame):
        return "call", lambda value: ("polars.DataFrame", None, value.columns, value.get_columns())
    if issubclass(cls, polars.Series):
        return "call", _polars_series
    if issubclass(cls, polars.LazyFrame):
        return "call", lambda value: ("polars.LazyFrame", None, value.serialize())
    if issubclass(cls, polars.Expr):
        return "call", lambda value: ("polars.Expr", None, value.meta.serialize())
    if issubclass(cls, polars.DataType) or isinstance(cls, type(polars.DataType)):
        return "call", lambda value: ("polars dtype", None, repr(value))
    return None


def _polars_series(series: Any) -> Parts:
    label = ("polars.Series", None, series.name, str(series.dtype))
    if series.dtype.is_numeric() and not series.dtype.is_decimal():
        if not series.null_count():
            return *label, series.to_numpy()
        return *label, series.fill_null(0).to_numpy(), series.is_null().to_numpy()
    if "pyarrow" in sys.modules or _can_import("pyarrow"):
        return *label, series.rechunk().to_arrow()
    return *label, series.to_list()


def _can_import(name: str) -> bool:
    from importlib.util import find_spec  # noqa: PLC0415 - on first use

    return find_spec(name) is not None


# --- PyArrow --------------------------------------------------------------------------------------


def _pyarrow(cls: type, pyarrow: Any) -> Parts | None:
    if issubclass(cls, (pyarrow.Table, pyarrow.RecordBatch)):
        return "call", lambda value: (
            _arrow_label(value),
            None,
            *_schema_parts(value.schema),
            list(value.columns),
        )
    if issubclass(cls, pyarrow.ChunkedArray):
        return "call", lambda value: ("pyarrow.Array", None, *_arrow(_combined(value)))
    if issubclass(cls, pyarrow.Array):
        return "call", lambda value: ("pyarrow.Array", None, *_arrow(value))
    if issubclass(cls, pyarrow.Scalar):
        return "call", lambda value: ("pyarrow.Scalar", None, str(value.type), value.as_py())
    if issubclass(cls, pyarrow.Buffer):
        return "buffer", "pyarrow.Buffer"
    if issubclass(cls, pyarrow.Schema):
        return "call", lambda value: ("pyarrow.Schema", None, *_schema_parts(value))
    if issubclass(cls, (pyarrow.DataType, pyarrow.Field)):
        return "call", lambda value: (_arrow_label(value), None, str(value))
    return None


def _arrow_label(value: Any) -> str:
    return f"pyarrow:{name_of(type(value))}"


def _schema_parts(schema: Any) -> Parts:
    fields = [(field.name, str(field.type), field.nullable) for field in schema]
    return fields, schema.metadata


def _combined(chunked: Any) -> Any:
    pa = sys.modules["pyarrow"]

    whole = chunked.combine_chunks()
    # Still in pieces where one array cannot hold all texts.
    return whole if isinstance(whole, pa.Array) else pa.array(whole.to_pylist(), whole.type)


def _arrow(array: Any) -> Parts:
    """Take apart an array however it is cut out of its memory, and whatever its nulls hide."""
    pa = sys.modules["pyarrow"]

    kind = array.type
    name = str(kind)
    types = pa.types
    if types.is_dictionary(kind):
        return name, *_arrow(array.indices), *_arrow(array.dictionary)
    nulls = None
    if array.null_count:
        nulls = array.is_null().to_numpy(zero_copy_only=False)
    if types.is_integer(kind) or types.is_floating(kind):
        filled = array if nulls is None else array.fill_null(0)
        return name, filled.to_numpy(zero_copy_only=False), nulls
    if types.is_boolean(kind):
        filled = array if nulls is None else array.fill_null(False)
        return name, filled.to_numpy(zero_copy_only=False), nulls
    if types.is_large_string(kind) or types.is_large_binary(kind):
        return name, *_arrow_text(array, "i8"), nulls
    if types.is_string(kind) or types.is_binary(kind):
        return name, *_arrow_text(array, "i4"), nulls
    if (types.is_timestamp(kind) or types.is_time(kind) or types.is_date(kind)) or (
        types.is_duration(kind)
    ):
        width = pa.int64() if kind.bit_width == 64 else pa.int32()
        return name, *_arrow(array.view(width))
    return name, array.to_pylist(), None


def _arrow_text(array: Any, width: str) -> Parts:
    """Return the lengths of texts, and all their bytes."""
    import numpy as np  # noqa: PLC0415 - loaded with pyarrow

    if array.null_count:
        array = array.fill_null("" if "str" in str(array.type) else b"")
    _, offsets, data = array.buffers()
    if not len(array) or offsets is None:
        return np.empty(0, width), b""
    bounds = np.frombuffer(offsets, width)[array.offset : array.offset + len(array) + 1]
    inside = memoryview(b"" if data is None else data)[int(bounds[0]) : int(bounds[-1])]
    return np.diff(bounds), inside


# --- PyTorch --------------------------------------------------------------------------------------


def _torch(cls: type, torch: Any) -> Parts | None:
    if issubclass(cls, torch.Tensor):
        return "call", _tensor
    if cls in {torch.dtype, torch.device, torch.Size}:
        return "call", lambda value: (f"torch:{cls.__name__}", None, repr(value))
    return ("call", Reduction(cls)) if issubclass(cls, torch.nn.Module) else None


def _tensor(value: Any) -> Parts:
    if value.device.type != "cpu":
        msg = f"it lies on the device {value.device}; pass `tensor.cpu()`"
        raise UnhashableError(msg)
    torch = sys.modules["torch"]
    plain = value.detach()
    if plain.is_sparse or plain.is_quantized:
        msg = "it is sparse or quantized; pass `tensor.to_dense()`"
        raise UnhashableError(msg)
    if plain.dtype is torch.bfloat16:
        plain = plain.view(torch.int16)
    return f"torch:{name_of(type(value))}", None, str(value.dtype), plain.resolve_conj().numpy()


_PLANS = {
    "numpy": _numpy,
    "pandas": _pandas,
    "polars": _polars,
    "pyarrow": _pyarrow,
    "torch": _torch,
}
