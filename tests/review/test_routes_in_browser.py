"""The review as a person meets it: Chromium opens the page, and keys, mouse and touch are tried.

Skipped where Playwright or a Chromium is missing; `scripts/setup-browser.sh`, which `make test` runs, gets both.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

from mal.masks.rle import mask_from_rle, rle_from_mask, rle_from_segmentation
from mal.review.journal import read_review
from mal.review.routes import ENTER
from mal.review.session import ReviewModel
from mal.serve.engine import FoundMask
from mal.serve.listening import address_of, listen
from tests.browsers import chromium
from tests.review.reviewing import HEIGHT, TOKEN, WIDTH, disc, review_app, write_labels

PATIENCE = 60_000  # milliseconds
WIDTHS = (390, 820, 1440)
HOSTILE = "<img src=x onerror=document.title='taken'>"
FOUND = disc(70, 30, 11)
CROWD = 1000

pytestmark = pytest.mark.slow


class _FoundModel(ReviewModel):
    """A model that finds the same mask in every box."""

    def __init__(self) -> None:
        super().__init__(lambda: pytest.fail("there is nothing to load"))
        self.model = self
        self.version = "the model of the tests"

    def engine(self) -> Any:
        return self

    def masks(self, *_: Any) -> list[FoundMask]:
        return [FoundMask(FOUND, 0.87)]


@pytest.fixture(scope="module")
def labels(tmp_path_factory) -> Path:
    """24 masks in 8 pictures, one of which is missing, and 1,000 boxes in one picture, with higher scores."""
    path = write_labels(tmp_path_factory.mktemp("review"), images=9, of_each=3)
    document = json.loads(path.read_text())
    document["categories"][1]["name"] = HOSTILE
    del document["annotations"][24:]
    crowd = np.random.default_rng(0).uniform((0, 0), (WIDTH - 9, HEIGHT - 9), (CROWD, 2)).round(1)
    document["annotations"] += [
        {"id": 1000 + index, "image_id": 8, "category_id": 1, "bbox": [x, y, 8, 8], "iscrowd": 0, "mask_score": 0.99}
        for index, (x, y) in enumerate(crowd.tolist())
    ]
    (path.parent / "images" / "7.png").unlink()
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def address(labels) -> Iterator[str]:
    with review_app(labels, _FoundModel()) as (application, _), listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(application, log_config=None, lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield address_of(listener)
        server.should_exit = True
        thread.join()


def _pass(route: Any) -> None:
    route.continue_()


class Opened:
    """The page in a window, and all it complained of.

    Attributes:
        trouble: answers the decisions of the page in place of the server, where there is one.
    """

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1440, "height": 900}, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complain(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.trouble: Callable[[Any], None] | None = None
        # Always in place: a route that is added to a page under way misses requests for a while on a busy machine.
        self.page.route("**/api/decide", lambda route: (self.trouble or _pass)(route))
        self.address = address
        self.page.goto(f"{address}{ENTER}?token={TOKEN}")
        self.open()

    def complain(self, text: str) -> None:
        if "422" not in text:  # the browser's own line on a picture that is missing, also where it is fetched ahead
            self.complaints.append(text)

    def open(self) -> None:
        self.page.goto(f"{self.address}/?test=1")
        self.wait("window.mal && mal.editor.answer")

    def get(self, expression: str) -> Any:
        return self.page.evaluate(expression)

    def wait(self, expression: str) -> None:
        end = time.monotonic() + PATIENCE / 1000
        while not self.get(f"Boolean({expression})"):
            assert time.monotonic() < end, f"never: {expression}"
            time.sleep(0.01)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def go_to(self, row: int) -> None:
        self.get(f"mal.goTo({row})")
        self.wait("mal.editor.answer")  # keys are not heard before

    def resize(self, width: int, height: int) -> None:
        """Make the window as large, and wait until the page has seen it."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.wait(f"innerWidth === {width} && innerHeight === {height}")
        self.wait("mal.view.width === canvas.clientWidth && mal.view.height === canvas.clientHeight")

    def decided(self, *keys: str) -> None:
        """Press keys, and wait until what they decide is saved."""
        for key in keys:
            row = self.get("mal.row")
            self.press(key)
            self.wait(f"mal.row !== {row} && mal.editor.answer")
        self.wait("!mal.outbox.acts.length")

    def state(self, row: int) -> str:
        return self.get(f"mal.store.states[{row}]")

    def mask(self) -> np.ndarray:
        return mask_from_rle(rle_from_segmentation(self.get("mal.editor.mask.rle()"), HEIGHT, WIDTH))

    def window(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the picture is in the window."""
        left, top = self.get(f"mal.view.toWindow([{x}, {y}])")
        corner = self.page.locator("#canvas").bounding_box()
        return left + corner["x"], top + corner["y"]

    def stroke(self, *points: tuple[float, float]) -> None:
        self.page.mouse.move(*self.window(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.window(*point), steps=4)
        self.page.mouse.up()

    def banner(self) -> str:
        return self.page.locator("#banner").inner_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium(PATIENCE) as browser:
        yield browser


@pytest.fixture(scope="module")
def window(browser, address) -> Iterator[Opened]:
    window = Opened(browser, address)
    yield window
    window.context.close()


@pytest.fixture
def opened(window) -> Iterator[Opened]:
    """The page, loaded anew; tests share the journal, so each decides on rows of its own."""
    window.trouble = None
    window.complaints.clear()
    window.open()
    yield window
    assert window.complaints == []


def within(points: list[tuple[float, float]], radius: float) -> np.ndarray:
    """Pixels whose centers are near a line, by another way than the page's."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    result = np.zeros((HEIGHT, WIDTH), np.bool_)
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        share = np.clip(((columns - x0) * (x1 - x0) + (rows - y0) * (y1 - y0)) / (length or 1), 0, 1)
        distance = np.hypot(columns - x0 - share * (x1 - x0), rows - y0 - share * (y1 - y0))
        result |= distance <= radius
    return result


def test_it_opens_without_a_complaint_and_fits_windows_of_three_widths_light_and_dark(opened):
    for width in WIDTHS:
        opened.resize(width, 800)
        for scheme in ("light", "dark"):
            opened.page.emulate_media(color_scheme=scheme)
            assert opened.get("document.documentElement.scrollWidth - innerWidth") <= 0
            paper = opened.get("getComputedStyle(document.body).backgroundColor")
            assert (int(paper.split("(")[1].split(",")[0]) > 128) == (scheme == "light")
            low = opened.get("document.querySelector('#decisions').getBoundingClientRect().bottom")
            assert low <= 800
    assert all(url.startswith((opened.address, "blob:", "data:")) for url in opened.requests)
    opened.resize(1440, 900)


def test_no_tool_lies_beyond_the_edge_of_a_wide_window(opened):
    for width in (1440, 1024):
        opened.resize(width, 900)
        assert opened.get("tools.scrollWidth - tools.clientWidth") <= 0
        assert width < 1440 or opened.get("tools.clientHeight") < 60, "a second row"
    opened.resize(1440, 900)


def test_it_can_be_reviewed_by_keys_alone(opened, labels):
    opened.press("?")
    assert "accept the mask, or your drawing" in opened.page.locator("#help").inner_text()
    opened.press("Escape")
    opened.decided("Enter", "x", "s")
    opened.press("ArrowLeft", "ArrowLeft")
    opened.wait("mal.row === 1 && mal.editor.answer")
    opened.press("u")
    opened.wait("mal.store.states[1] === 'undecided'")
    opened.decided("a")
    opened.press("z")
    opened.wait("mal.store.states[1] === 'undecided'")
    review = read_review(labels)
    assert [review.decisions[position].state for position in range(3)] == ["accepted", "undecided", "skipped"]
    assert review.decisions[0].by == "bob"


def test_names_of_the_file_are_shown_as_text(opened):
    opened.go_to(1)
    assert HOSTILE in opened.page.locator("#facts").inner_text()
    assert opened.page.title() == "Review of masks.json"


def test_masks_are_unpacked_and_packed_as_python_does(opened):
    opened.go_to(4)
    assert opened.get("mal.editor.mask.rle()") == disc(58, 40, 14)
    opened.get("mal.editor.replace(null, null)")
    assert opened.get("mal.editor.mask.rle()") == {"size": [HEIGHT, WIDTH], "counts": "`U2"} or not opened.mask().any()
    opened.press("Control+z")
    assert not opened.get("mal.editor.isDrawn")


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("inside", [(30.2, 20.3), (60.7, 55.1)]),
        ("left", [(-6.0, 30.2), (3.1, 50.6)]),
        ("right", [(118.4, 5.1), (131.0, 20.7)]),
        ("top", [(40.3, -4.0), (70.9, 2.2)]),
        ("bottom", [(10.1, 78.6), (50.2, 90.0)]),
    ],
)
def test_a_stroke_fills_the_pixels_near_its_line_on_all_borders(opened, name, points):
    opened.go_to(5)
    opened.press("f", "-", "-", "b")
    before = opened.mask()
    opened.stroke(*points)
    assert (opened.mask() ^ (before | within(points, opened.get("mal.tools.radius")))).sum() <= 2, name
    opened.press("Control+z")
    assert (opened.mask() == before).all()


def test_the_eraser_and_its_undo_after_a_zoom_and_another_size_of_window(opened):
    opened.go_to(6)
    opened.press("e", "+", "+", "+", "]")
    opened.resize(1100, 800)
    before = opened.mask()
    points = [(12.3, 38.1), (25.6, 44.2)]
    opened.stroke(*points)
    after = opened.mask()
    assert (after ^ (before & ~within(points, opened.get("mal.tools.radius")))).sum() <= 2
    assert after.sum() < before.sum()
    opened.press("Control+z")
    assert (opened.mask() == before).all()
    opened.press("Control+Shift+z")
    assert (opened.mask() == after).all()
    opened.resize(1440, 900)


def test_undo_never_leads_to_another_mask(opened):
    opened.go_to(7)
    opened.press("b")
    opened.stroke((30, 20), (50, 20))
    opened.decided("Enter")
    opened.press("Control+z")
    assert opened.get("mal.row") == 8
    assert "no stroke on this mask to undo" in opened.page.locator("#status").inner_text()
    assert opened.state(7) == "edited"


def test_an_accepted_drawing_is_in_the_journal_to_the_pixel(opened, labels):
    opened.go_to(9)
    opened.press("b")
    opened.stroke((20, 20), (90, 60))
    drawn = opened.mask()
    opened.decided("Enter")
    decision = read_review(labels).decisions[9]
    assert decision.state == "edited"
    assert decision.segmentation == rle_from_mask(drawn)


def test_a_polygon_by_keys_is_closed_by_enter_which_does_not_accept(opened):
    opened.go_to(10)
    before = opened.mask()
    opened.press(
        "Shift+p", "Shift+ArrowLeft", " ", "Shift+ArrowUp", " ", "Shift+ArrowRight", "Shift+ArrowRight", " ", "Enter"
    )
    assert opened.get("mal.row") == 10
    assert (before & ~opened.mask()).sum() > 50
    opened.press("Enter")
    assert opened.get("mal.row") == 10
    assert "no polygon to close" in opened.page.locator("#status").inner_text()


def test_points_snap_only_where_that_is_asked_for(opened):
    opened.go_to(11)
    opened.press("f", "p")
    near = opened.window(96.5, 28.3)  # the disc of this picture begins at 26
    opened.page.mouse.click(*near)
    assert opened.get("mal.tools.points[0][1]") == pytest.approx(28.3, abs=0.2)
    opened.press("Escape", "g")
    opened.page.mouse.click(*near)
    assert opened.get("mal.tools.points[0][1]") in (26.5, 27.5)


def test_a_redrawn_box_gets_a_new_mask_at_once_and_can_be_undone(opened, labels):
    opened.go_to(12)
    before = opened.mask()
    opened.press("f", "r")
    opened.stroke((55, 15), (85, 45))
    opened.wait("mal.editor.history.box")
    assert opened.get("mal.editor.mask.rle()") == FOUND
    opened.press("Control+z")
    assert (opened.mask() == before).all()
    opened.press("Control+y")
    opened.decided("Enter")
    decision = read_review(labels).decisions[12]
    assert decision.segmentation == FOUND
    assert np.allclose(decision.bbox, [55, 15, 30, 30], atol=0.5)


def test_the_crosshair_begins_in_the_middle_of_what_is_seen_of_each_mask(opened):
    opened.go_to(12)
    opened.page.mouse.move(5, 5)
    opened.press("f", "r", "Shift+ArrowLeft", " ")
    opened.go_to(11)
    opened.press("ArrowRight")
    x, y = opened.get("mal.tools.cursor")
    assert abs(x - 96) < 4
    assert abs(y - 40) < 4


def test_two_tabs_do_not_overwrite_each_other(opened, labels):
    opened.go_to(13)
    other = opened.context.new_page()
    other.goto(f"{opened.address}/?test=1")
    while not other.evaluate("Boolean(window.mal && mal.editor.answer)"):
        time.sleep(0.01)
    other.evaluate("mal.goTo(13)")
    other.keyboard.press("x")
    while read_review(labels).version(13) == 0:
        time.sleep(0.01)
    opened.press("Enter")
    opened.wait("!document.querySelector('#banner').hidden")
    assert "has decided on this mask meanwhile (rejected): nothing was overwritten" in opened.banner()
    assert read_review(labels).decisions[13].state == "rejected"
    opened.page.get_by_role("button", name="Keep mine").click()
    opened.wait("mal.store.states[13] === 'accepted' && !mal.outbox.acts.length")
    other.evaluate("mal.poll()")
    assert other.evaluate("mal.store.states[13]") == "accepted"
    other.close()
    opened.complaints[:] = [text for text in opened.complaints if "409" not in text]


def test_what_another_reviewer_decides_on_the_mask_in_sight_is_shown(opened, labels):
    opened.go_to(14)
    body = {"at": 14, "base": 0, "operation": "eve-1", "state": "rejected", "by": "eve"}
    opened.page.request.post(f"{opened.address}/api/decide", data=body, headers={"Origin": opened.address})
    opened.get("mal.poll()")
    opened.wait("mal.store.seen[14] === 1")
    assert "rejected by eve" in opened.page.locator("#facts").inner_text()


@pytest.mark.parametrize("trouble", ["the server is gone", "the disk is full", "the server was started anew"])
def test_a_decision_that_is_not_saved_is_never_shown_as_saved_and_is_saved_later(opened, labels, trouble):
    row = {"the server is gone": 15, "the disk is full": 16, "the server was started anew": 22}[trouble]
    answer = {"error": "the decision was NOT saved: No space left on device.", "kind": "disk"}

    def fail(route: Any) -> None:
        route.abort() if row == 15 else route.fulfill(status=507 if row == 16 else 401, json=answer)

    opened.go_to(row)
    opened.trouble = fail
    opened.press("Enter")
    opened.wait("mal.outbox.hasProblem")
    assert opened.page.locator("#saved").inner_text() == "NOT saved"
    assert "1 decision waits: keep this page open" in opened.banner()
    assert opened.state(row) == "undecided"
    opened.trouble = None
    opened.wait("!mal.outbox.acts.length")
    assert opened.page.locator("#saved").inner_text() == "saved"
    assert opened.page.locator("#banner").is_hidden()
    assert read_review(labels).decisions[row].version == 1
    opened.complaints.clear()


def test_a_window_that_closes_in_the_middle_of_a_stroke_keeps_the_strokes_before(opened, labels):
    opened.go_to(17)
    opened.press("f", "b")
    opened.stroke((30, 15), (60, 15))
    whole = opened.mask()
    opened.page.mouse.move(*opened.window(30, 60))
    opened.page.mouse.down()
    opened.page.mouse.move(*opened.window(60, 70))
    opened.open()
    opened.page.mouse.up()
    opened.go_to(17)
    opened.wait("mal.store.states[17] === 'draft' && mal.editor.answer?.drawn")
    assert (opened.mask() == whole).all()
    assert 17 not in read_review(labels).right()


def test_a_missing_picture_is_named_and_its_mask_can_be_decided(opened, labels):
    opened.go_to(21)
    opened.wait("!document.querySelector('#note').hidden")
    assert "7.png does not exist" in opened.page.locator("#note").inner_text()
    opened.press("x")
    opened.wait("mal.store.states[21] === 'rejected'")


def test_a_thousand_masks_in_one_picture_take_a_few_elements_and_one_frame(opened):
    opened.go_to(24)
    assert opened.get("mal.view.neighbors.length") == CROWD - 1
    assert opened.page.locator(".row").count() < 60
    milliseconds = opened.get(
        "(() => { const start = performance.now(); mal.view.draw(); return performance.now() - start })()"
    )
    assert milliseconds < 500
    assert "there is no mask to accept" in (opened.press("Enter"), opened.page.locator("#status").inner_text())[1]


def test_a_filter_leaves_what_was_asked_for(opened):
    opened.go_to(23)
    opened.decided("x")
    opened.page.locator("#state-filter").select_option("rejected")
    states = opened.get("mal.store.shown.map(row => mal.store.states[row])")
    assert set(states) == {"rejected"}
    opened.page.locator("#state-filter").select_option("all")
    opened.page.locator("#class-filter").select_option("nut")
    assert set(opened.page.locator(".row .name").all_inner_texts()) == {"nut"}
    opened.page.locator("#class-filter").select_option("")


def test_one_finger_draws_and_two_fingers_zoom(browser, address):
    touched = Opened(browser, address, has_touch=True)
    touched.go_to(18)
    touched.press("b")
    before = touched.mask()
    client = touched.context.new_cdp_session(touched.page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [dict(zip("xy", place, strict=True), id=number) for number, place in enumerate(points)]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    start, end = touched.window(30, 20), touched.window(60, 20)
    touch("touchStart", start)
    touch("touchMove", end)
    touch("touchEnd")
    drawn = touched.mask()
    assert (drawn & ~before).sum() > 100
    scale = touched.get("mal.view.scale")
    left, right = (start[0] + 20, start[1] + 50), (start[0] + 60, start[1] + 50)
    touch("touchStart", left)
    touch("touchStart", left, right)
    touch("touchMove", left, (right[0] + 80, right[1]))
    touch("touchEnd")
    assert touched.get("mal.view.scale") > scale * 1.5
    assert (touched.mask() == drawn).all()
    assert touched.complaints == []
    touched.context.close()


def test_every_button_and_field_has_a_name(opened):
    nameless = opened.get(
        "[...document.querySelectorAll('button, input, select, canvas, [role=img], [role=listbox], progress')]"
        ".filter(each => !(each.ariaLabel || each.textContent.trim() || each.labels?.length || each.title))"
        ".map(each => each.outerHTML)"
    )
    assert nameless == []


def test_single_keys_can_be_switched_off(opened):
    opened.go_to(19)
    opened.get("document.querySelector('#single-keys').checked = false")
    opened.press("x")
    assert opened.get("mal.row") == 19
    opened.get("document.querySelector('#single-keys').checked = true")


def test_the_export_is_written_from_the_page(opened):
    opened.press("Control+e")
    opened.page.locator("#export-format").select_option("yolo-seg")
    opened.page.locator("#export-now").click()
    opened.wait("document.querySelector('#export-result').textContent.includes('done')")
    opened.press("Escape")


def test_a_label_file_that_was_changed_stops_the_page_with_one_clear_answer(opened, labels):
    content = labels.read_bytes()
    opened.go_to(20)
    labels.write_bytes(content + b" ")
    opened.get("mal.poll()")
    assert "was changed by another program since the review began" in opened.banner()
    opened.press("Enter")
    assert opened.get("mal.row") == 20
    labels.write_bytes(content)
    opened.get("mal.poll()")
    assert opened.page.locator("#banner").is_hidden()
