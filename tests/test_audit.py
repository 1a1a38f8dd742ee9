"""The auditor finds a planted leak of every kind, and nothing where there is none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

import corpus_trees
from voices import RATE, voice
from voxaffect.audit import KINDS, Audit, audit
from voxaffect.cli import main
from voxaffect.division import Clip, Division, FoldRows, from_csv, read_division
from voxaffect.errors import CorpusError, ExitCode, UsageError
from voxaffect.metadata import Metadata

COLUMNS = ("id", "fold", "split", "speaker", "session", "dialogue", "text", "take", "label", "path")


def clean() -> list[dict[str, str]]:
    """Two folds of six speakers, each in a session and dialogue of his own, each with two lines in two takes."""
    rows = []
    for fold, parts in (("a", "train train dev dev test test"), ("b", "test test train train dev dev")):
        for s, split in enumerate(parts.split()):
            for i in range(4):
                line, take = divmod(i, 2)
                rows.append(
                    {
                        "id": f"{s}-{i}",
                        "fold": fold,
                        "split": split,
                        "speaker": f"s{s}",
                        "session": f"session {s}",
                        "dialogue": f"dialogue {s}",
                        "text": f"What {s} says, {line}",
                        "take": str(take),
                        "label": ("sad", "angry")[line],
                        "path": f"{s}-{i}.wav",
                    }
                )
    return rows


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording for each utterance, and copies of the first."""
    folder = tmp_path_factory.mktemp("sounds")
    for i in range(24):
        soundfile.write(folder / f"{i // 4}-{i % 4}.wav", voice(i, 0.6), RATE)
    soundfile.write(folder / "copy.flac", soundfile.read(folder / "0-0.wav", dtype="int16")[0], RATE)
    soundfile.write(folder / "quiet.ogg", 0.1 * voice(0, 0.6), RATE, format="OGG", subtype="VORBIS")
    return folder


def write(folder: Path, rows: Iterable[Mapping[str, str]], columns: Sequence[str] = COLUMNS) -> Path:
    file = folder / "folds.csv"
    lines = [",".join(f'"{row[c]}"' for c in columns) for row in rows]
    file.write_text("\n".join([",".join(columns), *lines]) + "\n")
    return file


def changed(rows: list[dict[str, str]], utterance: str, **cells: str) -> list[dict[str, str]]:
    return [{**row, **cells} if row["id"] == utterance else row for row in rows]


def found(a: Audit) -> set[str]:
    return {k.kind for k in a.kinds if k.findings} | ({"label"} if a.contradictions else set())


def test_a_clean_split_passes(sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(sounds, clean())
    a = audit(from_csv(file))
    assert found(a) == set()
    assert (a.failed, a.twins) == ((), ())
    assert [k.kind for k in a.kinds if k.checked] == list(KINDS)
    assert main(["audit", str(file)]) == ExitCode.OK
    out = capsys.readouterr().out
    assert out.startswith(f"{file}\n  24 utterances of 6 speakers in 2 splits: train 8, dev 8, test 8\n")
    assert out.endswith("  clean: nothing found of utterance, speaker, dialogue, take, audio, label\n")


PLANTED: dict[str, tuple[str, dict[str, str]]] = {  # one cell of a test speaker's utterance is changed
    "speaker": ("4-0", {"speaker": "s0"}),
    "dialogue": ("4-0", {"dialogue": "dialogue 0"}),
    "session": ("4-0", {"session": "session 0"}),
    "text": ("4-0", {"text": "what 0 says 0"}),
    "take": ("4-0", {"speaker": "s0", "text": "What 0 says, 0", "take": "7"}),
    "audio": ("4-0", {"path": "copy.flac"}),
    "label": ("4-0", {"path": "copy.flac", "label": "angry"}),
}
BESIDES = {"take": {"speaker", "text"}, "label": {"audio"}}
"""What else such a leak is."""


@pytest.mark.parametrize("kind", list(PLANTED))
def test_a_planted_leak_is_found_and_nothing_else(
    kind: str, sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    utterance, cells = PLANTED[kind]
    heard = kind in ("audio", "label")
    a = audit(from_csv(write(sounds, changed(clean(), utterance, **cells))), audio=heard)
    assert found(a) == {kind} | BESIDES.get(kind, set())
    if kind != "label":
        leaks = next(k for k in a.kinds if k.kind == kind).leaks
        # in fold a, speaker 4 tests and 0 trains; in fold b, 0 tests and 4 selects
        between = {(f.fold, f.between, f.n, f.of) for f in leaks}
        assert ("a", ("train", "test"), 1, 8) in between
        learned = kind in ("dialogue", "session", "text")
        assert (("b", ("dev", "test")) in {b[:2] for b in between}) == (not learned)
    command = ["audit", str(sounds / "folds.csv"), *([] if heard else ["--no-audio"])]
    fails = kind not in ("session", "text")
    assert main(command) == (ExitCode.PARTIAL if fails else ExitCode.OK)
    assert ("LEAK" in capsys.readouterr().out) == fails
    assert main([*command, "--fail-on", kind]) == ExitCode.PARTIAL
    assert main([*command, "--fail-on", "none"]) == ExitCode.OK
    others = ",".join(k for k in KINDS if k != kind and k not in BESIDES.get(kind, set()))
    assert main([*command, "--fail-on", others]) == ExitCode.OK


def test_the_same_utterance_in_two_parts_is_found(sounds: Path) -> None:
    rows = [*clean(), {**clean()[0], "split": "test"}]
    a = audit(from_csv(write(sounds, rows)), audio=False)
    assert a.failed == ("utterance", "speaker", "take")
    finding = next(k for k in a.kinds if k.kind == "utterance").findings[0]
    assert (finding.fold, finding.between, finding.n, finding.examples) == (
        "a",
        ("train", "test"),
        1,
        ("0-0",),
    )


def test_another_copy_of_a_recording_is_found(sounds: Path) -> None:
    a = audit(from_csv(write(sounds, changed(clean(), "4-0", path="quiet.ogg"))))
    (twin,) = a.twins
    assert (twin.first, twin.second, twin.exact) == ("0-0", "4-0", False)
    assert twin.agreement > 0.9
    assert a.failed == ("audio",)


def test_a_recording_twice_within_a_part_is_said_and_fails_nothing(sounds: Path) -> None:
    a = audit(from_csv(write(sounds, changed(clean(), "0-1", path="copy.flac"))))
    assert [(t.first, t.second, t.exact) for t in a.twins] == [("0-0", "0-1", True)]
    assert (found(a), a.failed) == (set(), ())
    assert "1 pair of recordings that are the same:\n    0-0 = 0-1 (equal samples)" in a.render()


def test_what_only_training_and_dev_share_is_reported(sounds: Path) -> None:
    rows = [row for row in changed(clean(), "2-0", speaker="s0") if row["fold"] == "a"]
    a = audit(from_csv(write(sounds, rows)), audio=False)
    assert found(a) == {"speaker"}
    assert a.failed == ()
    row = next(line for line in a.render().split("\n") if line.startswith("  speaker"))
    assert row.split("  ")[-1].strip() == "reported only"


def test_a_partner_who_selects_is_reported_and_one_who_trains_fails(sounds: Path) -> None:
    rows = [row for row in clean() if row["fold"] == "a"]
    selects = audit(from_csv(write(sounds, changed(rows, "4-0", dialogue="dialogue 2"))), audio=False)
    assert (found(selects), selects.failed) == ({"dialogue"}, ())
    trains = audit(from_csv(write(sounds, changed(rows, "4-0", dialogue="dialogue 0"))), audio=False)
    assert trains.failed == ("dialogue",)


def test_where_no_dialogue_is_known_the_session_s_other_speaker_is_the_partner(sounds: Path) -> None:
    rows = [row for row in clean() if row["fold"] == "a"]
    columns = tuple(c for c in COLUMNS if c != "dialogue")
    together = changed(rows, "4-0", session="session 0")
    a = audit(from_csv(write(sounds, together, columns)), audio=False)
    assert found(a) == {"dialogue", "session"}
    assert a.failed == ("dialogue",)
    apart = audit(from_csv(write(sounds, rows, columns)), audio=False)
    assert next(k for k in apart.kinds if k.kind == "dialogue").note == (
        "neither dialogues nor sessions of several speakers are known"
    )


def test_speakers_and_sessions_of_two_corpora_are_not_confused(sounds: Path) -> None:
    rows = [{**row, "corpus": row["speaker"]} for row in clean()]
    same = [{**row, "speaker": "1", "session": "1", "dialogue": "1"} for row in rows]
    assert found(audit(from_csv(write(sounds, same, (*COLUMNS, "corpus"))), audio=False)) == set()
    assert {"speaker", "session"} <= found(audit(from_csv(write(sounds, same)), audio=False))


def test_what_is_not_known_is_not_checked_and_said(sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(sounds, clean(), ("id", "fold", "split"))
    assert main(["audit", str(file), "--json"]) == ExitCode.OK
    table = json.loads(capsys.readouterr().out)
    notes = {k["kind"]: k["note"] for k in table["kinds"] if not k["checked"]}
    assert notes == {
        "speaker": "no speaker is known",
        "dialogue": "neither dialogues nor sessions of several speakers are known",
        "session": "no session is known",
        "text": "no text is known",
        "take": "needs speaker, text and take",
        "audio": "no column 'path'",
        "label": "no column 'path'",
    }
    assert main(["audit", str(file)]) == ExitCode.OK
    assert "not checked: speaker, dialogue, take, audio, label" in capsys.readouterr().out
    blank = [{**row, "path": ""} for row in clean()]
    a = audit(from_csv(write(sounds, blank)))
    assert next(k for k in a.kinds if k.kind == "audio").note == "no recording is known"
    half = [{**row, "text": row["text"] if row["id"].endswith("0") else ""} for row in clean()]
    a = audit(from_csv(write(sounds, half)), audio=False)
    assert next(k for k in a.kinds if k.kind == "text").note == "known for 6 of 24 utterances"
    assert next(k for k in a.kinds if k.kind == "audio").note == "not asked for"


def test_recordings_that_are_not_there_are_an_error(sounds: Path) -> None:
    file = write(sounds, changed(clean(), "4-0", path="gone.wav"))
    with pytest.raises(CorpusError, match="1 of 24 recordings are not there, the first is ") as caught:
        audit(from_csv(file))
    assert caught.value.hint == "--no-audio compares everything else"
    assert audit(from_csv(file), audio=False).failed == ()


def test_the_json_keeps_its_schema(sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(sounds, changed(clean(), "4-0", path="quiet.ogg", label="angry"))
    assert main(["audit", str(file), "--json"]) == ExitCode.PARTIAL
    table = json.loads(capsys.readouterr().out)
    assert list(table) == [
        *("schema", "source", "n_utterances", "n_speakers", "folds", "kinds", "twins", "contradictions"),
        *("optimistic", "fail_on", "failed", "clean"),
    ]
    assert table["schema"] == "voxaffect.audit/1"
    assert table["folds"][0] == {"name": "a", "seed": None, "train": 8, "dev": 8, "test": 8}
    (audio,) = (k for k in table["kinds"] if k["kind"] == "audio")
    assert set(audio["findings"][0]) == {"fold", "seed", "between", "n", "of", "n_values", "examples"}
    assert table["contradictions"] == [["0-0", "4-0"]]
    assert table["twins"][0]["labels"] == ["sad", "angry"]
    assert (table["failed"], table["clean"]) == (["audio", "label"], False)


def test_several_sources_are_audited_in_turn(sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write(sounds, clean()).rename(sounds / "good.csv")
    bad = write(sounds, changed(clean(), "4-0", speaker="s0")).rename(sounds / "bad.csv")
    assert main(["audit", "--no-audio", str(bad), str(good)]) == ExitCode.PARTIAL
    out = capsys.readouterr().out
    assert out.index("LEAKS: speaker") < out.index("clean: ")
    assert main(["audit", "--no-audio", str(good), str(sounds / "gone.csv")]) == ExitCode.NOTHING_USABLE
    assert "gone.csv" in capsys.readouterr().err


def test_unknown_kinds_are_refused(sounds: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown kind of leak 'words'; expected some of \['utterance', "):
        audit(from_csv(write(sounds, clean())), audio=False, fail_on=("words",))


def test_folds_that_are_optimistic_say_so(sounds: Path) -> None:
    known = Metadata(("1", "2"), {"label": ("sad", "sad"), "speaker": ("x", "y")})
    fold = FoldRows("OPTIMISTIC validation-on-test: f1", 1, {"train": (0,), "dev": (1,), "test": (1,)})
    a = audit(Division("a run", known, (None, None), (fold,), "none"))
    assert a.failed == ("utterance", "speaker")
    assert a.optimistic == ("validation-on-test",)
    assert a.render().startswith("a run OPTIMISTIC (validation-on-test)\n")


def test_long_lists_are_cut(sounds: Path) -> None:
    known = Metadata(tuple(map(str, range(30))), {"label": ("sad",) * 30, "text": ("long word " * 9,) * 30})
    everything = tuple(range(15)), tuple(range(15, 30))
    fold = FoldRows("", None, {"train": everything[0], "dev": (), "test": everything[1]})
    clip = Clip(sounds / "0-0.wav")
    a = audit(Division("x", known, (clip,) * 30, (fold,)))
    assert len(a.twins) == 29
    text = a.render()
    assert "and 19 more, see --json" in text
    assert f"{('long word ' * 9)[:59]}…" in text
    assert replace(a, fail_on=()).failed == ()


def test_ravdess_byte_identical_pair_is_found(shared_corpora: Path, tmp_path: Path) -> None:
    actor = shared_corpora / "ravdess" / "Actor_07"
    files = sorted(actor.glob("03-01-03-*.flac"))  # the happy ones
    rows = [f"{f.stem},{'train' if f.stem.endswith('02-01-07') else 'test'},{f}" for f in files]
    (tmp_path / "folds.csv").write_text("\n".join(["id,split,path", *rows]))
    a = audit(read_division(tmp_path / "folds.csv"))
    pair = {"03-01-03-01-02-01-07", "03-01-03-01-02-02-07"}
    assert [{t.first, t.second} for t in a.twins] == [pair]
    assert a.twins[0].exact
    assert a.failed == ("audio",)


def test_a_fold_of_nobody_shares_nothing() -> None:
    known = Metadata(("1",), {"label": ("sad",)})
    fold = FoldRows("", None, {"train": (), "dev": (), "test": (0,)})
    a = audit(Division("x", known, (None,), (fold,), "none"))
    assert (found(a), a.failed) == (set(), ())


@pytest.mark.parametrize(
    ("folds", "failed"),
    [("leave-one-speaker-out", ("dialogue",)), ("leave-one-session-out", ())],
)
def test_on_iemocap_the_partner_is_heard_unless_whole_sessions_test(
    folds: str, failed: tuple[str, ...], tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="needs the extra `train`")
    corpus_trees.iemocap(tmp_path / "iemocap")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'name = "tiny"\n[data]\ncorpora = ["iemocap"]\nmapping = "excited-is-happy"\n'
        'labels = ["angry", "happy", "neutral", "sad"]\n'
        f'[protocol]\nfolds = "{folds}"\ndev_speakers = 1\nseeds = [1, 2, 3]\n'
    )
    a = audit(read_division(recipe), audio=False)
    assert a.failed == failed
    dialogue = next(k for k in a.kinds if k.kind == "dialogue")
    assert dialogue.checked
    if failed:
        assert "iemocap/Ses01F_impro01" in {e for f in dialogue.leaks for e in f.examples}
