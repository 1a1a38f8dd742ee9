"""Faults of requests (faults B1, B3, B5 to B8, B10, B11, B17 to B21): the real server, the real answer."""

from __future__ import annotations

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from fake_models import square, write_model
from serving import LOUD, Server, form, quickly, read_all, running, start, until, wav
from voxaffect.cli import main
from voxaffect.errors import ExitCode

CLIP = wav(LOUD)
TOKEN = "a-token-of-27-characters-ok"
LIMIT = 2**20
"""Bytes of a body in these tests."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "level.onnx")


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    config = {"max_upload_mb": 1.0, "body_timeout": 1.0, "max_duration": 600.0, "compute_timeout": 20.0}
    with running(tmp_path_factory.mktemp("serve"), "-m", str(model), config=config) as started:
        yield started


def head(server: Server, *lines: str, path: str = "/v1/predict", method: str = "POST") -> bytes:
    """The head of a request."""
    rows = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", *lines, "", ""]
    return "\r\n".join(rows).encode("latin-1")


def status(response: bytes) -> int:
    """The one status in `response`."""
    found = re.findall(rb"HTTP/1\.1 (\d\d\d)", response)
    assert len(found) == 1, response[:300]
    return int(found[0])


# B1


def test_an_honest_length_over_the_limit_is_413_at_once(server: Server) -> None:
    response = quickly(0.5, lambda: server.raw(head(server, f"Content-Length: {LIMIT + 1}")))
    assert status(response) == 413
    assert b'"too_many_bytes"' in response


def test_who_sends_on_regardless_still_gets_the_answer(server: Server) -> None:
    """And not a reset connection, which would throw the answer away."""
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(head(server, f"Content-Length: {8 * LIMIT}"))
        for _ in range(128):
            connection.sendall(bytes(65_536))
            time.sleep(0.005)
        response = read_all(connection)
    assert status(response) == 413
    assert not response.endswith(b"<reset>")


def test_a_body_in_chunks_is_cut_off_at_the_limit(server: Server) -> None:
    before = server.resident_mb()
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    response = server.raw(head(server, "Transfer-Encoding: chunked") + 400 * chunk + b"0\r\n\r\n")
    assert status(response) == 413
    assert not response.endswith(b"<reset>")
    assert server.resident_mb() - before < 30


def test_a_lying_or_impossible_length_is_refused(server: Server) -> None:
    for length in ("-1", "0x10", "9" * 30, "1e3", ""):
        assert status(server.raw(head(server, f"Content-Length: {length}"))) in (400, 413), length
    response = server.raw(head(server, "Content-Length: 10", "Connection: close") + CLIP[:10] + b"x" * 50)
    assert status(response) == 415  # ten bytes of a header; what follows is no second request


# B3


def test_a_slow_head_and_a_slow_body_are_ended_and_others_go_on(server: Server) -> None:
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
    try:
        started = time.monotonic()
        for i, connection in enumerate(slow):
            connection.settimeout(5)
            if i % 2:
                connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHo")
            else:
                connection.sendall(head(server, "Content-Length: 1000") + b"RI")
        assert server.predict(CLIP).status == 200
        answers = [read_all(connection) for connection in slow]
        assert time.monotonic() - started < 5
    finally:
        for connection in slow:
            connection.close()
    assert {status(answer) for answer in answers} == {408}
    assert all(b'"body_timeout"' in answer for answer in answers)


def test_a_silent_connection_is_closed(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        assert read_all(connection) == b""


def test_one_byte_at_a_time_is_no_progress(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(head(server, "Content-Length: 100000"))
        answer: list[bytes] = []
        reader = threading.Thread(target=lambda: answer.append(read_all(connection)))
        reader.start()
        started = time.monotonic()
        while reader.is_alive() and time.monotonic() - started < 8:
            try:
                connection.sendall(b"x")
            except OSError:
                break
            time.sleep(0.1)
        reader.join(5)
        assert status(answer[0]) == 408
        assert time.monotonic() - started < 4


# B5


def test_a_client_that_leaves_frees_its_place(server: Server) -> None:
    body = wav(square(0.4, 60.0, 4000), rate=4000)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head(server, f"Content-Length: {len(body)}") + body)
        until(lambda: server.metric("voxaffect_requests_active") >= 1, 5)
    assert until(lambda: server.metric("voxaffect_requests_active") == 0, 5) < 1.0
    assert server.predict(CLIP).status == 200


# B6


def test_broken_forms_are_refused_quickly(server: Server) -> None:
    file = 'form-data; name="file"; filename="../../etc/cron.d/x"'
    many, headers = form([(f'form-data; name="f{i}"', b"x") for i in range(10_000)])
    broken = {
        "10,000 parts": (many, headers),
        "no boundary": (b"x", {"Content-Type": "multipart/form-data"}),
        "a boundary that is too long": (b"x", {"Content-Type": f"multipart/form-data; boundary={'b' * 71}"}),
        "a large header": form([(file + "; x=" + "y" * 900_000, CLIP)]),
        "a preamble": (b"z" * 500_000 + form([(file, CLIP)])[0], form([])[1]),
        "no file": form([('form-data; name="other"', CLIP)]),
        "two files": form([(file, CLIP), (file, CLIP)]),
        "no end": (form([(file, CLIP)])[0][:-10], form([])[1]),
        "not a form": (b"\r\n\r\n\0", form([])[1]),
    }
    for what, (body, header) in broken.items():
        answer = quickly(0.2, partial(server.ask, "POST", "/v1/predict", body, header))
        assert (answer.status, answer.problem["code"]) == (400, "bad_form"), what
    body, header = form([(file, bytes(LIMIT + 1))])
    assert server.ask("POST", "/v1/predict", body, header).status == 413


def test_the_name_of_a_file_is_not_looked_at(server: Server) -> None:
    body, header = form([('form-data; name="file"; filename="../../etc/cron.d/x"', CLIP)])
    answer = server.ask("POST", "/v1/predict?format=json", body, header)
    assert answer.status == 200
    assert b"cron" not in answer.body
    body, header = form([('form-data; name="file"; filename="\u202e\x1b[31m.wav"', b"text")])
    assert b"[31m" not in server.ask("POST", "/v1/predict", body, header).body


# B7


@pytest.mark.parametrize(
    "request_head",
    [
        "GET / HTTP/1.1\nHost: 127.0.0.1:{port}\n\n",
        "POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 4\r\n"
        "Transfer-Encoding: chunked\r\n\r\n",
        "POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        "GET /livez HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX: a\r\n b\r\n: c\r\n\r\n",
        "GET /%zz%00 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n",
        "GET //..%2f..%2fetc/passwd HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil.com\r\nConnection: close\r\n\r\n",
        "GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n",
        "BREW / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00",
    ],
)
def test_odd_requests_get_one_answer_of_4xx(server: Server, request_head: str) -> None:
    response = server.raw(request_head.replace("{port}", str(server.port)).encode("latin-1"), 8)
    assert 400 <= status(response) < 500, response[:200]


def test_a_long_url_and_large_headers_are_431(server: Server) -> None:
    for request in (
        head(server, path="/" + "a" * 65_536, method="GET"),
        head(server, "X: " + "a" * 100_000, path="/livez", method="GET"),
        head(server, *(f"X{i}: y" for i in range(10_000)), path="/livez", method="GET"),
    ):
        assert status(server.raw(request)) in (400, 431)


# B8


@pytest.mark.parametrize(
    "path", ["/", "/v1/predict", "/v1/models", "/livez", "/metrics", "/docs", "/nothing"]
)
@pytest.mark.parametrize(
    "host", ["evil.com", "evil.com:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:{port}.evil.com"]
)
def test_another_host_is_not_answered(server: Server, path: str, host: str) -> None:
    answer = server.ask("GET", path, headers={"Host": host.replace("{port}", str(server.port))})
    assert (answer.status, answer.problem["code"]) == (421, "host_refused")


@pytest.mark.parametrize("origin", ["http://evil.com", "null", "http://localhost:1", "https://127.0.0.1"])
def test_pages_of_another_origin_are_not_answered(server: Server, origin: str) -> None:
    answer = server.predict(CLIP, Origin=origin)
    assert (answer.status, answer.problem["code"]) == (403, "origin_refused")
    assert server.predict(CLIP, Origin=server.origin).status == 200
    assert server.predict(CLIP, Origin=f"http://localhost:{server.port}").status == 200


# B10, B11


def test_a_token_is_needed_where_there_is_one(model: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    with running(tmp_path, "-m", str(model), "--token-file", str(tmp_path / "token")) as server:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            answer = server.predict(CLIP, **headers)
            assert (answer.status, answer.problem["code"]) == (401, "unauthorised")
            assert answer.headers["www-authenticate"] == "Bearer"
        assert server.predict(CLIP, Authorization=f"Bearer {TOKEN}").status == 200
        assert server.ask("GET", "/metrics").status == 401
        assert server.ask("GET", "/livez").status == 200
        answer = server.predict(CLIP, f"?token={TOKEN}", Authorization=f"Bearer {TOKEN}")
        assert answer.status == 401  # even with the right header: it is in a URL now
        bearer = "voxaffect.bearer." + base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")
        with server.stream(origin=None, subprotocols=["voxaffect.v1", bearer]) as stream:
            assert stream.subprotocol == "voxaffect.v1"
        server.stop()
        assert TOKEN not in "\n".join(server.lines)


def test_tokens_are_compared_in_constant_time() -> None:
    import inspect

    from voxaffect.serve import security

    assert "hmac.compare_digest" in inspect.getsource(security.Guard._check_token)


def test_beyond_this_machine_a_token_is_needed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VOXAFFECT_TOKEN", raising=False)
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        assert main(["serve", "--host", host]) == ExitCode.USAGE
        assert "token_needed" in capsys.readouterr().err
    monkeypatch.setenv("VOXAFFECT_TOKEN", "short")
    assert main(["serve", "--host", "0.0.0.0"]) == ExitCode.USAGE
    assert "weak_token" in capsys.readouterr().err


# B17


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_decoder_that_breaks_down_costs_one_request(server: Server, number: int) -> None:
    long = wav(square(0.4, 50.0, 8000), rate=8000)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(20):  # until one is hit while it works
            work = pool.submit(server.predict, long)
            until(lambda: busy_workers(server), 5)
            for pid in busy_workers(server):
                os.kill(pid, number)
            answer = work.result()
            if answer.status != 200:
                break
    assert (answer.status, answer.problem["code"]) == (422, "decoder_crashed")
    started = time.monotonic()
    assert server.predict(CLIP).status == 200
    assert time.monotonic() - started < 1.0
    until(lambda: len(server.workers()) >= 3, 30)


def test_workers_that_end_while_idle_are_made_up_for_without_a_request(server: Server) -> None:
    before = set(server.workers())
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(set(server.workers()) - before) >= 3, 30)
    assert server.predict(CLIP).status == 200


def busy_workers(server: Server) -> list[int]:
    """The workers that use the processor just now."""

    def ticks() -> dict[int, int]:
        times = {}
        for pid in server.workers():
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            times[pid] = int(fields[11]) + int(fields[12])
        return times

    before = ticks()
    time.sleep(0.03)
    return [pid for pid, used in ticks().items() if used > before.get(pid, used)]


def test_a_decoder_that_hangs_is_ended(model: Path, tmp_path: Path) -> None:
    with running(tmp_path, "-m", str(model), config={"compute_timeout": 1.0}) as server:
        for pid in server.workers():
            os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        answer = server.predict(CLIP)
        assert (answer.status, answer.problem["code"]) == (422, "compute_timeout")
        assert time.monotonic() - started < 10
        until(lambda: server.predict(CLIP).status == 200, 30)


# B18


def test_a_model_that_fails_is_500_and_not_ready_after_three(tmp_path: Path) -> None:
    broken = write_model(tmp_path / "broken.onnx", divide_by_zero=True)
    with running(tmp_path, "-m", str(broken)) as server:
        for i in range(3):
            assert server.ask("GET", "/readyz").status == 200, i
            answer = server.predict(CLIP, "?vad=level")
            assert (answer.status, answer.problem["code"]) == (500, "inference_failed")
            assert re.fullmatch("[0-9a-f]{32}", answer.json["request"])
        answer = server.ask("GET", "/readyz")
        assert (answer.status, answer.problem["code"]) == (503, "not_ready")
        assert server.ask("GET", "/livez").status == 200


# B19


def test_what_prevents_a_start_is_said_in_one_line(model: Path, tmp_path: Path) -> None:
    """And meanwhile nothing answers that it is ready."""
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(model.read_bytes()[:-100])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        cases = [
            (["--port", port], None, 2, "port_taken"),
            ([], {"quue_seconds": 1.0}, 2, "unknown_key"),
            ([], {"streams": -1}, 2, "bad_value"),
            ([], {"token": TOKEN}, 2, "token_in_config"),
            (["-m", "nowhere.onnx"], None, 5, "model_missing"),
            (["-m", str(cut)], None, 5, "model_damaged"),
            (["--token-file", "nowhere"], None, 2, "unreadable"),
            (["--host", "no.such.host.invalid"], None, 2, "token_needed"),
        ]
        for arguments, config, code, word in cases:
            where = int(port) if "--port" in arguments else free_port()
            named = ["--port", str(where), *([] if "-m" in arguments else ["-m", str(model)])]
            started = time.monotonic()
            process = start(tmp_path, *named, *arguments, config=config)
            said = [] if "--port" in arguments else ready_answers(where, process)
            _, line = process.communicate(timeout=20)
            assert process.returncode == code, line
            assert word.encode() in line
            assert len(line.splitlines()) == 1
            assert said == []
            assert time.monotonic() - started < 10  # under 2 s on a machine that does nothing else


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


def ready_answers(port: int, process: subprocess.Popen[bytes]) -> list[bytes]:
    """What /readyz at `port` says until `process` ends, asked all the time."""
    said: list[bytes] = []
    while process.poll() is None:
        said += ready_answer(port)
        time.sleep(0.005)
    return said


def ready_answer(port: int) -> list[bytes]:
    """What /readyz at `port` says, if anything does."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.sendall(f"GET /readyz HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        return [read_all(connection)]
    return []


def test_a_server_that_starts_is_seen_to_be_ready(server: Server) -> None:
    """Or the test above could not fail."""
    (answer,) = ready_answer(server.port)
    assert status(answer) == 200


# B20


def test_a_full_temporary_folder_is_not_missed(model: Path, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    env = {"TMPDIR": missing, "TEMP": missing, "TMP": missing, "HOME": missing}
    with running(tmp_path, "-m", str(model), env=env) as server:
        body, headers = form([('form-data; name="file"; filename="a.wav"', wav(square(0.4, 60.0)))])
        assert len(body) > 2**20
        assert server.ask("POST", "/v1/predict", body, headers).status == 200


def test_few_open_files_are_managed(model: Path, tmp_path: Path) -> None:
    with running(tmp_path, "-m", str(model), env={"PYTHONWARNINGS": "ignore"}) as server:
        import resource

        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (64, 64))
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(80)]
        time.sleep(0.5)
        for connection in held:
            connection.close()
        until(lambda: answers(server), 10)


def answers(server: Server) -> bool:
    try:
        return server.predict(CLIP).status == 200
    except OSError:
        return False


# B21


def test_nothing_of_a_client_is_in_the_log_but_escaped(server: Server) -> None:
    server.ask("GET", "/%0a%1b[31m%e2%80%ae", headers={"User-Agent": "x\x1b[31m", "X": "y"})
    server.raw(b"\x00\x01\x02\r\n\r\n")
    server.predict(b"bad", "?window=%0aforged")
    for line in server.lines:
        assert line.isprintable()
        assert "forged" not in line


def test_without_the_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "uvicorn" else found(name, *rest)
    )
    assert main(["serve"]) == ExitCode.USAGE
    assert 'pip install "voxaffect[serve]"' in capsys.readouterr().err


def test_the_command_loads_nothing_heavy_to_explain_itself() -> None:
    code = (
        "import argparse, sys; from voxaffect.cli import serve; serve.add_arguments(argparse.ArgumentParser()); "
        "print(sorted({'numpy', 'starlette', 'uvicorn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
