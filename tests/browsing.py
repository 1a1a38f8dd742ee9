"""A headless browser with a microphone that hears a file, and pages that are watched for what they must not do."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import numpy as np
import pytest

import voxaffect
from fake_models import RATE, silence, write_model

BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
CLIP = Path(voxaffect.__file__).parent / "clips" / "forceful.mp3"
WATCH = """
window.violations = [];
window.microphones = [];
window.sockets = [];
window.sounds = [];
const PlainContext = AudioContext;
window.AudioContext = class extends PlainContext {
  constructor(...all) {
    super(...all);
    window.sounds.push(this);
  }
};
const Plain = WebSocket;
window.WebSocket = class extends Plain {
  constructor(...all) {
    super(...all);
    window.sockets.push(this);
  }
};
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
const media = navigator.mediaDevices;
if (media) {
  const open = media.getUserMedia.bind(media);
  media.getUserMedia = (wanted) => {
    const asked = open(wanted);
    window.microphones.push(null);
    const i = window.microphones.length - 1;
    return asked.then((stream) => { window.microphones[i] = stream; return stream; });
  };
}
"""
CARD = """# level

Hears the **level**, nothing else. <img src=x onerror="window.harmed = 1"> [a link](javascript:window.harmed=1)

| measure | % |
|---|---|
| UA | `12.5` |

- one
- two that
  goes on
"""


def three_members(folder: Path) -> Path:
    """The model that hears levels, with three members that do not always agree."""
    return write_model(folder / "level.onnx", shifts=(0.0, 0.05, 0.2), uncertain_below=0.5, card=CARD)


def speech(level: float) -> np.ndarray:
    """A bundled clip (synthetic speech, 3.6 s) pressed to `level`: 0.9 is happy by two votes to one, 0.3 is sad."""
    blocks = []
    with av.open(str(CLIP)) as container:
        resampler = av.AudioResampler("fltp", "mono", RATE)
        for frame in container.decode(audio=0):
            blocks += [resampled.to_ndarray()[0] for resampled in resampler.resample(frame)]
    samples = np.concatenate(blocks)
    return np.asarray(level * np.tanh(30 * samples / np.abs(samples).max()), dtype=np.float32)


def conversation() -> np.ndarray:
    """Silence, loud speech, silence, quiet speech, silence: 10.6 s."""
    return np.concatenate([silence(1.0), speech(0.9), silence(1.5), speech(0.3), silence(1.0)])


@contextmanager
def browser(heard: Path) -> Iterator[Any]:
    """A browser whose microphone hears the file `heard`, over and over; skips where there is none.

    VOXAFFECT_BROWSER names another executable than the first of BROWSERS.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    wanted = os.environ.get("VOXAFFECT_BROWSER")
    found = wanted or next((path for name in BROWSERS if (path := shutil.which(name))), None)
    with playwright.sync_playwright() as engine:
        if found is None and not Path(engine.chromium.executable_path).exists():
            pytest.skip("needs Chromium: none is installed")
        launched = engine.chromium.launch(
            executable_path=found,
            args=["--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={heard}"],
        )
        yield launched
        launched.close()


@contextmanager
def page_of(
    browser: Any, origin: str, *, microphone: bool = True, scripts: str = "", **options: Any
) -> Iterator[Any]:
    """A watched page of the server: at the end it must have thrown nothing, broken no policy, asked no other host."""
    context = browser.new_context(**{"viewport": {"width": 1100, "height": 820}, **options})
    context.grant_permissions(["microphone"] if microphone else [])
    context.add_init_script(WATCH + scripts)
    context.set_default_timeout(30_000)
    page = context.new_page()
    thrown: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    page.on("console", lambda message: thrown.append(message.text) if _is_fault(message) else None)
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.goto(origin)
    try:
        yield page
        thrown += page.evaluate("window.violations")
        assert not thrown, thrown
        own = urlsplit(origin).netloc
        elsewhere = [url for url in asked if not url.startswith("blob:") and urlsplit(url).netloc != own]
        assert asked
        assert not elsewhere, elsewhere
        telling = [url for url in asked if urlsplit(url).username or "token" in url]
        assert not telling, telling
    finally:
        context.close()


def _is_fault(message: Any) -> bool:
    """Of what the console says, all errors but that an answer was one: those are shown on the page."""
    return message.type == "error" and not message.text.startswith("Failed to load resource")


def choose(page: Any, name: str, data: bytes, mime: str = "audio/wav") -> None:
    """Choose a recording and wait for what comes of it."""
    page.wait_for_selector("#home:not([hidden])")
    page.set_input_files("#file", {"name": name, "mimeType": mime, "buffer": data})
    page.wait_for_selector("#result:not([hidden]), #failed:not([hidden])")


def agree(page: Any) -> None:
    """Read the notice, agree, and wait until the stream is live."""
    page.click("#speak")
    page.check("#consent")
    page.click("#accept")
    page.wait_for_selector("#live-state:text-is('listening')")


def n_colours(page: Any, selector: str) -> int:
    """How many of the colours of a canvas take more than 0.2 % of it: a blank one has one."""
    return int(
        page.evaluate(
            """(selector) => {
              const canvas = document.querySelector(selector);
              const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
              const counts = new Map();
              for (let i = 0; i < data.length; i += 4) {
                const key = data[i + 3] ? `${data[i]},${data[i + 1]},${data[i + 2]}` : "none";
                counts.set(key, (counts.get(key) ?? 0) + 1);
              }
              return [...counts.values()].filter((n) => n > 0.002 * data.length / 4).length;
            }""",
            selector,
        )
    )


def overheard(page: Any) -> tuple[list[dict[str, Any]], list[int]]:
    """What the server says on the page's sockets from now on, and the bytes of each frame of audio."""
    heard: list[dict[str, Any]] = []
    sent: list[int] = []

    def listen(socket: Any) -> None:
        socket.on("framereceived", lambda data: heard.append(json.loads(data)))
        socket.on("framesent", lambda data: sent.append(len(data)) if isinstance(data, bytes) else None)

    page.on("websocket", listen)
    return heard, sent


def assert_live_is_offline(page: Any, heard: list[dict[str, Any]]) -> None:
    """Stop: the final results that were heard are the segments of the recording."""
    with page.expect_response("**/v1/predict?*") as answer:
        page.click("#stop")
    result = answer.value.json()
    page.wait_for_selector("#result:not([hidden])")
    live = [m for m in heard if m["type"] == "result" and m["final"] and m["label"] is not None]
    assert len(live) >= 2
    keys = ("start", "end", "label", "score", "votes", "uncertain")
    assert [{k: m[k] for k in keys} for m in live] == [{k: s[k] for k in keys} for s in result["segments"]]
    assert heard[-1]["type"] == "session.closed"
    assert heard[-1]["reason"] == "client"
    assert result["source"]["duration"] == pytest.approx(heard[-1]["received_seconds"])


FAINT = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const over = (colour, ground) => {
    canvas.fillStyle = `rgb(${ground.join()})`;
    canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const linear = (c) => (c / 255 <= 0.04045 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const groundOf = (e) => {
    const above = [];
    for (let at = e; at; at = at.parentElement) above.unshift(getComputedStyle(at).backgroundColor);
    return above.reduce((ground, colour) => over(colour, ground), [255, 255, 255]);
  };
  const found = [];
  const walk = document.createTreeWalker(document.querySelector("dialog[open]") ?? document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const [text, e] = [walk.currentNode.data.trim(), walk.currentNode.parentElement];
    if (!text || !e.checkVisibility() || e.closest(".hidden, .skip, :disabled")) continue;
    const style = getComputedStyle(e);
    const ground = groundOf(e);
    const [a, b] = [light(ground), light(over(style.color, ground))].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < (large ? 3 : 4.5)) found.push(`${text}: ${contrast.toFixed(2)}`);
  }
  return found;
}"""


def faint_texts(page: Any) -> list[str]:
    """Visible texts, of the open dialog or the page, whose contrast is under WCAG's AA: 4.5, or 3 if they are large."""
    return list(page.evaluate(FAINT))
