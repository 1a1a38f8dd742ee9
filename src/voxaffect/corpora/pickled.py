"""Pickles of arrays, read without running them: a scanner that knows arrays, dicts and numbers, and nothing else.

A pickle is a program for a small stack machine, and `pickle.load` lets it call whatever Python can import. Here its
operations are walked through one by one. The few functions that NumPy's arrays and `defaultdict` are made with are
known by name and imitated (`voxaffect.corpora.pickle_values`); every other name, and every operation that could lead
to one, is refused by that name. The bytes of arrays are skipped: what comes back says where they lie, so that a file
of several gigabytes takes no more memory than its names. Lengths are held against the file before anything is read.

Source: the operations as `pickletools` documents them, protocols 1 to 5. Text pickles (protocol 0) are refused.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from voxaffect.audio_format import HEAD_BYTES, describe
from voxaffect.corpora.pickle_values import (
    MAX_WORD,
    DamagedError,
    Pairs,
    RefusedError,
    Stored,
    Text,
    build,
    call,
    find,
    finished,
    word,
)
from voxaffect.corpora.stored_array import Span
from voxaffect.errors import CorpusError

MAX_OPERATIONS = 100_000
"""Ten speakers' arrays take fewer than 3000."""

_NAMES = {operation.code: operation.name for operation in pickletools.opcodes}
_TEXT_OPERATIONS = frozenset({"PUT", "GET", "DICT", "UNICODE", "STRING", "LONG", "FLOAT"})
_BYTES = {"SHORT_BINBYTES": "<B", "BINBYTES": "<I", "BINBYTES8": "<Q", "BYTEARRAY8": "<Q",
          "SHORT_BINSTRING": "<B", "BINSTRING": "<i"}  # fmt: skip
"""Operations that push bytes, with the form of the length in front of them."""
_TEXTS = {"SHORT_BINUNICODE": "<B", "BINUNICODE": "<I", "BINUNICODE8": "<Q"}
_NUMBERS = {"BININT1": "<B", "BININT2": "<H", "BININT": "<i", "BINFLOAT": ">d"}
_CONSTANTS: Mapping[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS = {"BINPUT": "<B", "LONG_BINPUT": "<I"}
_GETS = {"BINGET": "<B", "LONG_BINGET": "<I"}


def read_pickle_arrays(path: Path) -> Stored:
    """What the pickle `path` holds, with a `StoredArray` in the place of each array; nothing of it is run.

    Raises:
        CorpusError: `unreadable_pickle`, `not_a_pickle`, `refused_pickle` (what it asks for, by name) or
            `damaged_pickle` (with the byte at which it makes no sense).
    """
    try:
        with path.open("rb") as file:
            _check_head(file, path)
            scanner = _Scanner(file, path)
            try:
                return finished(scanner.run())
            except RefusedError as error:
                raise CorpusError(
                    "refused_pickle",
                    f"{path.name} asks for {error} at byte {scanner.at}; "
                    "it may hold NumPy arrays, dicts, defaultdict and numbers only",
                    hint="nothing of it was run; do not load it with Python's pickle",
                    where=str(path),
                ) from None
            except DamagedError as error:
                raise CorpusError(
                    "damaged_pickle",
                    f"{path.name} makes no sense at byte {scanner.at}: {error}",
                    hint="was the download cut short?",
                    where=str(path),
                ) from None
    except OSError as error:
        raise CorpusError(
            "unreadable_pickle", f"cannot read {path}: {error.strerror}", where=str(path)
        ) from error


def _check_head(file: BinaryIO, path: Path) -> None:
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if head[:1] in (b"\x80", b"(", b"}", b"c"):
        return
    what, hint = describe(head) if head else ("it is empty", None)
    if what.startswith("its first bytes"):
        what = f"it begins with {head[:8]!r}"
    raise CorpusError("not_a_pickle", f"{path.name} is not a pickle ({what})", hint=hint, where=str(path))


class _Scanner:
    """The stack machine. `at` is the byte at which the operation in hand begins."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file, self.path, self.at = file, path, 0
        self.size = file.seek(0, 2)
        file.seek(0)
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}

    def run(self) -> object:
        """Walk through the operations up to the end; the value left on top of the stack."""
        for _ in range(MAX_OPERATIONS):
            self.at = self.file.tell()
            name = _NAMES.get(self.take(1).decode("latin-1"), "")
            if name == "STOP":
                if (left := self.size - self.file.tell()) > 0:
                    raise DamagedError(f"{left} bytes follow its end")
                return self.pop()
            self.step(name)
        raise RefusedError(f"more than {MAX_OPERATIONS} operations")

    def step(self, name: str) -> None:
        """Do the operation `name`."""
        if name in _BYTES:
            self.stack.append(self.span(self.number(_BYTES[name])))
        elif name in _TEXTS:
            self.stack.append(Text(self.span(self.number(_TEXTS[name]))))
        elif name in _NUMBERS:
            self.stack.append(self.number(_NUMBERS[name]))
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            self.stack.append(tuple([self.pop() for _ in range(_TUPLES[name])][::-1]))
        elif name in _PUTS:
            self.memo[int(self.number(_PUTS[name]))] = self.top()
        elif name in _GETS:
            self.stack.append(self.remembered(int(self.number(_GETS[name]))))
        elif name in _STEPS:
            _STEPS[name](self)
        elif not name:
            raise DamagedError("there is no such operation")
        elif name == "INST":  # a call whose class stands in the operation itself
            raise RefusedError(f"{self.line()}.{self.line()}")
        elif name in _TEXT_OPERATIONS:
            raise RefusedError(f"the operation {name} of protocol 0, which is not read,")
        else:
            raise RefusedError(f"the pickle operation {name}")

    # --- operations

    def proto(self) -> None:
        if (version := self.number("<B")) > 5:
            raise DamagedError(f"protocol {version}; 5 is the latest known")

    def frame(self) -> None:
        self.number("<Q")  # how much a reader may fetch at once; nothing depends on it

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def long1(self) -> None:
        self.stack.append(int.from_bytes(self.take(int(self.number("<B"))), "little", signed=True))

    def text_int(self) -> None:
        text = self.line()
        if text in ("00", "01"):  # protocol 1's way to write False and True
            self.stack.append(text == "01")
        elif text.removeprefix("-").isdecimal():
            self.stack.append(int(text))
        else:
            raise DamagedError(f"{text!r} is no number")

    def empty_dict(self) -> None:
        self.stack.append(Pairs())

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        self.put([key, value])

    def set_items(self) -> None:
        self.put(self.since_mark())

    def put(self, values: list[object]) -> None:
        target = self.top()
        if not isinstance(target, Pairs) or len(values) % 2:
            raise DamagedError("items for what is no dict")
        target.pairs += zip(values[::2], values[1::2], strict=True)

    def marked_tuple(self) -> None:
        self.stack.append(tuple(self.since_mark()))

    def memoize(self) -> None:
        self.memo[len(self.memo)] = self.top()

    def text_global(self) -> None:
        self.stack.append(find(self.line(), self.line()))

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        self.stack.append(find(word(module), word(name)))

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        self.stack.append(call(function, arguments))

    def build(self) -> None:
        state = self.pop()
        build(self.top(), state)

    # --- the stack and the file

    def pop(self) -> object:
        self.top()
        return self.stack.pop()

    def top(self) -> object:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise DamagedError("its stack is empty")
        return self.stack[-1]

    def since_mark(self) -> list[object]:
        if not self.marks:
            raise DamagedError("there is no mark on its stack")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def remembered(self, index: int) -> object:
        if index not in self.memo:
            raise DamagedError(f"place {index} of its memory is empty")
        return self.memo[index]

    def take(self, n: int) -> bytes:
        data = self.file.read(n)
        if len(data) < n:
            raise DamagedError("the file ends here")
        return data

    def number(self, form: str) -> int | float:
        number: int | float = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return number

    def line(self) -> str:
        line = self.file.readline(MAX_WORD)
        if not line.endswith(b"\n"):
            raise DamagedError("a line without an end")
        return line[:-1].decode("utf-8", errors="replace")

    def span(self, size: int | float) -> Span:
        offset = self.file.tell()
        if not 0 <= size <= self.size - offset:
            raise DamagedError(f"it claims {size} bytes where {self.size - offset} are left")
        self.file.seek(int(size), 1)
        return Span(self.path, offset, int(size))


_STEPS: Mapping[str, Callable[[_Scanner], None]] = {
    "PROTO": _Scanner.proto,
    "FRAME": _Scanner.frame,
    "MARK": _Scanner.mark,
    "LONG1": _Scanner.long1,
    "INT": _Scanner.text_int,
    "EMPTY_DICT": _Scanner.empty_dict,
    "SETITEM": _Scanner.set_item,
    "SETITEMS": _Scanner.set_items,
    "TUPLE": _Scanner.marked_tuple,
    "MEMOIZE": _Scanner.memoize,
    "GLOBAL": _Scanner.text_global,
    "STACK_GLOBAL": _Scanner.stack_global,
    "REDUCE": _Scanner.reduce,
    "BUILD": _Scanner.build,
}
