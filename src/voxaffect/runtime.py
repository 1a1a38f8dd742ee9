"""ONNX Runtime, loaded so that it keeps to itself.

Since 1.32, the Linux wheels come with a telemetry client, on by default: importing the package writes an identifier of
the device and a queue of events under the user's cache folder, to be sent to mobile.events.data.microsoft.com.
`disable_telemetry_events()` comes after that; the environment variable is read in time.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from onnxruntime import SessionOptions

OFF = "ORT_DISABLE_TELEMETRY"


def onnxruntime() -> ModuleType:
    """The package `onnxruntime`, imported with its telemetry off. Import it nowhere else."""
    os.environ[OFF] = "1"
    import onnxruntime

    return cast("ModuleType", onnxruntime)


def session_options(threads: int = 1) -> SessionOptions:
    """Options of a session that says nothing and may use `threads` threads for one inference."""
    options = onnxruntime().SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # waiting threads leave the CPU alone
    return cast("SessionOptions", options)
