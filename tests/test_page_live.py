"""The page with a microphone (fault B22), in a browser that hears a file: notice, live results, every way to end."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from browsing import agree, assert_live_is_offline, n_colours, overheard, page_of, three_members
from serving import Server, running

pytestmark = pytest.mark.slow  # a microphone is heard in real time

OPEN_TRACKS = """() => window.microphones.filter((stream) => stream)
  .flatMap((stream) => stream.getTracks()).filter((track) => track.readyState === "live").length"""


def n_asked(page: Any) -> int:
    """How often the page asked for the microphone."""
    return int(page.evaluate("window.microphones.length"))


def test_the_notice_comes_before_the_microphone(page: Any) -> None:
    page.click("#speak")
    notice = page.text_content("#notice")
    for said in (
        "learnt mostly from actors",
        "not kept",
        "agree",
        "people at work or in education is forbidden",
    ):
        assert said in " ".join(notice.split())
    assert n_asked(page) == 0
    page.click("#accept")  # without having agreed
    assert page.is_visible("#notice")
    page.click("#notice button[value=no]")
    assert page.is_hidden("#notice")
    page.click("#speak")
    page.keyboard.press("Escape")
    assert page.is_visible("#home")
    assert n_asked(page) == 0
    assert page.evaluate("window.sockets.length") == 0
    agree(page)
    assert n_asked(page) == 1


def test_agreeing_takes_only_the_keyboard(page: Any) -> None:
    page.focus("#speak")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "consent"
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.wait_for_selector("#live-state:text-is('listening')")
    assert page.evaluate("document.activeElement.id") == "stop"


def test_speaking_shows_live_results_and_then_the_same_from_the_recording(page: Any) -> None:
    heard, sent = overheard(page)
    agree(page)
    reading = page.locator("#live-reading")
    assert reading.locator(".word").text_content() == "listening …"
    page.wait_for_selector("#live-reading .word:text-matches('^(happy|sad)')")
    assert "3 votes: " in reading.locator(".sub").text_content()
    page.wait_for_selector("#live-reading .word:text-is('no speech')")  # a pause is no emotion
    page.wait_for_selector("#live-reading .word:text-matches('^sad')")
    assert n_colours(page, "#live-canvas") >= 3
    assert page.title().startswith("● Live")
    assert_live_is_offline(page, heard)
    assert page.evaluate(OPEN_TRACKS) == 0
    assert page.text_content("#result-name").startswith("Recording 2")
    assert "16 kHz, mono" in page.text_content("#result-facts")
    assert set(sent[:-1]) == {3200}  # 100 ms of 16 bits at 16 kHz
    page.wait_for_selector("[data-waveform=drawn]")
    page.wait_for_selector(".play:not([disabled])")


def test_a_lost_connection_is_made_anew(page: Any) -> None:
    agree(page)
    page.wait_for_selector("#live-reading .word:text-matches('^(happy|sad)')")
    page.evaluate("window.sockets[0].close()")
    page.wait_for_selector("#live-state:text-is('connection lost, trying again')")
    page.wait_for_selector("#live-state:text-is('listening')")
    assert page.evaluate("window.sockets.length") == 2
    assert n_asked(page) == 1
    page.wait_for_selector("#live-reading .word:text-matches('^(happy|sad|neutral|angry)')")
    page.click("#stop")
    page.wait_for_selector("#result:not([hidden])")


def test_a_browser_that_pauses_the_sound_of_a_hidden_tab_is_said_and_it_goes_on_when_seen_again(
    page: Any,
) -> None:
    """Fault B22, as on a phone: the context is suspended, and the browser resumes nothing by itself."""
    heard, _ = overheard(page)
    agree(page)
    page.wait_for_selector("#live-reading .word:text-matches('^(happy|sad)')")
    page.evaluate("window.sounds[0].suspend()")
    page.wait_for_selector("#live-state:text-is('the browser has paused the microphone')")
    assert page.locator("#live-reading .word").text_content() == "…"
    before = page.text_content("#live-clock")
    page.wait_for_timeout(1500)
    assert page.text_content("#live-clock") == before
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_selector("#live-state:text-is('listening')")
    page.wait_for_selector("#live-reading .word:text-is('no speech')")
    page.wait_for_selector("#live-reading .word:text-matches('^(happy|sad)')")
    page.wait_for_selector("#live-reading .word:text-is('no speech')")
    # Two utterances have come to their end.
    assert page.evaluate("window.sockets.length") == 1
    assert n_asked(page) == 1
    assert_live_is_offline(page, heard)


def test_silence_of_a_paused_microphone_ends_the_stream_with_a_word(browser: Any, tmp_path: Path) -> None:
    model = three_members(tmp_path)
    with (
        running(tmp_path, "-m", str(model), config={"idle_timeout": 1.0}) as server,
        page_of(browser, server.origin) as page,
    ):
        page.wait_for_selector("#home:not([hidden])")
        agree(page)
        page.wait_for_selector("#live-reading .word:text-matches('^(happy|sad)')")
        page.evaluate("window.sounds[0].suspend()")
        page.wait_for_selector("#result:not([hidden])")  # what was heard is judged
        page.wait_for_selector("#result-warnings li:text-is('Nothing came from the microphone for a while.')")
        assert page.evaluate(OPEN_TRACKS) == 0


def test_a_microphone_that_is_refused_is_explained(browser: Any, served: Server) -> None:
    with page_of(browser, served.origin, microphone=False) as page:
        page.wait_for_selector("#home:not([hidden])")
        page.click("#speak")
        page.check("#consent")
        page.click("#accept")
        page.wait_for_selector("#failed:not([hidden])")
        assert page.text_content("#failed-code") == "microphone_denied"
        assert page.text_content("#failed-message") == "The browser may not use the microphone."
        assert page.text_content("#failed-hint").startswith("Allow it for this page")
        assert page.is_visible("#retry")


@pytest.mark.parametrize(
    ("name", "code"), [("NotFoundError", "no_microphone"), ("NotReadableError", "microphone_busy")]
)
def test_a_microphone_that_is_not_there_is_explained(
    browser: Any, served: Server, name: str, code: str
) -> None:
    broken = f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', '{name}'));"
    with page_of(browser, served.origin, scripts=broken) as page:
        page.wait_for_selector("#home:not([hidden])")
        page.click("#speak")
        page.check("#consent")
        page.click("#accept")
        page.wait_for_selector("#failed:not([hidden])")
        assert page.text_content("#failed-code") == code


def test_leaving_closes_the_microphone(page: Any) -> None:
    agree(page)
    assert page.evaluate(OPEN_TRACKS) == 1
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    page.wait_for_timeout(700)
    assert page.evaluate(OPEN_TRACKS) == 0


def test_a_server_that_stops_ends_the_stream_with_a_word(browser: Any, tmp_path: Path) -> None:
    with running(tmp_path, "-m", str(three_members(tmp_path))) as server:
        with page_of(browser, server.origin) as page:
            page.wait_for_selector("#home:not([hidden])")
            agree(page)
            page.wait_for_selector("#live-reading .word:text-matches('^(happy|sad)')")
            server.process.send_signal(signal.SIGTERM)
            page.wait_for_selector("#failed:not([hidden])")
            assert page.text_content("#failed-code") in ("draining", "no_connection")
            assert page.evaluate(OPEN_TRACKS) == 0
        assert server.process.wait(30) == 0
