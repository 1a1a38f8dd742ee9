"""docs/corpora.md says what the data sheets say, and leaves out no code and no limit of fetching."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from voxaffect import corpora
from voxaffect.corpora.archive import Limits

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "corpora.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("corpora_table", ROOT / "benchmarks" / "corpora.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_what_the_data_sheets_say(generator: ModuleType) -> None:
    assert generator.main(["--check"]) == 0


def test_every_corpus_has_a_row_with_its_figures_and_terms() -> None:
    rows = {row.split("|")[1].strip(" `"): row for row in TEXT.splitlines() if row.startswith("| `")}
    assert set(corpora.names()) <= set(rows)
    for name in corpora.names():
        info = corpora.get(name).INFO
        for part in (info.title, info.licence, info.how_to_get, str(info.n_utterances or "-")):
            assert part in rows[name], name
        assert (f"`corpus fetch {name}`" in rows[name]) == bool(info.downloads)


def test_a_document_that_differs_is_found_and_mended(generator: ModuleType, tmp_path: Path) -> None:
    document = tmp_path / "corpora.md"
    document.write_text(TEXT.replace("1440", "1441"), encoding="utf-8")
    assert generator.main(["--check"], document) == 1
    assert generator.main([], document) == 0
    assert document.read_text(encoding="utf-8") == TEXT


def test_a_document_without_markers_is_not_touched(
    generator: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "corpora.md"
    document.write_text("nothing", encoding="utf-8")
    assert generator.main([], document) == 1
    assert "has no <!-- corpora:begin -->" in capsys.readouterr().err
    assert document.read_text(encoding="utf-8") == "nothing"


def test_every_code_of_fetching_is_explained() -> None:
    source = "".join(
        (ROOT / "src" / "voxaffect" / "corpora" / f"{name}.py").read_text(encoding="utf-8")
        for name in ("fetch", "archive")
    )
    codes = set(re.findall(r'(?:Error|refused)\(\s*"([a-z]+(?:_[a-z]+)*)"\s*,', source))
    codes |= set(re.findall(r'_unsafe\(|"(archive_\w+)"', source)) - {""}
    assert {"licence_not_accepted", "wrong_checksum", "archive_unsafe", "disk"} <= codes
    assert sorted(code for code in codes if f"`{code}`" not in TEXT) == []


def test_the_limits_are_the_ones_in_force() -> None:
    limits = Limits()
    assert f"{limits.max_files:,}".replace(",", " ") + " entries" in TEXT
    assert f"{limits.max_bytes >> 30} GiB, or {limits.max_ratio} times" in TEXT.replace("\n  ", " ")
    assert f"(past {limits.free_bytes >> 20} MiB)" in TEXT
