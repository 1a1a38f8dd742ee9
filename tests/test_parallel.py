"""Parts in forked processes: each done once, the same results as one after the other, failures told."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from voxaffect import parallel
from voxaffect.errors import ArtefactError, ResourceError, VoxaffectError
from voxaffect.parallel import Progress, can_fork, run_parts

needs_fork = pytest.mark.skipif(not can_fork(), reason="this system cannot fork")


class Ended(BaseException):
    """What a command makes of SIGTERM; in a process of its own it would end as a traceback on stderr."""


def silent(steps: int, text: str) -> None:
    pass


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_every_part_is_done_once_with_the_same_result(tmp_path: Path, jobs: int) -> None:
    def work(part: int, progress: Progress) -> None:
        with (tmp_path / f"{part}.txt").open("a") as file:
            file.write(f"{part**2};")

    run_parts(range(7), work, jobs, silent)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {f"{i}.txt": f"{i * i};" for i in range(7)}


@pytest.mark.parametrize("jobs", [1, 2])
def test_all_progress_arrives(jobs: int) -> None:
    def work(part: str, progress: Progress) -> None:
        progress(1, part)
        progress(2, part)

    heard: Counter[str] = Counter()
    run_parts(["a", "b", "c"], work, jobs, lambda steps, text: heard.update({text: steps}))
    assert heard == {"a": 3, "b": 3, "c": 3}


@needs_fork
def test_several_jobs_work_in_other_processes_and_a_single_one_in_this(tmp_path: Path) -> None:
    def work(part: int, progress: Progress) -> None:
        (tmp_path / f"{part}.txt").write_text(str(os.getpid()))

    def processes() -> set[str]:
        return {path.read_text() for path in tmp_path.iterdir()}

    run_parts(range(2), work, 2, silent)
    assert str(os.getpid()) not in processes()
    run_parts(range(2), work, 1, silent)
    assert processes() == {str(os.getpid())}
    run_parts(range(1), work, 4, silent)  # a single part needs no process
    assert processes() == {str(os.getpid())}


def test_where_processes_cannot_fork_the_parts_run_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel.sys, "platform", "win32")
    done: list[int] = []
    run_parts(range(3), lambda part, progress: done.append(part), 2, silent)
    assert done == [0, 1, 2]


def test_no_parts_are_no_work() -> None:
    run_parts([], lambda part, progress: pytest.fail("there is no part"), 2, silent)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("cls", [ResourceError, ArtefactError])
def test_what_a_user_can_put_right_comes_back_whole(jobs: int, cls: type[VoxaffectError]) -> None:
    def work(part: int, progress: Progress) -> None:
        raise cls("disk", "no room", hint="delete something", where="here")

    with pytest.raises(cls, match="disk: no room; delete something") as caught:
        run_parts(range(2), work, jobs, silent)
    error = caught.value
    assert type(error) is cls
    assert (error.code, error.message, error.hint, error.where) == (
        "disk",
        "no room",
        "delete something",
        "here",
    )


@needs_fork
def test_an_unexpected_failure_comes_back_with_its_traceback() -> None:
    def work(part: int, progress: Progress) -> None:
        raise KeyError("what nobody expected")

    with pytest.raises(RuntimeError, match="a worker process failed:\nTraceback") as caught:
        run_parts(range(2), work, 2, silent)
    assert "KeyError: 'what nobody expected'" in str(caught.value)
    assert "in work" in str(caught.value)


@needs_fork
@pytest.mark.parametrize(
    ("code", "death"), [(9, lambda: os._exit(9)), (-9, lambda: os.kill(os.getpid(), signal.SIGKILL))]
)
def test_a_worker_that_dies_is_noticed(monkeypatch: pytest.MonkeyPatch, code: int, death: object) -> None:
    monkeypatch.setattr(parallel, "POLL_SECONDS", 0.05)

    def work(part: int, progress: Progress) -> None:
        death()  # type: ignore[operator]

    with pytest.raises(RuntimeError, match=f"a worker process died with exit code {code}"):
        run_parts(range(2), work, 2, silent)


@needs_fork
def test_a_worker_that_leaves_without_a_word_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "POLL_SECONDS", 0.05)
    with pytest.raises(RuntimeError, match="a worker process left before its work was done"):
        run_parts(range(2), lambda part, progress: os._exit(0), 2, silent)


@needs_fork
def test_the_first_failure_ends_the_other_workers_without_a_word(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The second part would never end by itself; its process inherits a handler as `voxaffect.cli` sets one."""

    def terminated(*_: object) -> None:
        raise Ended

    before = signal.signal(signal.SIGTERM, terminated)

    def work(part: int, progress: Progress) -> None:
        (tmp_path / f"{part}.txt").write_text(str(os.getpid()))
        if part == 1:
            signal.pause()
        while not (tmp_path / "1.txt").exists():
            pass
        raise ResourceError("disk", "no room")

    try:
        with pytest.raises(ResourceError, match="no room"):
            run_parts(range(2), work, 2, silent)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capfd.readouterr().err == ""
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "1.txt").read_text()), 0)
