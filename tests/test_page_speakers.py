"""The page where several people speak, each on a channel: names, one of them alone, and what the law asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from browsing import choose, conversation, faint_texts, page_of, speech
from fake_models import silence
from serving import Server, wav

PHONE = {"width": 360, "height": 640}
ONE = conversation()
OTHER = np.concatenate([silence(5.0), speech(0.9), silence(10.0)])[: len(ONE)]
CALL = wav(np.stack([ONE, OTHER], axis=1))


def asked(page: Any) -> list[dict[str, list[str]]]:
    """The queries with which the page asks for predictions from now on."""
    queries: list[dict[str, list[str]]] = []

    def note(request: Any) -> None:
        address = urlsplit(request.url)
        if address.path == "/v1/predict":
            queries.append(parse_qs(address.query))

    page.on("request", note)
    return queries


def ask_who(page: Any, *names: str) -> None:
    """Open the dialog and name the channels in turn."""
    page.click("#who")
    for channel, name in enumerate(names):
        page.get_by_label(f"Channel {channel}").fill(name)


def judged(page: Any) -> None:
    """Have them judged, and wait for the answer."""
    page.click("#speakers-submit")
    page.wait_for_selector("#speakers", state="hidden")


def refused(page: Any) -> None:
    page.click("#speakers-submit")
    page.wait_for_selector("#speakers-problem:not([hidden])")


def tracks(page: Any) -> list[str]:
    names: list[str] = page.locator(".track-name strong").all_text_contents()
    return names


def test_who_speaks_is_shown_and_written(page: Any, tmp_path: Path) -> None:
    choose(page, "call.wav", CALL)
    queries = asked(page)
    ask_who(page, "customer", "her friend")
    judged(page)
    assert queries == [{"channels": ["split"], "roles": ["0=customer,1=her friend"]}]
    assert tracks(page) == ["customer", "her friend"]
    assert page.is_checked("input[value=split]")
    assert page.evaluate("document.activeElement.tagName") == "H1"
    assert page.text_content("#announcer").startswith("In all: ")
    with page.expect_download() as download:
        page.click("[data-format=json]")
    download.value.save_as(tmp_path / "call.json")
    summary = json.loads((tmp_path / "call.json").read_text("utf-8"))["summary"]
    assert [each["role"] for each in summary] == ["customer", "her friend"]


def test_one_of_them_alone_can_be_judged(page: Any) -> None:
    choose(page, "call.wav", CALL)
    queries = asked(page)
    ask_who(page, "customer")
    offered = page.locator("#speakers-only option").all_text_contents()
    assert offered == ["everyone", "only customer"]
    page.get_by_label("Judge", exact=True).select_option("only customer")
    judged(page)
    assert queries == [{"channels": ["split"], "roles": ["0=customer"], "only": ["customer"]}]
    assert tracks(page) == ["customer"]
    assert "only customer judged by level 1.0" in page.text_content("#result-facts")
    page.click("#who")  # what was said is still there, and can be changed
    assert page.input_value("#speaker-0") == "customer"
    assert page.input_value("#speakers-only") == "customer"
    page.get_by_label("Channel 0").fill("caller")
    assert page.input_value("#speakers-only") == ""
    judged(page)
    assert tracks(page) == ["caller", "channel 1"]
    page.check("input[value=mix]")
    page.wait_for_selector(".track-name", state="detached")
    page.check("input[value=split]")
    page.wait_for_selector(".track-name")
    assert tracks(page) == ["caller", "channel 1"]


def test_a_role_that_the_law_protects_is_explained_and_needs_a_lawful_basis(
    page: Any, served: Server
) -> None:
    said = served.predict(CALL, "?roles=0=customer,1=agent").problem
    choose(page, "call.wav", CALL)
    before = page.text_content("#result-overall")
    queries = asked(page)
    ask_who(page, "customer", "agent")
    assert page.is_hidden("#speakers-lawful")  # nobody is asked before it matters
    refused(page)
    message = said["message"]
    assert page.text_content("#speakers-why") == f"{message[0].upper()}{message[1:]}."
    assert "AI Act, Article 5(1)(f)" in message
    assert page.get_attribute("#speakers-problem", "role") == "alert"
    assert page.evaluate("document.activeElement.id") == "speakers-lawful"
    assert page.get_attribute("#speakers-lawful", "aria-describedby") == "speakers-why"
    assert not page.is_checked("#speakers-lawful")
    page.click("#speakers-submit")  # no word of a lawful basis: refused again
    page.wait_for_selector("#speakers-form[aria-busy=false]")
    assert page.is_visible("#speakers-lawful")
    assert page.text_content("#result-overall") == before
    page.get_by_label("I have a lawful basis").check()
    judged(page)
    assert tracks(page) == ["customer", "agent"]
    assert [query.get("lawful_basis") for query in queries] == [None, None, ["true"]]


def test_a_lawful_basis_is_of_the_names_that_it_was_given_for(page: Any) -> None:
    choose(page, "call.wav", CALL)
    queries = asked(page)
    ask_who(page, "customer", "agent")
    refused(page)
    page.check("#speakers-lawful")
    page.get_by_label("Channel 1").fill("student")
    assert page.is_hidden("#speakers-lawful")
    refused(page)
    assert "'student'" in page.text_content("#speakers-why")
    assert not page.is_checked("#speakers-lawful")
    page.get_by_label("Judge", exact=True).select_option("only customer")  # the lawful way out
    assert page.is_hidden("#speakers-problem")
    judged(page)
    assert tracks(page) == ["customer"]
    assert all("lawful_basis" not in query for query in queries)


def test_naming_takes_only_the_keyboard(page: Any) -> None:
    choose(page, "call.wav", CALL)
    page.focus("#who")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "speaker-0"
    page.keyboard.type("one, two")
    page.keyboard.press("Enter")  # a comma would part names: the browser says so, and nothing is sent
    assert page.evaluate("document.querySelector('#speaker-0').validationMessage").startswith(
        "A name has no comma"
    )
    assert page.is_visible("#speakers")
    page.keyboard.press("Escape")
    assert page.is_hidden("#speakers")
    assert page.evaluate("document.activeElement.id") == "who"
    assert page.is_visible("#result")
    page.keyboard.press("Enter")
    assert page.input_value("#speaker-0") == ""  # given up is forgotten
    page.keyboard.type("patient")
    page.keyboard.press("Tab")
    page.keyboard.type("nurse’s child")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#speakers", state="hidden")
    assert tracks(page) == ["patient"]


def test_what_goes_wrong_is_said_in_the_dialog_and_the_answer_stays(page: Any) -> None:
    choose(page, "call.wav", CALL)
    body = {"status": 429, "detail": "full", "error": {"code": "queue_full", "message": "600 s are waiting"}}
    answer = {"status": 429, "headers": {"Retry-After": "7"}, "body": json.dumps(body)}
    page.route("**/v1/predict?*", lambda route: route.fulfill(**answer), times=1)
    ask_who(page, "caller")
    refused(page)
    assert page.text_content("#speakers-why") == "600 s are waiting."
    assert page.text_content("#speakers-hint") == "Try again in 7 s."
    assert page.is_hidden("#speakers-lawful")
    assert page.is_visible("#result")
    page.route("**/v1/predict?*", lambda route: None, times=1)  # no answer at all
    page.click("#speakers-submit")
    page.wait_for_selector("#speakers-submit:disabled")
    page.click("#speakers-cancel")
    assert tracks(page) == []
    page.unroute("**/v1/predict?*")
    ask_who(page, "caller")
    judged(page)
    assert tracks(page) == ["caller", "channel 1"]


def test_a_recording_of_one_channel_asks_nobody(page: Any) -> None:
    choose(page, "a.wav", wav(speech(0.9)))
    assert page.locator("#who").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_the_dialog(browser: Any, served: Server, scheme: str) -> None:
    with page_of(browser, served.origin, viewport=PHONE, color_scheme=scheme) as page:
        choose(page, "call.wav", wav(np.stack([ONE, OTHER, ONE, OTHER], axis=1)))
        ask_who(page, "the customer who called for the second time that day", "agent")
        refused(page)
        assert faint_texts(page) == []
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 0
        assert page.evaluate("(d => d.scrollWidth - d.clientWidth)(document.querySelector('#speakers'))") <= 0
        box = page.locator("#speakers-submit").bounding_box()
        assert box["y"] + box["height"] <= PHONE["height"]  # in sight, however long the dialog is
        unnamed = page.evaluate(
            "[...document.querySelectorAll('#speakers :is(input, select)')].filter((e) => !e.labels.length).length"
        )
        assert unnamed == 0
        page.check("#speakers-lawful")
        judged(page)
        assert faint_texts(page) == []
        assert page.evaluate(wide) <= 0
