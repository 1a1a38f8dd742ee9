"""A small web server on 127.0.0.1 that serves weights: as a plain file host, and as the Hugging Face hub does."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

REVISION = "a" * 40


@dataclass
class Served:
    """What the server holds under `root`, how it behaves, and what was asked of it."""

    root: Path
    address: str = ""
    ends: list[int] = field(default_factory=list)
    """At which byte of a file the first answers break off, one after the other; the later ones are whole."""
    resumes: bool = True
    """Whether the server knows Range."""
    says_length: bool = True
    """Whether it says how long a file is."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """(path, Range) of every GET."""
    wrong_digests: bool = False


@contextmanager
def serving(root: Path) -> Iterator[Served]:
    """Serve `root`: files by their path, and its folders ORG/NAME as repositories of a hub."""
    served = Served(root)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            served.asked.append((self.path, self.headers.get("Range")))
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            path = self.path.split("?")[0].strip("/")
            if path.startswith("api/models/"):
                self._repository("/".join(path.split("/")[2:4]))
            elif "/resolve/" in path:
                repository, rest = path.split("/resolve/")
                content = (root / repository / rest.split("/", 1)[1]).read_bytes()
                etag = hashlib.sha256(content).hexdigest()
                self._send(200, content, body, {"ETag": f'"{etag}"', "X-Repo-Commit": REVISION})
            elif (root / path).is_file():
                self._file((root / path).read_bytes())
            else:
                self._send(404, b"", body)

        def _repository(self, name: str) -> None:
            if not (root / name).is_dir():
                self._send(404, b"{}", True, {"X-Error-Code": "RepoNotFound"})
                return
            siblings = []
            for file in sorted((root / name).iterdir()):
                content = file.read_bytes() + (b"x" if served.wrong_digests else b"")
                sibling: dict[str, object] = {"rfilename": file.name, "size": len(content)}
                if file.suffix in (".safetensors", ".bin"):
                    digest = hashlib.sha256(content).hexdigest()
                    sibling["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
                siblings.append(sibling)
            facts = {
                "id": name,
                "modelId": name,
                "sha": REVISION,
                "siblings": siblings,
                "private": False,
                "tags": [],
            }
            self._send(200, json.dumps(facts).encode(), True, {"Content-Type": "application/json"})

        def _file(self, content: bytes) -> None:
            start = 0
            wanted = self.headers.get("Range")
            if wanted and served.resumes:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
            headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
            self._head(206 if start else 200, len(content) - start if served.says_length else None, headers)
            self.wfile.write(content[start : served.ends.pop(0) if served.ends else None])
            self.close_connection = True

        def _send(
            self, status: int, content: bytes, body: bool, headers: dict[str, str] | None = None
        ) -> None:
            self._head(status, len(content), headers or {})
            if body:
                self.wfile.write(content)

        def _head(self, status: int, length: int | None, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    served.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
