"""Independent parts of one job side by side in forked processes that share what was prepared before.

Forking keeps one copy of the features of a whole corpus in memory. Whoever calls must not have started threads of
its own (torch with one thread starts none). Where processes cannot fork, the parts run one after the other.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from voxaffect.errors import VoxaffectError

P = TypeVar("P")
Progress = Callable[[int, str], None]
"""Takes how many steps were done and what is being done."""
POLL_SECONDS = 0.5


def can_fork() -> bool:
    """Whether this system offers processes that share the memory of the one that starts them."""
    return sys.platform != "win32" and "fork" in multiprocessing.get_all_start_methods()


def run_parts(parts: Sequence[P], work: Callable[[P, Progress], None], jobs: int, progress: Progress) -> None:
    """Do `work` on every part, `jobs` at a time; the first failure ends all and is raised.

    Raises:
        VoxaffectError: what a part raised.
        RuntimeError: a part failed otherwise, with its traceback, or its process died.
    """
    if jobs <= 1 or len(parts) <= 1 or not can_fork():
        for part in parts:
            work(part, progress)
        return
    context = multiprocessing.get_context("fork")
    todo: Any = context.Queue()
    said: Any = context.Queue()
    for position in range(len(parts)):
        todo.put(position)
    for _ in range(jobs):
        todo.put(None)
    workers: list[BaseProcess] = [
        context.Process(target=_worker, args=(parts, work, todo, said), daemon=True) for _ in range(jobs)
    ]
    for worker in workers:
        worker.start()
    try:
        _listen(workers, said, progress)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()


def _listen(workers: Sequence[BaseProcess], said: Any, progress: Progress) -> None:
    finished = 0
    while finished < len(workers):
        # Counted before listening: whoever is gone has said all that it ever will.
        gone = sum(worker.exitcode is not None for worker in workers)
        try:
            kind, *values = said.get(timeout=POLL_SECONDS)
        except queue.Empty:
            for worker in workers:
                if worker.exitcode not in (None, 0):
                    raise RuntimeError(f"a worker process died with exit code {worker.exitcode}") from None
            if gone > finished:
                raise RuntimeError("a worker process left before its work was done") from None
            continue
        if kind == "progress":
            progress(*values)
        elif kind == "finished":
            finished += 1
        elif kind == "refused":
            cls, code, message, hint, where = values
            raise cls(code, message, hint=hint, where=where)
        else:
            raise RuntimeError(f"a worker process failed:\n{values[0]}")


def _worker(parts: Sequence[P], work: Callable[[P, Progress], None], todo: Any, said: Any) -> None:
    def progress(steps: int, text: str) -> None:
        said.put(("progress", steps, text))

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not the command's, which would show a traceback
    try:
        while (position := todo.get()) is not None:
            work(parts[position], progress)
        said.put(("finished",))
    except VoxaffectError as error:
        said.put(("refused", type(error), error.code, error.message, error.hint, error.where))
    except KeyboardInterrupt:
        pass
    except Exception:
        said.put(("failed", traceback.format_exc()))
