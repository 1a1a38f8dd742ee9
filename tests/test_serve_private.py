"""What is heard is kept nowhere and sent nowhere (faults B23, B24): folders, logs, core dumps and system calls."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from audio_files import with_ffmpeg
from fake_models import square, write_model
from serving import LOUD, Server, messages, pcm, running, until, wav

CANARY = b"CANARY-in-the-samples-0123456789"
AS_SAMPLES = np.frombuffer(CANARY, "<i2")
FORMS = (CANARY, (AS_SAMPLES / 32768).astype("<f4").tobytes(), (AS_SAMPLES / 32768).astype("<f8").tobytes())
"""As it is sent, and as decoders and features hold it."""
SONG = np.concatenate([np.tile(AS_SAMPLES / 32768, 500), square(0.4, 1.0)])
"""Half a second of the canary, then a second of what the fake model calls happy."""
N_REQUESTS, CRASH_EVERY = 300, 40


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "level.onnx")


def holding(folder: Path) -> list[Path]:
    """The files below `folder` that hold the canary in one of its forms."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if any(form in path.read_bytes() for form in FORMS)]


def test_audio_is_kept_nowhere(model: Path, tmp_path: Path) -> None:
    """Hundreds of requests and a stream, workers that crash in between, and the server itself at the end."""
    folder = tmp_path / "home"
    folder.mkdir()
    env = dict.fromkeys(("TMPDIR", "TEMP", "TMP", "HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"), str(folder))
    dumps = ["sh", "-c", 'ulimit -c unlimited 2>/dev/null; exec "$@"', "sh"]
    bodies = [wav(SONG), wav(np.tile(SONG, 20))[:-1001], wav(SONG)[:20_000], b"\0" + CANARY * 100]
    counts: Counter[str] = Counter()
    with running(tmp_path, "-m", str(model), env=env, cwd=folder, within=dumps) as server:
        before = set(tmp_path.rglob("*"))

        def ask(i: int) -> None:
            if i % CRASH_EVERY == 0:
                crash_one(server, signal.SIGSEGV if i % (2 * CRASH_EVERY) else signal.SIGABRT)
            answer = server.predict(bodies[0 if i % 4 else i // 4 % len(bodies)])
            counts[str(answer.status) if answer.status == 200 else answer.problem["code"]] += 1

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ask, range(N_REQUESTS)))
        assert counts["200"] > N_REQUESTS / 2
        assert counts["not_audio"]
        assert set(counts) <= {"200", "not_audio", "decoder_crashed", "queue_full"}, server.lines
        with server.stream() as stream:
            stream.send(pcm(SONG))
            messages(stream, "session.created")
            for pid in server.workers():
                os.kill(pid, signal.SIGSTOP)
            with ThreadPoolExecutor(1) as pool:
                last = pool.submit(server.ask, "POST", "/v1/predict", bodies[0])
                until(lambda: server.metric("voxaffect_requests_active") == 1)
                server.process.send_signal(signal.SIGSEGV)
                assert isinstance(last.exception(), OSError)
            with pytest.raises(ConnectionClosed):
                stream.recv(timeout=20)
        assert server.process.wait(20) == -signal.SIGSEGV
    assert set(tmp_path.rglob("*")) == before
    assert holding(tmp_path) == []
    assert CANARY.decode() not in "\n".join(server.lines)
    (folder / "core").write_bytes(bytes(100) + FORMS[1])
    assert holding(tmp_path) == [folder / "core"]  # it would have been found


def crash_one(server: Server, number: int) -> None:
    """Let the first worker that can be reached break down."""
    for pid in server.workers():
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        return


CALLS = "connect,sendto,sendmsg,sendmmsg,openat,creat,memfd_create"
OPENED = re.compile(r'openat\([^,]+, "([^"]+)", [^)\n]*(?:O_WRONLY|O_RDWR)')


def test_nothing_is_connected_to_or_written_from_start_to_end(model: Path, tmp_path: Path) -> None:
    """Every system call of the server and its workers that could take something away, by strace."""
    if not which("strace"):
        pytest.skip("needs strace")
    trace, probe = tmp_path / "trace", ["strace", "-o", os.devnull, "true"]
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("may not trace here")
    strace = ["strace", "-D", "-f", "-q", "-e", f"trace={CALLS}", "-o", str(trace)]
    quiet = {"PYTHONDONTWRITEBYTECODE": "1"}
    song = np.repeat(square(0.4, 1.0), 3).astype(np.float32)
    with running(tmp_path, "-m", str(model), env=quiet, within=strace) as server:
        assert server.predict(wav(LOUD)).status == 200
        assert server.predict(b"no audio").status == 415
        assert server.ask("GET", "/").status == 200
        with server.stream() as stream:
            stream.send(pcm(LOUD))
            stream.send('{"type": "session.close"}')
            assert messages(stream)[-1]["type"] == "session.closed"
        with server.stream() as stream:
            stream.send('{"type": "session.update", "encoding": "webm-opus"}')
            stream.send(with_ffmpeg("webm", "libopus", 48_000, samples=song))
            stream.send('{"type": "session.close"}')
            assert messages(stream)[-1]["type"] == "session.closed"
        assert server.stop() == 0
        ended = re.compile(rf"^{server.process.pid} +\+{{3}} exited with 0", re.M)
        until(lambda: ended.search(trace.read_text()), 30)
    calls = trace.read_text()
    assert calls.count("openat(") > 100  # it did look
    assert re.findall(r"sa_family=(?!AF_UNIX)\w+", calls) == []
    assert set(OPENED.findall(calls)) <= {os.devnull}
    assert not re.search(r"creat\(|memfd_create\(", calls)


ALONE = """
import fcntl, socket, struct, sys
from pathlib import Path
from serving import LOUD, messages, pcm, running, wav
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh22x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
with running(Path(sys.argv[1]), "-m", sys.argv[2]) as server:
    print(server.ask("GET", "/readyz").status, server.predict(wav(LOUD)).status)
    with server.stream() as stream:
        stream.send(pcm(LOUD))
        stream.send('{"type": "session.close"}')
        print(messages(stream)[-1]["reason"])
    print(server.stop())
"""


def test_a_machine_without_a_network_is_enough(model: Path, tmp_path: Path) -> None:
    """A name space with nothing but loopback: no route, no names."""
    alone = ["unshare", "--user", "--map-root-user", "--net"]
    if not which("unshare") or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("needs name spaces of networks")
    done = subprocess.run(
        [*alone, sys.executable, "-c", ALONE, str(tmp_path), str(model)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.split() == ["200", "200", "client", "0"], done.stderr
