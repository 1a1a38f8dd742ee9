"""What the operations of a pickle of arrays make: NumPy's functions and `defaultdict` imitated, none of them called.

Arrays become `StoredArray`s, which say where in the file their bytes lie. Values are made step by step, as a pickle
makes them: an array is first empty, then gets its state.

Source: NumPy's `ndarray.__reduce__` (`_reconstruct`, then a state) and, from protocol 5 on, `__reduce_ex__`
(`_frombuffer`).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

import numpy as np

from voxaffect.corpora.stored_array import Span, StoredArray

Stored: TypeAlias = "Mapping[str | int | float | None, Stored] | StoredArray | str | int | float | None"
"""What a pickle may hold."""

MAX_WORD = 256
"""Bytes of the longest name or key."""
MAX_DEPTH = 8
"""Dicts within dicts; a pickle can put a dict into itself."""

MAX_AXES = 64
"""As many as NumPy has."""


class RefusedError(Exception):
    """A pickle asks for something, named here, that no pickle of arrays needs."""


class DamagedError(Exception):
    """A pickle makes no sense, for the reason given here."""


class Known(enum.Enum):
    """The functions and classes that a pickle of arrays needs."""

    RECONSTRUCT = "_reconstruct"
    FROM_BUFFER = "_frombuffer"
    SCALAR = "scalar"
    NDARRAY = "ndarray"
    DTYPE = "dtype"
    ENCODE = "encode"
    DEFAULTDICT = "defaultdict"


_KNOWN: Mapping[tuple[str, str], Known] = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): Known.RECONSTRUCT for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): Known.SCALAR for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): Known.FROM_BUFFER for core in ("core", "_core")},
    ("numpy", "ndarray"): Known.NDARRAY,
    ("numpy", "dtype"): Known.DTYPE,
    ("_codecs", "encode"): Known.ENCODE,
    ("collections", "defaultdict"): Known.DEFAULTDICT,
}
_TYPES = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})
"""Types of numbers; anything else (objects, records, text, dates) is refused."""


class Text:
    """A string that lies in the file."""

    def __init__(self, span: Span) -> None:
        self.span = span


class Pairs:
    """A dict in the making: pairs as they come, nothing hashed or compared."""

    def __init__(self) -> None:
        self.pairs: list[tuple[object, object]] = []


class Type:
    """A NumPy type of numbers in the making: its code, then its byte order."""

    def __init__(self, code: str) -> None:
        if code not in _TYPES:
            what = "Python objects" if code.startswith("O") else "other than numbers"
            raise RefusedError(f"an array of {what} (type {code!r})")
        self.code, self.order = code, ""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of numbers that it stands for."""
        if self.order not in ("<", ">", "|"):
            raise DamagedError(f"a type of byte order {self.order!r}")
        return np.dtype(self.order + self.code)


class Array:
    """An array in the making."""

    def __init__(self, stored: StoredArray | None = None) -> None:
        self.stored = stored


def find(module: str, name: str) -> Known:
    """What `module.name` stands for; RefusedError, with that name, for everything but the few known."""
    if (module, name) not in _KNOWN:
        raise RefusedError(f"{module}.{name}")
    return _KNOWN[module, name]


def call(function: object, arguments: object) -> object:
    """What `function(*arguments)` would make."""
    match function, arguments:
        case Known.RECONSTRUCT, (Known.NDARRAY, (0,), _):
            return Array()
        case Known.FROM_BUFFER, (Span() as data, Type() as kind, tuple() as shape, order, *rest) if (
            len(rest) < 2
        ):
            axes = _memory_axes(word(order), rest[0] if rest else None, len(shape))
            # Of axes in another order, the shape in memory is told.
            return Array(_stored(data, kind, shape if word(order) != "K" else _inverse(shape, axes), axes))
        case Known.SCALAR, (Type() as kind, Span() as data):
            return _stored(data, kind, (1,), (0,)).read()[0].item()
        case Known.DTYPE, (code, *_):
            return Type(word(code))
        case Known.ENCODE, (Text() as text, encoding) if word(encoding) in ("latin1", "latin-1"):
            return Span(text.span.path, text.span.offset, text.span.size, latin1=True)
        case Known.DEFAULTDICT, () | (None,):
            return Pairs()
        case Known(), _:
            raise RefusedError(f"a call of {function.value} that NumPy and Python do not write")
    raise DamagedError("a call of what is no function")


def build(target: object, state: object) -> None:
    """Give `target` its state."""
    match target, state:
        case Type(order=""), (3, order, None, None, None, int(), int(), int()):
            target.order = word(order)
        case Array(stored=None), (1, tuple() as shape, Type() as kind, int() as fortran, Span() as data):
            axes = tuple(range(len(shape)))
            target.stored = _stored(data, kind, shape, axes[::-1] if fortran else axes)
        case _:
            raise RefusedError(f"a state for {kind_of(target)} that NumPy does not write")


def finished(value: object) -> Stored:
    """`value` as it is given out."""
    return _finished(value, 0, {})


def _finished(value: object, depth: int, known: dict[int, Stored]) -> Stored:
    """`known` holds the dicts that are finished: one that stands in a thousand others is made once."""
    if depth > MAX_DEPTH:
        raise RefusedError(f"dicts more than {MAX_DEPTH} deep")
    match value:
        case Pairs():
            if id(value) not in known:
                known[id(value)] = {_key(k): _finished(item, depth + 1, known) for k, item in value.pairs}
            return known[id(value)]
        case Array(stored=StoredArray() as stored):
            return stored
        case None | int() | float():
            return value
        case Text():
            return word(value)
    raise RefusedError(f"{kind_of(value)} as a value")


def word(value: object) -> str:
    """The characters of a short string, which Python 2 wrote as bytes."""
    span = value.span if isinstance(value, Text) else value
    if not isinstance(span, Span):
        raise RefusedError(f"{kind_of(value)} as a name or key")
    if span.size > MAX_WORD:
        raise RefusedError(f"a name or key of {span.size} bytes")
    data = np.empty(span.n_bytes, np.uint8)
    span.read_into(0, data)
    return data.tobytes().decode("utf-8", errors="replace")


def kind_of(value: object) -> str:
    """What `value` is, in words."""
    match value:
        case Known():
            return value.value
        case Span():
            return "bytes"
        case Text():
            return "a string"
        case Pairs():
            return "a dict"
        case Type():
            return "a type"
        case Array():
            return "an array" if value.stored else "an array without a state"
        case tuple():
            return "a tuple"
    return "nothing" if value is None else "a number"


def _key(value: object) -> str | int | float | None:
    return value if value is None or isinstance(value, int | float) else word(value)


def _stored(data: Span, kind: Type, shape: tuple[object, ...], axes: tuple[int, ...]) -> StoredArray:
    if not 1 <= len(shape) <= MAX_AXES or not all(type(n) is int for n in shape):
        raise DamagedError(f"an array of shape {tuple(map(_plain, shape))}")
    dtype = kind.dtype
    try:
        return StoredArray(data, dtype, cast("tuple[int, ...]", shape), axes)
    except ValueError as error:
        raise DamagedError(str(error)) from None


def _memory_axes(order: str, axes: object, n: int) -> tuple[int, ...]:
    """The array's axes in the order of memory; `axes` says of each of them where in that order it comes."""
    if order == "K" and isinstance(axes, tuple) and all(type(axis) is int for axis in axes):
        if sorted(axes) == list(range(n)):
            return tuple(axes.index(place) for place in range(n))
    elif order in ("C", "F") and axes is None:
        return tuple(range(n)) if order == "C" else tuple(range(n))[::-1]
    raise DamagedError(f"an array of memory order {order!r}")


def _inverse(shape: tuple[object, ...], axes: tuple[int, ...]) -> tuple[object, ...]:
    """The shape of an array from its shape in memory."""
    return tuple(shape[axes.index(axis)] for axis in range(len(axes)))


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | None) else kind_of(value)
