"""The page for everyone: phones, light and dark, less motion, screen readers; and that what watches it can fail."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from browsing import choose, conversation, faint_texts, page_of
from serving import Server, wav

PHONE = {"width": 360, "height": 740}
MONO = wav(conversation())


def overflow(page: Any) -> int:
    """By how many pixels the page is wider than the screen."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_in_either_light(browser: Any, served: Server, scheme: str) -> None:
    with page_of(browser, served.origin, viewport=PHONE, color_scheme=scheme) as page:
        page.wait_for_selector("#home:not([hidden])")
        assert overflow(page) <= 0
        assert faint_texts(page) == []
        page.click("#speak")
        assert faint_texts(page) == []
        page.keyboard.press("Escape")
        page.click("#card-open")
        assert faint_texts(page) == []
        page.keyboard.press("Escape")
        choose(page, "a-name-that-is-long-and-has-no-blank-anywhere-in-it.wav", MONO)
        page.click("#moments summary")
        page.wait_for_selector("[data-waveform=drawn]")
        assert overflow(page) <= 0
        assert faint_texts(page) == []
        small = page.eval_on_selector_all(
            "button, summary, .choice label",
            "all => all.filter((b) => b.offsetWidth && b.offsetHeight < 24).map((b) => b.textContent)",
        )
        assert small == []


def test_whoever_wants_less_motion_gets_none(browser: Any, served: Server) -> None:
    with page_of(browser, served.origin, reduced_motion="reduce") as page:
        page.wait_for_selector("#home:not([hidden])")
        moving = "all => all.filter((e) => getComputedStyle(e).animationName !== 'none').length"
        assert page.eval_on_selector_all("*", moving) == 0
    with page_of(browser, served.origin) as page:
        page.wait_for_selector("#home:not([hidden])")
        assert page.eval_on_selector_all("*", moving) > 0


def test_what_watches_the_page_can_fail(browser: Any, served: Server) -> None:
    styled = "document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">')"
    elsewhere = "fetch('http://127.0.0.2:9/').catch(() => 0)"
    for script, complaint in [
        (styled, "style-src"),
        (elsewhere, "connect-src"),
        ("setTimeout(() => absent(), 0)", "absent is not defined"),
    ]:
        with (
            pytest.raises(AssertionError, match=complaint),
            page_of(browser, served.origin) as page,
        ):
            page.wait_for_selector("#home:not([hidden])")
            with suppress(Exception):
                page.evaluate(script)
            page.wait_for_timeout(100)


def test_what_looks_for_faint_texts_finds_them(page: Any) -> None:
    page.wait_for_selector("#home:not([hidden])")
    page.evaluate("document.querySelector('.lead').style.color = '#bbb'")
    assert [text[:5] for text in faint_texts(page)] == ["Speak"]


def test_everything_has_a_name_for_those_who_do_not_see_it(page: Any) -> None:
    choose(page, "a.wav", MONO)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, canvas, dialog, img, [role=slider], section")]
          .filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length || e.ariaHidden === "true"
            || e.alt === "" || e.getAttribute("aria-labelledby") || e.type === "text"))
          .map((e) => e.outerHTML)"""
    )
    assert unnamed == []
    assert page.evaluate("document.activeElement.tagName") == "H1"
    assert page.text_content("#announcer").startswith("In all: ")
