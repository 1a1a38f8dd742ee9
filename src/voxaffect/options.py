"""Frozen dataclasses of options from TOML or JSON tables: unknown keys and wrong types are errors that say so."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from voxaffect.errors import UsageError

T = TypeVar("T")


def from_table(cls: type[T], table: Mapping[str, Any], where: str) -> T:
    """An instance of the dataclass `cls` with the values of `table`; absent keys keep their defaults.

    Lists become tuples, whole numbers become floats where a float is wanted, nested dataclasses are read from
    nested tables. `where` names the table in messages.

    Raises:
        UsageError: `unknown_key`, `missing_key` or `bad_value`, naming the key and what is allowed.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    for key in table:
        if key not in fields:
            raise UsageError(
                "unknown_key", f"unknown key {key!r} in [{where}]; expected some of {sorted(fields)}"
            )
    values = {key: _convert(value, hints[key], f"{where}.{key}") for key, value in table.items()}
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise UsageError("missing_key", f"[{where}] needs the key {name!r}")
    try:
        return cls(**values)
    except ValueError as error:
        raise UsageError("bad_value", f"[{where}]: {error}") from error


def to_table(options: Any) -> dict[str, Any]:
    """The dataclass `options` as nested dicts and lists, ready for JSON; `from_table` reads it back."""
    return {field.name: _plain(getattr(options, field.name)) for field in dataclasses.fields(options)}


def set_key(table: dict[str, Any], assignment: str) -> None:
    """Apply one `table.key=value` of the command line to nested tables; the value is read as TOML, else as text."""
    import tomllib

    path, equals, text = assignment.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise UsageError("bad_assignment", f"--set {assignment!r} is not of the form table.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise UsageError("bad_assignment", f"--set {assignment!r}: {key!r} is a value, not a table")
    table[keys[-1]] = value


def overlaid(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`table` with `changes` laid over it: tables are joined key by key, anything else is replaced.

    A table whose `kind` is another than the one beneath replaces it: the keys of one kind mean nothing to another.

    >>> overlaid({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 5}, "b": False})
    {'a': {'x': 1, 'y': 5}, 'b': False}
    """
    result = dict(table)
    for key, value in changes.items():
        below = table.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping) and not _other_kind(below, value):
            result[key] = overlaid(below, value)
        else:
            result[key] = value
    return result


def _other_kind(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return "kind" in first and "kind" in second and first["kind"] != second["kind"]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_table(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _convert(value: Any, hint: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return _convert(value, next(a for a in arguments if a is not type(None)), where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _wrong(where, "a list", value)
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_convert(item, arguments[0], where) for item in value)
        if len(value) != len(arguments):
            raise _wrong(where, f"a list of {len(arguments)} values", value)
        return tuple(_convert(item, kind, where) for item, kind in zip(value, arguments, strict=True))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise _wrong(where, "a table", value)
        return from_table(hint, value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (int, float, str, bool):
        if type(value) is not hint:
            raise _wrong(
                where,
                {int: "a whole number", float: "a number", str: "text", bool: "true or false"}[hint],
                value,
            )
        return value
    if origin in (Mapping, dict) or hint is dict:
        if not isinstance(value, Mapping):
            raise _wrong(where, "a table", value)
        kind = arguments[1] if len(arguments) == 2 else Any
        return {key: _convert(item, kind, f"{where}.{key}") for key, item in value.items()}
    return value


def _wrong(where: str, wanted: str, value: Any) -> UsageError:
    return UsageError("bad_value", f"{where} must be {wanted}, got {value!r}")
