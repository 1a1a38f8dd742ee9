"""Pickles for tests: arrays as any NumPy and Python has written them, and attacks on whoever loads them."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Call:
    """Pickles as the call of `function`, which loading then makes."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.function, self.arguments


class Stated:
    """Pickles as an object of a class of its own, with a state (NEWOBJ and BUILD)."""

    def __init__(self) -> None:
        self.x = 1


def attacks(marker: str) -> dict[str, tuple[object, str]]:
    """What would run when it is loaded, and the name by which it must be refused; some would make the file `marker`."""
    touch = f"touch {marker}"
    calls = {
        "os.system": Call(os.system, touch),
        "eval": Call(eval, f"open({marker!r}, 'w')"),
        "exec": Call(exec, f"open({marker!r}, 'w')"),
        "open": Call(open, marker, "w"),
        "subprocess": Call(subprocess.check_call, ["touch", marker]),
        "numpy.load": Call(np.load, marker, None, True),
        "numpy.fromfile": Call(np.fromfile, marker),
        "pickle.loads": Call(pickle.loads, b"cos\nsystem\n."),
        "getattr": Call(getattr, "x", "upper"),
    }
    return {
        **{name: (call, named(call.function)) for name, call in calls.items()},
        "factory": (defaultdict(os.getcwd), named(os.getcwd)),
        "state": (Stated(), named(Stated)),
        "objects": (np.array([calls["os.system"]], dtype=object), "an array of Python objects (type 'O8')"),
        "nested": ({"1M": {"seg_spec": np.zeros(3), "x": calls["os.system"]}}, named(os.system)),
        "key": ({(1, "a"): 1}, "a tuple as a name or key"),
    }


def named(function: Callable[..., Any]) -> str:
    """The name that a pickle calls `function` by."""
    return f"{function.__module__}.{function.__name__}"


def short(text: str | bytes) -> bytes:
    """SHORT_BINUNICODE (text) or Python 2's SHORT_BINSTRING (bytes)."""
    if isinstance(text, bytes):
        return b"U" + bytes([len(text)]) + text
    return b"\x8c" + bytes([len(text)]) + text.encode()


def of_python_2(array: np.ndarray) -> bytes:
    """`{'a': array}` as Python 2 pickled it with protocol 2: strings and array bytes are BINSTRINGs."""
    code, order = f"{array.dtype.kind}{array.dtype.itemsize}".encode(), array.dtype.str[:1].encode()
    data = array.tobytes()
    shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in array.shape) + b"t"
    return (
        b"\x80\x02}q\x00" + short(b"a") + b"q\x01cnumpy.core.multiarray\n_reconstruct\nq\x02"
        b"cnumpy\nndarray\nq\x03K\x00\x85q\x04" + short(b"b") + b"q\x05\x87q\x06Rq\x07"
        b"(K\x01" + shape + b"q\x08cnumpy\ndtype\nq\x09" + short(code) + b"q\x0aK\x00K\x01\x87q\x0bRq\x0c"
        b"(K\x03" + short(order) + b"q\x0dNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb"
        b"\x89T" + struct.pack("<i", len(data)) + data + b"q\x0ftq\x10bs."
    )  # fmt: skip


def claiming(shape: tuple[int, ...], data: bytes = b"\0\0\0\0") -> bytes:
    """An array of `shape` float32 that has only the bytes `data`."""
    told, wanted = (pickle.dumps(n, 3)[2:-3] for n in ((len(data) // 4,), shape))
    return pickle.dumps({"a": np.frombuffer(data, np.float32)}, 3).replace(told, wanted)
