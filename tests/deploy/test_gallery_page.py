"""The gallery's page in a browser: from a folder, with 2,000 clips, by keyboard and on a phone."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from blocks.storage.archive import Archive
from blocks.storage.local import LocalStore
from flows.tasks.gallery.update import bring_up_to_date
from tests.blocks.media import samples
from tests.deploy.test_form import _ARGUMENTS, _CHROMIUM
from tests.gallery_shelf import put_clip

CLIPS = 2000
HOSTILE = "<script>window.taken = 1</script><img src=x onerror='window.taken = 1'>"
_SECONDS = 1000.0


def poster() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (36, 48), "teal").save(file, "JPEG")
    return file.getvalue()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("gallery")
    clip, picture = samples.clip(), poster()
    for number in range(CLIPS):
        newest = number == CLIPS - 1
        put_clip(root, number, clip=clip if newest else b"gone", poster=picture, name=f"clip {number}")
    put_clip(root, 700, clip=b"gone", name=HOSTILE, prompt=HOSTILE)
    asyncio.run(bring_up_to_date(Archive(LocalStore(root)), posters=False, link_seconds=0, at_once=8))
    return root


@pytest.fixture(scope="module")
def browser(archive: Path) -> Iterator[Browser]:
    """Start the browser, after the archive: while Playwright runs here, no other event loop can."""
    if not _CHROMIUM.exists():
        pytest.skip(f"there is no {_CHROMIUM}: apt-get install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=_CHROMIUM, args=_ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def opened(browser: Browser, archive: Path) -> Iterator[Callable[..., Page]]:
    """Open the page as somebody double-clicks it; what it says wrong, or asks for outside, is a failure."""
    wrong: list[str] = []
    contexts = []

    def open_page(**how: Any) -> Page:
        contexts.append(browser.new_context(**how))
        page = contexts[-1].new_page()
        page.set_default_timeout(20 * _SECONDS)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: wrong.append(asked.url) if _is_outside(asked.url) else None)
        page.goto((archive / "index.html").as_uri())
        expect(page.get_by_role("status")).to_have_text("2,000 clips")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def _is_outside(url: str) -> bool:
    return not url.startswith(("file:", "data:"))


def test_by_keyboard_alone_a_clip_is_found_and_played(opened: Callable[..., Page]) -> None:
    page = opened(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the clips")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Search name, prompt or date")).to_be_focused()
    page.keyboard.type("clip 199")
    expect(page.get_by_role("status")).to_have_text("12 of 2,000 clips")
    page.keyboard.press("ArrowDown")
    newest = page.get_by_role("button", name="Play clip 1999, 0:51")
    expect(newest).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="Play clip 1998, ")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    video = page.locator("video")
    expect(video).to_be_focused()
    deadline = time.monotonic() + 20
    while not (seconds := video.evaluate("video => video.currentTime")) and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert seconds > 0
    page.keyboard.press("Escape")
    expect(video).to_have_count(0)
    expect(newest).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("cannot be played")


def test_two_thousand_clips_are_looked_through_and_no_stranger_s_text_is_run(
    opened: Callable[..., Page],
) -> None:
    page = opened(viewport={"width": 1280, "height": 900})
    cards = page.locator(".card")
    assert cards.count() <= 200, "only what is near is drawn"
    page.get_by_label("Search name, prompt or date").fill("window.taken")
    expect(page.get_by_role("status")).to_have_text("1 of 2,000 clips")
    expect(page.get_by_role("heading", level=2)).to_have_text(HOSTILE)
    assert page.evaluate("() => window.taken") is None
    page.get_by_label("Search name, prompt or date").fill("2026-01-02")
    expect(page.get_by_role("status")).to_have_text("24 of 2,000 clips")
    page.get_by_label("Search name, prompt or date").fill("")
    page.get_by_label("From").fill("2026-03-01")
    page.get_by_label("To").fill("2026-03-01")
    expect(page.get_by_role("status")).to_have_text("24 of 2,000 clips")
    page.get_by_label("To").fill("2025-01-01")
    page.get_by_role("button", name="Clear the search").click()
    expect(page.get_by_role("status")).to_have_text("2,000 clips")
    page.get_by_label("Order").select_option("oldest")
    expect(page.get_by_role("heading", level=2).first).to_have_text("clip 0")
    page.get_by_role("button", name="Play clip 0, ").focus()
    for _ in range(4):
        drawn = cards.count()
        page.keyboard.press("End")
        expect(cards.nth(drawn)).to_be_attached()
    page.evaluate("() => { while (!more.hidden) more.click(); }")
    expect(cards).to_have_count(CLIPS)
    page.keyboard.press("End")
    # Asking Playwright for a role would have it compute the names of all 2,000 buttons.
    expect(page.locator("button:focus")).to_have_attribute("aria-label", "Play clip 1999, 0:51")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_cut_off_and_text_can_be_read(opened: Callable[..., Page], scheme: str) -> None:
    phone = {"width": 375, "height": 812}
    page = opened(viewport=phone, is_mobile=True, has_touch=True, color_scheme=scheme)
    assert page.evaluate("() => document.documentElement.scrollWidth") == 375
    page.get_by_text("Dates and order").tap()
    expect(page.get_by_label("Order")).to_be_visible()
    for target in (page.get_by_label("From"), page.get_by_role("button", name="Play clip 1999, ")):
        box = target.bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= 44, "a thumb hits it"
    for text in ("h1", "#count", "h2", ".meta", ".prompt", ".open", "summary"):
        assert contrast(page, text) >= 4.5, text
    page.get_by_role("button", name="Play clip 1999, ").tap()
    wide = page.locator(".playing").bounding_box()
    assert wide
    assert wide["width"] > 340
    assert page.evaluate("() => document.documentElement.scrollWidth") == 375


def contrast(page: Page, selector: str) -> float:
    """Return the contrast of a text with what lies behind it, as WCAG counts it."""
    found = page.locator(selector).first.evaluate(
        """element => {
          const ground = (one) => getComputedStyle(one).backgroundColor;
          let behind = element;
          while (ground(behind) === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
          return [getComputedStyle(element).color, ground(behind)];
        }"""
    )
    light, dark = sorted((_luminance(colour) for colour in found), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
