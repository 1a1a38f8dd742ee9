"""What a user can put right: every such failure is a `VoxaffectError` with a code, a message and a hint."""

from __future__ import annotations

from enum import IntEnum
from importlib.util import find_spec


class ExitCode(IntEnum):
    """Exit codes of every `voxaffect` command."""

    OK = 0
    BUG = 1
    USAGE = 2
    PARTIAL = 3
    """Some inputs failed; the rest is written."""
    NOTHING_USABLE = 4
    ARTEFACT = 5
    """A model, cache or checkpoint was refused."""
    RESOURCE = 6
    """Disk, memory or time ran out."""
    INTERRUPTED = 130
    TERMINATED = 143


class VoxaffectError(Exception):
    """A failure that the user can put right; shown as one line, without a traceback.

    `code` is a stable word for programs, `message` says what was wrong and what was given, `hint` what to do,
    `where` the input that it is about. `exit_code` is what a command exits with if this ends it.
    """

    exit_code: ExitCode = ExitCode.NOTHING_USABLE

    def __init__(self, code: str, message: str, *, hint: str | None = None, where: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        text = f"{self.code}: {self.message}"
        return f"{text}; {self.hint}" if self.hint else text

    def to_dict(self) -> dict[str, str | None]:
        """The error object of results, HTTP answers and bulk rows: `code`, `message`, `hint`, `where`."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "where": self.where}


class AudioError(VoxaffectError):
    """An input that cannot be read as audio."""


class CorpusError(VoxaffectError):
    """A corpus, table or split that cannot be used as it is."""


class UsageError(VoxaffectError):
    """A wrong option, recipe key or combination of options."""

    exit_code = ExitCode.USAGE


class ArtefactError(VoxaffectError):
    """A model, cache entry or checkpoint that is missing, damaged or of another version."""

    exit_code = ExitCode.ARTEFACT


class ResourceError(VoxaffectError):
    """Disk, memory or time ran out."""

    exit_code = ExitCode.RESOURCE


def missing_extra(package: str, extra: str) -> UsageError:
    """The error for work that needs an optional dependency, e.g. training without torch."""
    return UsageError(
        "missing_dependency",
        f"this needs {package}, which is not installed",
        hint=f'install it with: pip install "voxaffect[{extra}]"',
    )


def require(package: str, extra: str) -> None:
    """Raise UsageError `missing_dependency` unless `package`, which the `extra` brings, is installed."""
    if find_spec(package) is None:
        raise missing_extra(package, extra)
