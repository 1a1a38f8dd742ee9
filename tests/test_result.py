"""The result: the schema's order, the way back, and what cannot be constructed."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from voxaffect.audio import Notice, Source
from voxaffect.errors import AudioError, UsageError, VoxaffectError
from voxaffect.result import SCHEMA, ChannelSummary, Failure, ModelInfo, Result, Segment, Settings

PROBS = {"angry": 0.2, "happy": 0.05, "neutral": 0.61, "sad": 0.14}


def make_result() -> Result:
    """The example of the schema."""
    segment = Segment(
        channel=0,
        start=0.42,
        end=3.42,
        label="angry",
        score=0.71,
        probs={"angry": 0.71, "happy": 0.05, "neutral": 0.1, "sad": 0.14},
        votes={"angry": 6, "sad": 1},
        agreement=6 / 7,
        flags=("narrowband",),
        role="customer",
    )
    return Result(
        id="call.wav",
        path="call.wav",
        source=Source("call.wav", "wav", "pcm_mulaw", 8000, 2, 183.42),
        model=ModelInfo("level", "1.0", "0" * 64, ("angry", "happy", "neutral", "sad"), 7, "majority", "CC0"),
        settings=Settings(3.0, 1.0, True, "split"),
        label="neutral",
        score=0.61,
        probs=PROBS,
        votes={"neutral": 5, "angry": 2},
        agreement=5 / 7,
        summary=(ChannelSummary(0, "neutral", 0.61, 71.2, PROBS, "customer"),),
        segments=(segment,),
        warnings=(Notice("narrowband", "8 kHz audio; the model was trained on 16 kHz"),),
    )


def test_the_json_has_the_fields_of_the_schema_in_its_order() -> None:
    data = make_result().to_dict()
    assert data["schema"] == SCHEMA == "voxaffect.result/1"
    assert list(data) == [
        "schema",
        "id",
        "source",
        "model",
        "settings",
        "label",
        "score",
        "probs",
        "votes",
        "agreement",
        "uncertain",
        "summary",
        "segments",
        "warnings",
        "error",
    ]
    assert list(data["source"]) == ["path", "container", "codec", "sample_rate", "channels", "duration"]
    assert list(data["model"]) == ["name", "version", "sha256", "labels", "members", "vote", "licence"]
    assert list(data["settings"]) == ["window", "hop", "vad", "channels"]
    assert list(data["summary"][0]) == ["channel", "role", "label", "score", "speech_seconds", "share"]
    assert " ".join(data["segments"][0]) == (
        "channel role start end label score probs votes agreement uncertain flags"
    )
    assert data["warnings"] == [
        {"code": "narrowband", "message": "8 kHz audio; the model was trained on 16 kHz"}
    ]


def test_a_result_survives_json_and_ignores_fields_of_later_editions() -> None:
    result = make_result()
    data = json.loads(json.dumps(result.to_dict()))
    data["segments"][0]["embedding"] = [1.0]
    data["later"] = True
    assert Result.from_dict(data) == result


def test_an_abstention_survives_json_and_says_its_reason_after_the_label() -> None:
    result = replace(
        make_result(),
        label=None,
        reason="no_speech",
        score=None,
        agreement=None,
        segments=(),
        probs={},
        votes={},
    )
    data = result.to_dict()
    assert list(data)[5:8] == ["label", "reason", "score"]
    assert (data["label"], data["reason"], data["score"]) == (None, "no_speech", None)
    assert Result.from_dict(data) == result


def test_a_failure_survives_json_with_its_error_object() -> None:
    error = AudioError(
        "empty_file", "x.wav holds no audio (0 bytes)", hint="was the recording stopped early?"
    )
    result = Result(id="x.wav", path="x.wav", error=Failure.of(error, "x.wav"))
    data = result.to_dict()
    assert data["segments"] == []
    assert data["source"]["path"] == "x.wav"
    assert data["error"] == {
        "code": "empty_file",
        "message": "x.wav holds no audio (0 bytes)",
        "hint": "was the recording stopped early?",
        "where": "x.wav",
    }
    assert Result.from_dict(data) == result
    with pytest.raises(VoxaffectError, match=r"empty_file: x\.wav holds no audio"):
        result.raise_for_error()
    assert make_result().raise_for_error() == make_result()


@pytest.mark.parametrize("fields", [{}, {"label": "sad", "reason": "no_speech"}])
def test_a_result_has_exactly_one_of_label_reason_and_error(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="exactly one of label, reason and error; 'x' has"):
        Result(id="x", **fields)


def test_an_unknown_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown reason 'tired'; expected one of"):
        Result(id="x", reason="tired")


def test_probabilities_are_finite() -> None:
    with pytest.raises(ValueError, match="a probability of 'x' is not finite"):
        Result(id="x", label="sad", probs={"sad": math.nan})
    with pytest.raises(ValueError, match=r"a probability of segment at 0\.42 s is not finite"):
        replace(make_result().segments[0], probs={"sad": math.inf})


def test_another_schema_and_missing_fields_are_named() -> None:
    with pytest.raises(VoxaffectError, match="bad_result: not a result: its schema is None"):
        Result.from_dict({})
    data = make_result().to_dict()
    del data["score"]
    with pytest.raises(VoxaffectError, match="bad_result: a damaged result: KeyError: 'score'"):
        Result.from_dict(data)


def test_saving_takes_the_format_of_the_extension(tmp_path: Path) -> None:
    make_result().save(tmp_path / "call.json")
    assert Result.from_dict(json.loads((tmp_path / "call.json").read_text())).label == "neutral"
    make_result().save(tmp_path / "call.csv")
    assert (tmp_path / "call.csv").read_text().startswith("file,start,end,row,")
    with pytest.raises(
        UsageError, match=r"unknown_format: no format has files that end in '\.pdf'; expected one of"
    ):
        make_result().save(tmp_path / "call.pdf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["call.csv", "call.json"]
