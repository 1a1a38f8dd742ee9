"""Just enough of ONNX's wire format to read a file's metadata and distrust it, before a runtime sees it.

Source: Protocol Buffers encoding (protobuf.dev/programming-guides/encoding) and the field numbers of
onnx.proto.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

_MAX_DEPTH = 100

# Which fields of a message hold which message, on every way that leads to a tensor.
_CHILDREN: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_METADATA_PROPS = 14  # of the model
_GRAPH, _INITIALIZER, _OUTPUT = 7, 5, 12  # of the model, of the graph
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA = 1, 2, 8, 9  # of a tensor
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_FLOAT = 1


def metadata(data: bytes) -> dict[str, str]:
    """The `metadata_props` of an ONNX file; raises ValueError where the file is cut short or no ONNX."""
    found: dict[str, str] = {}
    for number, start, end in _fields(data, 0, len(data)):
        if number == _METADATA_PROPS:
            pair = {n: data[a:b].decode("utf-8") for n, a, b in _fields(data, start, end) if n in (1, 2)}
            found[pair.get(1, "")] = pair.get(2, "")
    return found


def has_external_data(data: bytes) -> bool:
    """Whether a tensor of an ONNX file takes its values from another file; raises ValueError if broken.

    A runtime that is given such a model would open whatever path the model names.
    """
    return _external(data, 0, len(data), "model", 0)


def float_tensors(data: bytes) -> dict[str, tuple[tuple[int, ...], bytes]]:
    """Shape and raw little-endian values of each float32 weight of an ONNX file; raises ValueError if broken."""
    found = {}
    for number, start, end in _fields(data, 0, len(data)):
        if number != _GRAPH:
            continue
        for field, a, b in _fields(data, start, end):
            if field == _INITIALIZER:
                tensor = [(n, data[x:y]) for n, x, y in _fields(data, a, b)]
                of = dict(tensor)
                if _RAW_DATA in of and next(_varints(of.get(_DATA_TYPE, b"\0"))) == _FLOAT:
                    shape = tuple(d for n, value in tensor if n == _DIMS for d in _varints(value))
                    found[of.get(_NAME, b"").decode("utf-8")] = shape, of[_RAW_DATA]
    return found


def outputs(data: bytes) -> list[str]:
    """The names of what an ONNX file's graph gives; raises ValueError if broken."""
    return [
        _output_name(data, a, b)
        for number, start, end in _fields(data, 0, len(data))
        if number == _GRAPH
        for field, a, b in _fields(data, start, end)
        if field == _OUTPUT
    ]


def with_outputs(data: bytes, names: Collection[str]) -> bytes:
    """The ONNX file with none but these outputs: a runtime leaves out what only the others need.

    Raises ValueError if broken.
    """
    parts, before = [], 0
    for number, start, end in _fields(data, 0, len(data)):
        if number == _GRAPH:
            graph = b"".join(_with_outputs(data, start, end, names))
            parts.append(_as_field(_GRAPH, graph))
        else:
            parts.append(data[before:end])
        before = end
    return b"".join(parts)


def with_metadata(data: bytes, properties: Mapping[str, str]) -> bytes:
    """The ONNX file with these `metadata_props` in place of its own; raises ValueError if broken."""
    parts, before = [], 0
    for number, _, end in _fields(data, 0, len(data)):
        if number != _METADATA_PROPS:
            parts.append(data[before:end])
        before = end
    for name, text in properties.items():
        pair = _as_field(1, name.encode()) + _as_field(2, text.encode())
        parts.append(_as_field(_METADATA_PROPS, pair))
    return b"".join(parts)


def _as_field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _as_varint(len(value)) + value


def _with_outputs(data: bytes, start: int, end: int, names: Collection[str]) -> Iterator[bytes]:
    before = start
    for number, a, b in _fields(data, start, end):
        if number != _OUTPUT or _output_name(data, a, b) in names:
            yield data[before:b]
        before = b


def _output_name(data: bytes, start: int, end: int) -> str:
    return next((data[a:b].decode("utf-8") for n, a, b in _fields(data, start, end) if n == 1), "")


def _as_varint(value: int) -> bytes:
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def _varints(value: bytes) -> Iterator[int]:
    """One after the other, as repeated numbers may be packed."""
    at = 0
    while at < len(value):
        number, at = _varint(value, at, len(value))
        yield number


def _external(data: bytes, start: int, end: int, kind: str, depth: int) -> bool:
    if depth > _MAX_DEPTH:
        raise ValueError(f"nested more than {_MAX_DEPTH} deep")
    children = _CHILDREN[kind]
    for number, a, b in _fields(data, start, end):
        if kind == "tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and any(data[a:b]))):
            return True
        if number in children and _external(data, a, b, children[number], depth + 1):
            return True
    return False


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Field number and where its value lies, for each field of the message in data[start:end]."""
    at = start
    while at < end:
        key, at = _varint(data, at, end)
        number, wire = key >> 3, key & 7
        begin = at
        if wire == 0:
            _, at = _varint(data, at, end)
        elif wire == 1:
            at += 8
        elif wire == 2:
            length, begin = _varint(data, at, end)
            at = begin + length
        elif wire == 5:
            at += 4
        else:
            raise ValueError(f"no ONNX: wire type {wire} at byte {begin}")
        if at > end or number == 0:
            raise ValueError(f"broken or cut short at byte {begin} of {len(data)}")
        yield number, begin, at


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError(f"broken or cut short at byte {at} of {len(data)}")
