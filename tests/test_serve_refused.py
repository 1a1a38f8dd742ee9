"""A full queue: predictions are refused by their head alone, on connections that go on (faults B4, B7, B8, B10)."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fake_models import write_model
from serving import LOUD, Server, read_all, running, until, wav

FULL = {"queue_seconds": 20.0, "workers": 1, "compute_timeout": 300.0, "queue_timeout": 300.0}
"""Four clips fill it."""


@contextmanager
def full(tmp_path: Path, *, token: str = "") -> Iterator[Server]:
    """A server whose workers stand still and whose queue is full."""
    model = write_model(tmp_path / "level.onnx")
    with running(tmp_path, "-m", str(model), config=FULL, env={"VOXAFFECT_TOKEN": token}) as server:
        for pid in server.workers():
            os.kill(pid, signal.SIGSTOP)
        given = {"Authorization": f"Bearer {token}"} if token else {}

        def wait() -> None:
            with suppress(OSError, http.client.HTTPException):  # the server ends before it answers
                server.ask("POST", "/v1/predict", wav(LOUD), given)

        waiting = [threading.Thread(target=wait, daemon=True) for _ in range(4)]
        for each in waiting:
            each.start()
        gauge = "voxaffect_requests_active 4"
        until(lambda: gauge in server.ask("GET", "/metrics", headers=given).body.decode())
        yield server
        server.process.kill()
        for each in waiting:
            each.join(10)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with full(tmp_path_factory.mktemp("full")) as server:
        yield server


def head(server: Server, length: int, *lines: str, version: str = "1.1", path: str = "/v1/predict") -> bytes:
    """The head of a prediction's request."""
    own = [f"POST {path} HTTP/{version}", f"Host: 127.0.0.1:{server.port}", f"Content-Length: {length}"]
    return "\r\n".join([*own, *lines, "", ""]).encode()


def answer_of(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """The next answer: its status, headers and body."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    named = {name.lower(): value for name, value in response.getheaders()}
    return response.status, named, response.read()


def test_the_refusal_is_the_one_of_the_application(server: Server) -> None:
    before = server.metric('voxaffect_requests_total{path="/v1/predict",status="429"}')
    answer = server.predict(wav(LOUD))
    assert (answer.status, answer.problem["code"]) == (429, "queue_full")
    assert 1 <= int(answer.headers["retry-after"]) <= 120
    assert len(answer.json["request"]) == 32
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "date" in answer.headers
    assert "server" not in answer.headers
    assert server.metric('voxaffect_requests_total{path="/v1/predict",status="429"}') == before + 1


def test_it_comes_before_the_body_and_the_connection_goes_on(server: Server) -> None:
    body = wav(LOUD)
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        for _ in range(2):
            connection.sendall(head(server, len(body)))
            status, _, said = answer_of(connection)  # nothing of the body is sent yet
            assert (status, json.loads(said)["error"]["code"]) == (429, "queue_full")
            for at in range(0, len(body), 10_000):
                connection.sendall(body[at : at + 10_000])
        connection.sendall(head(server, 3) + b"abc" + head(server, 3) + b"abc")  # one behind the other
        said = b""
        while said.count(b'"queue_full"') < 2:
            said += connection.recv(65536)
        assert said.count(b"HTTP/1.1 429") == 2
        connection.sendall(f"GET /livez HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        assert answer_of(connection)[0] == 200


def test_who_says_nothing_more_is_let_go(server: Server) -> None:
    """uvicorn's clock of an idle connection (5 s) runs although the answer came before the body."""
    body = wav(LOUD)
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(head(server, len(body)))
        assert answer_of(connection)[0] == 429
        connection.sendall(body)
        assert read_all(connection) == b""


def test_others_are_told_what_is_wrong_with_them_first(server: Server) -> None:
    assert server.predict(wav(LOUD), Host="evil.com").problem["code"] == "host_refused"
    assert server.predict(wav(LOUD), Origin="http://evil.com").problem["code"] == "origin_refused"
    assert server.predict(wav(LOUD), "?token=x").problem["code"] == "unauthorised"
    assert server.ask("GET", "/v1/predict").status == 405
    assert server.ask("POST", "/v1/predict/", b"x").status != 429
    # Whether there is room is asked before the options are read, here as in the application.
    assert server.predict(wav(LOUD), "?hop=x").problem["code"] == "queue_full"


@pytest.mark.parametrize(
    ("version", "lines"), [("1.0", ()), ("1.1", ("Connection: close",)), ("1.1", ("Expect: 100-continue",))]
)
def test_connections_that_end_and_clients_that_ask_first_are_refused_too(
    server: Server, version: str, lines: tuple[str, ...]
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(head(server, 3, *lines, version=version) + b"abc")
        status, _, said = answer_of(connection)
        assert (status, json.loads(said)["error"]["code"]) == (429, "queue_full")


@pytest.mark.parametrize("path", ["/v1/predict\x80", "http://[/v1/predict"])
def test_a_target_that_is_none_is_not_taken_for_it(server: Server, path: str) -> None:
    data = head(server, 0, "Connection: close", path=path)
    assert not server.raw(data).startswith(b"HTTP/1.1 429")
    assert server.ask("GET", "/livez").status == 200


def test_without_the_token_nobody_learns_that_the_queue_is_full(tmp_path: Path) -> None:
    token = "a-token-of-the-tests"
    with full(tmp_path, token=token) as server:
        assert server.predict(wav(LOUD)).problem["code"] == "unauthorised"
        refused = server.predict(wav(LOUD), Authorization=f"Bearer {token}")
        assert refused.problem["code"] == "queue_full"
