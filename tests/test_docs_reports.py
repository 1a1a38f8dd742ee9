"""docs/reports.md names every section, file and chart source, and its commands run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import report_runs
from html_tree import Tree
from voxaffect.cli import main
from voxaffect.report import report

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "reports.md").read_text(encoding="utf-8")


def test_every_section_of_the_page_is_described(tmp_path: Path) -> None:
    titles: set[str] = set()
    for made in (report_runs.run(tmp_path / "run"), report_runs.study(tmp_path / "study", n_members=2)):
        titles |= set(Tree(report(made, n_bootstrap=100)).texts["h2"])
    described = {
        word.strip() for line in re.findall(r"^\| ([^|]+) \|", TEXT, re.M) for word in line.split(",")
    }
    assert titles - {"How to read this page"} <= described
    assert len(titles) == 12


def test_the_commands_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").symlink_to(ROOT / "results")
    commands = [line for line in TEXT.splitlines() if line.startswith("voxaffect report")]
    assert len(commands) == 2
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0
        page = tmp_path / capsys.readouterr().out.strip()
        assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_python_example_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").symlink_to(ROOT / "results")
    example = re.search(r"```python\n(.*?)```", TEXT, re.S)
    assert example
    exec(example[1], {})
    assert "<h1>EmoDB, 4 classes" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_report_needs_neither_matplotlib_nor_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    for name in ("matplotlib", "torch", "sklearn", "scipy"):
        monkeypatch.setitem(sys.modules, name, None)
    assert report(report_runs.run(tmp_path / "run"), n_bootstrap=100)
