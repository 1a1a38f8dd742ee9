"""The page with recordings, in a real browser: what it shows is what the server said, for everyone who looks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browsing import choose, conversation, n_colours, page_of, speech, three_members
from fake_models import silence
from serving import Server, running, wav

TOKEN = "a-token-of-32-characters-or-more"


MONO = wav(conversation())


def test_a_chosen_recording_shows_what_the_server_says(page: Any, served: Server) -> None:
    said = served.predict(MONO).json
    choose(page, "my voice.wav", MONO)
    assert page.text_content("#result-name") == "my voice.wav"
    assert "wav, 16 kHz, mono" in page.text_content("#result-facts")
    reading = page.locator("#result-overall .reading:visible")
    expected = said["label"] + ("?" if said["uncertain"] else "")
    assert reading.locator(".word").text_content() == expected
    for label, share in said["probs"].items():
        row = reading.locator(f"[data-label={label}] .value")
        assert row.text_content() == f"{round(100 * share)} %"
    total = sum(said["votes"].values())
    assert f"{total} votes: " in reading.locator(".sub").text_content()
    for label, n in said["votes"].items():
        assert f"{label} {n}" in reading.locator(".sub").text_content()
    assert ("uncertain" in reading.locator(".sub").text_content()) == said["uncertain"]
    page.wait_for_selector("[data-waveform=drawn]")
    assert n_colours(page, "#result-timeline canvas") >= 4


def test_a_dropped_recording_is_judged(page: Any) -> None:
    page.wait_for_selector("#home:not([hidden])")
    handle = page.evaluate_handle(
        """(bytes) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([Uint8Array.from(bytes)], "dropped.wav", { type: "audio/wav" }));
          return transfer;
        }""",
        list(wav(speech(0.9))),
    )
    page.dispatch_event("body", "dragover", {"dataTransfer": handle})
    assert page.is_visible("#curtain")
    page.dispatch_event("body", "drop", {"dataTransfer": handle})
    page.wait_for_selector("#result:not([hidden])")
    assert page.text_content("#result-name") == "dropped.wav"
    assert not page.is_visible("#curtain")


def test_every_format_can_be_downloaded(page: Any, served: Server) -> None:
    choose(page, "my voice.wav", MONO)
    names = list(served.ask("GET", "/v1/models").json["formats"])
    shown = page.eval_on_selector_all("[data-format]", "all => all.map((b) => b.dataset.format)")
    assert shown == names
    assert {"json", "jsonl", "csv"} <= set(names)
    files = {}
    for number, name in enumerate(names):
        if number % 5 == 4:  # a browser stops a page that saves ten files in a row, until someone touches it
            page.reload()
            choose(page, "my voice.wav", MONO)
        with page.expect_download() as download:
            page.click(f"[data-format={name}]")
        assert download.value.suggested_filename.startswith("my voice.")
        files[name] = Path(download.value.path()).read_bytes()
        assert files[name], name
    data = json.loads(files["json"])
    assert data["id"] == "my voice.wav"
    assert data["segments"] == served.predict(MONO).json["segments"]
    assert files["csv"] == served.ask("POST", "/v1/format?format=csv", files["json"]).body
    assert page.is_hidden("#downloads .problem")


def test_a_refused_download_says_why(page: Any) -> None:
    choose(page, "a.wav", wav(speech(0.9)))
    page.route("**/v1/format?*", lambda route: route.abort())
    page.click("[data-format=csv]")
    page.wait_for_selector("#downloads .problem:not([hidden])")
    assert page.text_content("#downloads .problem").startswith("csv: the server does not answer; ")


def test_each_channel_has_its_strip(page: Any) -> None:
    first = conversation()
    second = np.concatenate([silence(5.0), speech(0.9), silence(10.0)])[: len(first)]
    choose(page, "call.wav", wav(np.stack([first, second], axis=1)))
    assert page.is_checked("input[value=mix]")
    assert page.locator("#result-timeline canvas").count() == 2  # one strip, one clock
    page.check("input[value=split]")
    page.wait_for_selector("#result-timeline canvas >> nth=2")
    page.wait_for_selector("[data-waveform=drawn]")
    assert page.locator(".track-name strong").all_text_contents() == ["channel 0", "channel 1"]
    page.focus(".tracks")
    page.keyboard.press("End")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    assert page.locator("#result-moments .reading:visible").count() == 2
    words = page.get_attribute(".tracks", "aria-valuetext")
    assert "channel 0: sad" in words
    assert "channel 1: happy" in words
    page.check("input[value=mix]")
    page.wait_for_selector(".track-name", state="detached")


def test_silence_is_no_speech_and_never_a_label(page: Any) -> None:
    choose(page, "quiet.wav", wav(silence(2.0)))
    word = page.locator("#result-overall .word:visible")
    assert word.text_content() == "no speech"
    assert "soft" in word.get_attribute("class")
    assert page.locator("#result-overall .reading:visible .value").all_text_contents() == ["–"] * 4
    assert "digital silence" in page.text_content("#result-warnings")
    assert page.get_attribute(".tracks", "aria-valuetext").endswith("no speech")
    page.click("#moments summary")
    assert page.text_content("#moments .scroll") == "no speech"


def test_a_pause_within_speech_is_no_speech(page: Any) -> None:
    choose(page, "pause.wav", MONO)
    page.focus(".tracks")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert (
        page.locator("#result-overall .word:visible").text_content() == "neutral"
    )  # in all: back at the start
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    assert page.get_attribute(".tracks", "aria-valuetext") == "0:06 of 0:10, no speech"
    assert page.locator("#result-overall .word:visible").text_content() == "no speech"


def test_an_error_is_shown_with_its_hint(page: Any, served: Server) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 99999\n"
    problem = served.predict(pointer).problem
    choose(page, "notes.wav", pointer)
    message = problem["message"].replace("upload", "“notes.wav”", 1)
    assert page.text_content("#failed-message") == f"{message}."
    assert problem["hint"] is not None
    assert page.text_content("#failed-hint").lower().startswith(problem["hint"].lower())
    assert page.text_content("#failed-code") == problem["code"] == "not_audio"
    assert page.get_attribute("#failed .alarm", "role") == "alert"
    assert page.is_hidden("#retry")  # the same again would be as wrong
    page.click("#failed .again")
    assert page.is_visible("#home")


def test_a_full_queue_can_be_tried_again(page: Any) -> None:
    page.wait_for_selector("#home:not([hidden])")
    body = {"title": "Too Many Requests", "status": 429, "detail": "full", "error": {"code": "queue_full"}}
    body["error"] |= {"message": "600 s of audio are waiting", "hint": None, "where": None}  # type: ignore[operator]
    answer = {"status": 429, "headers": {"Retry-After": "7"}, "body": json.dumps(body)}
    page.route("**/v1/predict?*", lambda route: route.fulfill(**answer), times=1)
    choose(page, "a.wav", wav(speech(0.9)))
    assert page.text_content("#failed-message") == "600 s of audio are waiting."
    assert page.text_content("#failed-hint") == "Try again in 7 s."
    page.click("#retry")
    page.wait_for_selector("#result:not([hidden])")


def test_a_server_that_does_not_answer_is_said_and_can_be_tried_again(page: Any) -> None:
    page.wait_for_selector("#home:not([hidden])")
    page.route("**/v1/predict?*", lambda route: route.abort(), times=1)
    choose(page, "a.wav", wav(speech(0.9)))
    assert page.text_content("#failed-code") == "no_connection"
    assert "see whether it still runs" in page.text_content("#failed-hint").lower()
    page.click("#retry")
    page.wait_for_selector("#result:not([hidden])")


def test_waiting_can_be_given_up(page: Any) -> None:
    page.wait_for_selector("#home:not([hidden])")
    page.route("**/v1/predict?*", lambda route: None)
    page.set_input_files("#file", {"name": "a.wav", "mimeType": "audio/wav", "buffer": MONO})
    page.wait_for_selector("#working:not([hidden])")
    assert page.text_content("#working-name") == "a.wav"
    page.click("#cancel")
    assert page.is_visible("#home")
    page.unroute("**/v1/predict?*")
    choose(page, "b.wav", MONO)
    assert page.text_content("#result-name") == "b.wav"


def test_the_position_moves_by_keyboard_pointer_and_play(page: Any) -> None:
    choose(page, "a.wav", MONO)
    page.wait_for_selector(".play:not([disabled])")
    slider = page.get_by_role("slider", name="Position in the recording")
    slider.focus()

    def now() -> float:
        return float(slider.get_attribute("aria-valuenow"))

    for key, expected in [
        ("ArrowRight", 1),
        ("ArrowUp", 2),
        ("ArrowLeft", 1),
        ("PageUp", 3),
        ("PageDown", 1),
    ]:
        page.keyboard.press(key)
        assert now() == pytest.approx(expected, abs=0.01), key
    page.keyboard.press("End")
    assert now() == pytest.approx(10.64, abs=0.01)
    page.keyboard.press("Home")
    assert now() == 0
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20, steps=3)
    page.mouse.up()
    assert now() == pytest.approx(10.64 / 2, abs=0.05)
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    page.wait_for_selector(".time:text-matches('^0:0(0.[3-9]|[1-9])')")
    page.get_by_role("button", name="Pause").wait_for(timeout=2000)  # the browser tells of it in its own time
    page.keyboard.press("Space")
    page.get_by_role("button", name="Play").wait_for(timeout=2000)
    assert now() > 0.2
    page.keyboard.press("+")
    assert page.get_by_role("button", name="Show more of it").is_enabled()


def test_markup_in_names_and_cards_stays_text(page: Any) -> None:
    name = '<img src=x onerror="window.harmed = 1">.wav'
    choose(page, name, wav(speech(0.9)))
    assert page.text_content("#result-name") == name
    page.click("#card-open")
    text = page.text_content("#card-body")
    assert '<img src=x onerror="window.harmed = 1"> [a link](javascript:window.harmed=1)' in text
    assert page.locator("#card-body strong").all_text_contents() == ["level"]
    assert page.locator("#card-body li").all_text_contents() == ["one", "two that goes on"]
    assert page.locator("#card-body code").last.text_content() == "12.5"
    assert page.locator("img[src=x], #card-body a").count() == 0
    assert page.evaluate("window.harmed") is None


def test_the_card_tells_labels_terms_and_limits(page: Any, served: Server) -> None:
    page.click("#card-open")
    said = served.ask("GET", "/v1/models").json
    text = page.text_content("#card-body")
    for word in [
        *said["models"][0]["labels"],
        "CC0-1.0",
        said["models"][0]["sha256"],
        "3 members, majority vote",
    ]:
        assert word in text
    assert "files up to 25 MiB and 2:00:00; 200 live streams" in text
    page.keyboard.press("Escape")
    assert page.is_hidden("#card")
    assert page.evaluate("document.activeElement.id") == "card-open"


def test_a_token_is_asked_for_and_kept_out_of_urls(browser: Any, served: Server, tmp_path: Path) -> None:
    config = {"max_upload_mb": 1.0}
    env = {"VOXAFFECT_TOKEN": TOKEN}
    with (
        running(tmp_path, "-m", str(three_members(tmp_path)), config=config, env=env) as guarded,
        page_of(browser, guarded.origin) as page,
    ):
        page.wait_for_selector("#token-form:not([hidden])")
        page.get_by_label("Token").fill("wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("#token-help:text('A wrong token.')")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Continue").click()
        choose(page, "a.wav", wav(speech(0.9)))
        assert page.is_visible("#result")
        page.click("#result .again")
        uploads: list[str] = []
        page.on("request", lambda request: uploads.append(request.url))
        choose(page, "large.wav", bytes(2**20 + 1))
        assert page.text_content("#failed-message") == "1 MiB are more than this server's 1 MiB."
        assert page.text_content("#failed-code") == "too_many_bytes"
        assert uploads == []
        page.click("#failed .again")
        page.click("#speak")
        page.check("#consent")
        page.click("#accept")
        page.wait_for_selector("#live-state:text-is('listening')")
