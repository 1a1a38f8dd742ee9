"""The server over HTTP: the command's answers, its formats, its errors as problem+json, its documents."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fake_models import silence, square, write_model
from serving import Server, form, running, wav
from voxaffect import formats
from voxaffect.predictor import load
from voxaffect.serve.problems import STATUS
from voxaffect.serve.query import OPTIONS

CALL = wav(square(0.6, 4.0), silence(1.0), square(0.05, 3.0))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "level.onnx", (0.0, 0.01))


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    config = {"max_duration": 120.0, "max_upload_mb": 4.0}
    with running(tmp_path_factory.mktemp("serve"), "-m", str(model), config=config) as started:
        yield started


def test_the_answer_is_that_of_the_command(server: Server, model: Path) -> None:
    answer = server.predict(CALL, "?vad=level")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    expected = formats.rounded(load(model).predict(CALL, vad="level").to_dict())
    assert len(expected["segments"]) > 3
    for key in expected.keys() - {"id", "source"}:
        assert answer.json[key] == expected[key], key
    assert answer.json["source"] | {"path": None} == expected["source"]
    assert re.fullmatch("[0-9a-f]{32}", answer.json["id"])


def test_a_form_is_answered_like_its_file(server: Server) -> None:
    body, headers = form(
        [('form-data; name="note"', b"x"), ('form-data; name="file"; filename="a.wav"', CALL)]
    )
    answer = server.ask("POST", "/v1/predict?vad=level", body, headers)
    assert answer.status == 200
    assert answer.json["segments"] == server.predict(CALL, "?vad=level").json["segments"]


def test_options_are_those_of_the_command(server: Server, model: Path) -> None:
    query = "?window=2&hop=1&vad=false&start=0:01&end=6&uncertain-below=0.9&channels=0&strict=true"
    answer = server.predict(CALL, query)
    expected = load(model).predict(
        CALL, window=2, hop=1, vad=False, start=1, end=6, uncertain_below=0.9, channels=0, strict=True
    )
    assert answer.json["segments"] == formats.rounded(expected.to_dict())["segments"]
    assert answer.json["settings"] == expected.to_dict()["settings"]


def test_roles_are_kept_apart_and_the_law_is_kept(server: Server) -> None:
    import soundfile

    buffer = io.BytesIO()
    stereo = np.stack([square(0.6, 2.0), square(0.05, 2.0)], axis=1)
    soundfile.write(buffer, stereo, 16_000, format="WAV")
    body = buffer.getvalue()
    answer = server.predict(body, "?vad=level&channels=split&roles=0%3Dcustomer,1%3Dagent&only=customer")
    assert [(s["channel"], s["role"], s["label"]) for s in answer.json["summary"]] == [
        (0, "customer", "angry")
    ]
    answer = server.predict(body, "?vad=level&channels=split&roles=0%3Dcustomer,1%3Dagent")
    assert (answer.status, answer.problem["code"]) == (403, "prohibited_role")
    answer = server.predict(body, "?vad=level&channels=split&roles=0%3Dcustomer,1%3Dagent&lawful_basis=true")
    assert [s["label"] for s in answer.json["summary"]] == ["angry", "sad"]


@pytest.mark.parametrize("name", ["csv", "jsonl", "table"])
def test_every_format_can_be_asked_for(server: Server, name: str) -> None:
    answer = server.predict(CALL, f"?vad=level&format={name}")
    assert answer.status == 200
    assert b"angry" in answer.body
    assert answer.headers["cache-control"] == "no-store"


def test_a_result_becomes_a_file_of_another_format(server: Server) -> None:
    result = server.predict(CALL, "?vad=level")
    answer = server.ask("POST", "/v1/format?format=csv", result.body)
    assert answer.status == 200
    assert answer.headers["content-disposition"] == 'attachment; filename="result.csv"'
    assert answer.body.startswith(b"row,id,channel")
    for body, code in ((b"[]", "bad_result"), (b"{}", "bad_result"), (b"{", "bad_result")):
        assert server.ask("POST", "/v1/format?format=csv", body).problem["code"] == code
    assert server.ask("POST", "/v1/format", result.body).problem["code"] == "bad_value"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?window=nan", "bad_value"),
        ("?window=1e9", "bad_value"),
        ("?vad=maybe", "bad_value"),
        ("?channels=left", "bad_value"),
        ("?roles=agent", "bad_value"),
        ("?start=1&start=2", "bad_value"),
        ("?enrol=/etc/passwd", "unknown_option"),
        ("?format=exe", "unknown_format"),
    ],
)
def test_a_wrong_option_is_400(server: Server, query: str, code: str) -> None:
    answer = server.predict(CALL, query)
    assert answer.status == 400
    assert answer.problem["code"] == code


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "empty_file"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 500, 415, "not_audio"),
        (b"<!doctype html><p>404", 415, "not_audio"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", 415, "not_audio"),
        (b"#EXTM3U\n/etc/passwd\n", 415, "not_audio"),
        (CALL[:44], 422, "no_audio"),
    ],
)
def test_what_is_not_audio_is_refused(server: Server, body: bytes, status: int, code: str) -> None:
    answer = server.predict(body)
    assert (answer.status, answer.problem["code"]) == (status, code)


def test_what_is_too_long_is_422(server: Server) -> None:
    answer = server.predict(wav(silence(121.0, 8000), rate=8000))
    assert (answer.status, answer.problem["code"]) == (422, "too_long")


def test_a_longer_recording_takes_the_way_of_long_ones(server: Server) -> None:
    """Over LONG_SECONDS, which a header cannot hide: the same answer comes."""
    answer = server.predict(wav(square(0.4, 100.0, 8000), rate=8000), "?vad=level")
    assert answer.status == 200
    assert answer.json["label"] == "happy"
    assert answer.json["source"]["duration"] == 100.0


def test_silence_is_no_error(server: Server) -> None:
    answer = server.predict(wav(silence(2.0)))
    assert answer.status == 200
    assert (answer.json["label"], answer.json["reason"]) == (None, "no_speech")


def test_the_model_and_the_limits_are_told(server: Server) -> None:
    data = server.ask("GET", "/v1/models").json
    (model,) = data["models"]
    assert model["name"] == "level"
    assert model["labels"] == ["angry", "happy", "neutral", "sad"]
    assert model["card"].startswith("# level")
    assert data["limits"]["seconds"] == 120.0
    assert sorted(data["formats"]) == formats.names()


def test_probes_and_metrics_answer(server: Server) -> None:
    assert server.ask("GET", "/livez").body == b"ok\n"
    assert server.ask("GET", "/readyz").body == b"ok\n"
    server.predict(CALL)
    answer = server.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    for line in answer.body.decode().splitlines():
        assert re.fullmatch(
            r'(# (HELP|TYPE) .+)|([a-z_]+(\{[a-z]+="[^"\\]*"(,[a-z]+="[^"\\]*")*\})? [0-9.e+-]+)', line
        )
    assert server.metric('voxaffect_requests_total{path="/v1/predict",status="200"}') >= 1
    assert server.metric("voxaffect_ready") == 1


def test_the_contract_is_complete_and_readable_offline(server: Server) -> None:
    document = server.ask("GET", "/openapi.json").json
    assert document["openapi"].startswith("3.1")
    for path, methods in document["paths"].items():
        for method in methods:
            if path != "/v1/stream":
                assert server.ask(method.upper(), path).status not in (404, 405), path
    asked = {p["name"] for p in document["paths"]["/v1/predict"]["post"]["parameters"]}
    assert asked == {"format", *OPTIONS}
    page = server.ask("GET", "/docs")
    assert page.headers["content-type"].startswith("text/html")
    for name in OPTIONS:
        assert name.encode() in page.body
    assert not re.search(rb"<script|<style|style=|src=|https?://|onclick", page.body)


def test_the_page_is_served_with_a_strict_policy(server: Server) -> None:
    answer = server.ask("GET", "/")
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; ")
    assert "unsafe" not in policy
    assert "*" not in policy
    assert f"ws://127.0.0.1:{server.port}" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    for link in re.findall(rb'(?:src|href)="/?([\w.-]+\.(?:js|css))"', answer.body):
        kind = "text/javascript" if link.endswith(b".js") else "text/css"
        assert server.ask("GET", f"/{link.decode()}").headers["content-type"].startswith(kind)


def test_errors_of_the_path_and_the_method_are_problems(server: Server) -> None:
    assert server.ask("GET", "/nothing").problem["code"] == "not_found"
    answer = server.ask("GET", "/v1/predict")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert answer.problem["code"] == "method_not_allowed"
    assert server.ask("GET", "/..%2f..%2fpyproject.toml").status == 404
    assert server.ask("GET", "//..%2f__init__.py").status == 404


def test_every_status_is_one_of_http() -> None:
    from http import HTTPStatus

    assert all(HTTPStatus(status) for status in STATUS.values())


def test_the_clips_are_answered_as_the_command_does(tmp_path: Path) -> None:
    """With the bundled model, whose windows are batched: the same labels, scores within rounding."""
    clips = Path(formats.__file__).parents[1] / "clips"
    bundled = load()
    with running(tmp_path) as started:
        for clip in sorted(clips.iterdir()):
            got = started.predict(clip.read_bytes()).json
            expected = json.loads(
                json.dumps(formats.rounded(bundled.predict(io.BytesIO(clip.read_bytes())).to_dict()))
            )
            assert got["label"] == expected["label"], clip.name
            assert len(got["segments"]) == len(expected["segments"])
            for one, other in zip(got["segments"], expected["segments"], strict=True):
                assert one["probs"] == pytest.approx(other["probs"], abs=2e-4)
