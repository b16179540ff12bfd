"""The report as a reader meets it: Chromium opens the file, and keys and filters are tried.

Skipped where Playwright or a Chromium is missing; `scripts/setup-browser.sh`, which `make test` runs, gets both.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mal.masks.rle import rle_area
from mal.report.evaluation_results import read_evaluation
from mal.report.report_page import write_report
from tests.browsers import chromium
from tests.report.made_up import made_up

PATIENCE = 120_000  # milliseconds
WIDTHS = (390, 820, 1440)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium(PATIENCE) as browser:
        yield browser


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    files = made_up(folder)
    return write_report(read_evaluation(files.results), folder / "report.html", pictures=40).html


class Opened:
    """The page in a window, and all it complained of."""

    def __init__(self, browser: Any, report: Path, *, width: int = 1440, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(report.as_uri())

    def cards(self) -> int:
        return self.page.locator(".card").count()

    def current(self) -> int:
        return self.page.evaluate("Number(document.activeElement.dataset.index ?? -1)")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)


@pytest.fixture
def opened(browser, report) -> Iterator[Opened]:
    opened = Opened(browser, report)
    yield opened
    assert opened.complaints == []
    opened.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_opens_without_a_complaint_and_fits_the_window(browser, report, width, scheme, tmp_path):
    opened = Opened(browser, report, width=width, scheme=scheme)
    opened.page.locator("#gallery").scroll_into_view_if_needed()
    opened.page.wait_for_selector(".card canvas[data-drawn]")
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []
    assert opened.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    opened.page.screenshot(path=tmp_path / "page.png")
    with Image.open(tmp_path / "page.png") as picture:
        corner = picture.convert("L").getpixel((3, 899))
    assert corner > 200 if scheme == "light" else corner < 60
    opened.context.close()


def test_filters_leave_what_was_asked_for(opened):
    opened.page.locator("#tabs button[value=all]").click()
    everything = opened.cards()
    opened.page.locator("#class").select_option(label=opened.page.locator("#class option").nth(1).inner_text())
    of_class = opened.cards()
    assert 0 < of_class < everything
    opened.page.locator("#iou-low").fill("0.5")
    assert opened.cards() < of_class
    assert all(float(text) >= 0.5 for text in opened.page.locator(".card .chip").all_inner_texts())
    opened.page.locator("#clear").click()
    assert opened.cards() == everything


def test_the_table_follows_the_filters_and_sorts(opened):
    opened.page.locator("#find").fill("3.png")
    rows = opened.page.locator("#index-table tbody tr")
    assert 0 < rows.count() < opened.page.evaluate("data.total")
    assert set(opened.page.locator("#index-table td.file").all_inner_texts()) == {"3.png"}
    opened.page.locator("#index-table th button[value=score]").click()
    column = [float(text) for text in opened.page.locator("#index-table tbody td:nth-child(3)").all_inner_texts()]
    assert column == sorted(column)


def test_a_class_in_the_table_of_classes_shows_its_pictures(opened):
    opened.page.locator("#classes button", has_text="star").click()
    assert set(opened.page.locator(".card .caption:first-of-type .name").all_inner_texts()) == {"star"}


def test_keys_move_among_the_pictures(opened):
    opened.press("j")
    assert opened.current() == 0
    opened.press("j", "ArrowRight", "k")
    assert opened.current() == 1
    opened.press("ArrowDown")
    assert opened.current() > 2
    opened.press("ArrowUp", "ArrowLeft", "ArrowLeft")
    assert opened.current() == 0


def test_enter_enlarges_arrows_go_on_and_escape_comes_back_to_the_same_place(opened):
    opened.press("j", "Enter")
    opened.page.wait_for_selector("#viewer[open]")
    first = opened.page.locator("#viewer-facts").inner_text()
    assert opened.page.locator("#viewer canvas").count() == 4
    opened.press("ArrowRight")
    assert opened.page.locator("#viewer-facts").inner_text() != first
    opened.press("Escape")
    opened.page.wait_for_selector("#viewer[open]", state="detached")
    opened.page.wait_for_selector("[data-index='1']:focus")  # the page is told once the viewer is gone


def test_the_slash_goes_to_the_filter_and_letters_there_are_text(opened):
    opened.press("/", "j", "t")
    assert opened.page.locator("#find").input_value() == "jt"
    assert opened.cards() == 0


def test_numbers_choose_what_is_drawn_and_brackets_the_gallery(opened):
    opened.press("3", "]")
    assert opened.page.locator("#layers [aria-pressed=true]").inner_text() == "Truth"
    assert opened.page.locator("#tabs [aria-pressed=true]").inner_text().startswith("Random")


def test_t_turns_light_into_dark(opened):
    paper = "getComputedStyle(document.body).backgroundColor"
    light = opened.page.evaluate(paper)
    opened.press("t")
    assert opened.page.evaluate(paper) != light
    assert opened.page.locator("#theme-button").inner_text() == "Light"


def test_masks_are_unpacked_in_the_page_as_python_packed_them(opened):
    areas = opened.page.evaluate(
        "Object.values(data.pictures)"
        ".map(({ truth, width, height }) => maskOf(truth, width, height).reduce((a, b) => a + b))"
    )
    codes = opened.page.evaluate(
        "Object.values(data.pictures).map(({ truth, width, height }) => [truth, width, height])"
    )
    assert areas == [rle_area({"size": [height, width], "counts": truth}) for truth, width, height in codes]


def test_every_button_and_picture_has_a_name(opened):
    nameless = opened.page.evaluate(
        "[...document.querySelectorAll('button, input, select, [role=img]')]"
        ".filter(each => !(each.ariaLabel || each.textContent.trim() || each.labels?.length || each.title))"
        ".map(each => each.outerHTML)"
    )
    assert nameless == []
