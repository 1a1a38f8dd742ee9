"""voxaffect recognises emotion in speech.

    import voxaffect
    result = voxaffect.load().predict("call.m4a")
    print(result.label, result.score)

Importing the package loads next to nothing; names are resolved when first used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what typing calls so, without the milliseconds that importing typing takes
if TYPE_CHECKING:
    from voxaffect.errors import VoxaffectError
    from voxaffect.predictor import Predictor, load
    from voxaffect.result import Result, Segment

__version__ = "0.1.0"
__all__ = ["Predictor", "Result", "Segment", "VoxaffectError", "__version__", "load"]

_LAZY = {
    "Predictor": "voxaffect.predictor",
    "load": "voxaffect.predictor",
    "Result": "voxaffect.result",
    "Segment": "voxaffect.result",
    "VoxaffectError": "voxaffect.errors",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'voxaffect' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
