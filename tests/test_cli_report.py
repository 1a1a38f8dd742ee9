"""`voxaffect report` writes one page, says where, and exits as every other command does."""

from __future__ import annotations

from pathlib import Path

import pytest

import report_runs
from voxaffect.cli import main
from voxaffect.report import report


def test_the_page_s_place_is_all_that_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = report_runs.run(tmp_path / "run")
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr() == (f"{run / 'report.html'}\n", "")
    assert (run / "report.html").read_text(encoding="utf-8") == report(run)


def test_the_place_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = report_runs.run(tmp_path / "run")
    assert main(["report", str(run), "-o", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'page.html'}\n"
    assert not (run / "report.html").exists()


def test_what_is_no_run_is_one_line_and_exit_code_5(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path / "gone")]) == 5
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"voxaffect: error: {tmp_path / 'gone'}: no_predictions: no such file or folder; ")
    assert err.count("\n") == 1


def test_a_wrong_ending_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(report_runs.run(tmp_path / "run")), "-o", "page.pdf"]) == 2
    assert "report_format: cannot write a report as 'page.pdf'" in capsys.readouterr().err
