"""Who goes first where the processor is full: the event loop, then what live streams wait for, then recordings.

It is niceness, which counts only beside what else wants the same core. A loop that has an answer, a refusal or
somebody's audio in its hands would else wait its turn behind the model, and the model, which ends what others began,
behind what begins more. A process steps back once it is ready: one that takes the place of another is wanted soon.
"""

from __future__ import annotations

import os
import sys
import threading

LIVE, RECORDINGS = 3, 6
"""How much nicer than the event loop: enough for their order; more would give way to other programs altogether."""


def process_steps_back(by: int) -> None:
    """Make this process nicer, as far as it goes; nothing where there is no niceness."""
    if hasattr(os, "nice"):
        os.nice(by)


def thread_steps_back(by: int) -> None:
    """Make this thread nicer, as far as it goes; nothing where threads have no niceness of their own."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + by)
