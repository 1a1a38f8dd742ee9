"""How many processors a process may use, on a machine and in a container."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voxaffect import cores as module
from voxaffect.cores import cores


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Control groups that limit nothing, on a machine of eight."""
    monkeypatch.setattr(module, "CGROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    (tmp_path / "cpu").mkdir()
    return tmp_path


def test_without_a_quota_there_are_those_of_the_affinity(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cores() == 8
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert cores() == 4
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("5000 100000\n", 1),
        ("1600000 100000\n", 8),
        ("nonsense\n", 8),
        ("1 0\n", 8),
    ],
)
def test_a_container_has_its_quota(groups: Path, text: str, n: int) -> None:
    (groups / "cpu.max").write_text(text)
    assert cores() == n


@pytest.mark.parametrize(("quota", "n"), [("-1\n", 8), ("250000\n", 3)])
def test_so_has_one_of_the_first_version(groups: Path, quota: str, n: int) -> None:
    (groups / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (groups / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cores() == n
