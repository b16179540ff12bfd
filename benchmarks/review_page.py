"""How fast is the page of `mal review`? ``python -m benchmarks.review_page`` (needs Playwright and a Chromium).

Measured in Chromium: strokes of a brush of 500 pixels on a picture of 6000 x 4000, its decoding, 10,000 masks until the
first picture, and the steps from each to the next. The figures are those of the machine at that hour: look at its load.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mal.masks.rle import Rle, rle_from_window

RESULTS = Path(__file__).parent / "results"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
LARGE = (6000, 4000)
USUAL = (1280, 960)
_IMAGES = 200
_SECONDS_TO_OPEN = 2.0  # that a person takes to open the address, in which the first picture is prepared
_PAUSE = 0.25  # seconds that a person looks at a mask, at least

_STROKE = """async (steps) => {
  const { tools, editor, view } = mal, extend = [], draw = [];
  tools.size = 15;
  view.fitImage();
  tools.begin(1, [800, 1200]);
  for (let step = 0; step < steps; step++) {
    const start = performance.now();
    tools.extend([800 + (4400 * step) / steps, 2000 + 900 * Math.sin(step / 9)]);
    const middle = performance.now();
    view.draw();
    extend.push(middle - start);
    draw.push(performance.now() - middle);
    await new Promise(requestAnimationFrame);
  }
  const start = performance.now();
  tools.end();
  const end = performance.now() - start;
  const encode = performance.now();
  editor.mask.rle();
  return { extend, draw, end, encode: performance.now() - encode };
}"""
_DECODE = """async (row) => {
  const start = performance.now();
  const blob = await (await fetch(`/api/pictures/${row}`)).blob();
  const middle = performance.now();
  const bitmap = await createImageBitmap(blob);
  const size = [bitmap.width, bitmap.height];
  bitmap.close();
  return { fetched: middle - start, decoded: performance.now() - middle, size };
}"""


def main() -> None:
    """Measure, print a table, and keep every single figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--masks", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=200, help="strokes and steps to the next mask")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        labels = _write_set(Path(folder), options.masks)
        figures = _measure(labels, options.steps)
    figures["machine"] = {"load": os.getloadavg(), "cores": os.cpu_count()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "review_page.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| what | median, ms | 95th per cent, ms |\n| --- | --- | --- |")
    for name, values in figures.items():
        if isinstance(values, list):
            print(f"| {name} | {statistics.median(values):.1f} | {np.percentile(values, 95):.1f} |")


def _write_set(folder: Path, masks: int) -> Path:
    (folder / "images").mkdir()
    generator = np.random.default_rng(0)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(_IMAGES):
        width, height = LARGE if number == 0 else USUAL
        coarse = generator.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(
            folder / "images" / f"{number}.jpg", quality=88
        )
        images.append({"id": number, "file_name": f"{number}.jpg", "width": width, "height": height})
    for number in range(masks):
        image = images[number % _IMAGES]
        rle, box = _disc(generator, image["width"], image["height"])
        score = 0.0 if number == 0 else float(generator.uniform(0.01, 1))
        annotations.append(
            {"id": number, "image_id": image["id"], "category_id": 1, "bbox": box, "segmentation": rle, "iscrowd": 0}
            | {"mask_score": score}
        )
    path = folder / "masks.json"
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "disc"}]}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def _disc(generator: np.random.Generator, width: int, height: int) -> tuple[Rle, list[int]]:
    radius = int(generator.integers(20, min(width, height) // 5))
    x, y = (int(generator.integers(0, side - 2 * radius)) for side in (width, height))
    rows, columns = np.mgrid[: 2 * radius, : 2 * radius] - radius + 0.5
    rle = rle_from_window(rows**2 + columns**2 <= radius**2, x0=x, y0=y, image_width=width, image_height=height)
    return rle, [x, y, 2 * radius, 2 * radius]


def _measure(labels: Path, steps: int) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    browser_path = os.environ.get("MAL_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    figures: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        start = time.monotonic()
        with _server(labels) as address:
            figures["start of the program until it serves"] = [1000 * (time.monotonic() - start)]
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            time.sleep(_SECONDS_TO_OPEN)
            opened = time.monotonic()
            page.goto(address)
            _wait(page, "performance.getEntriesByName('mal-shown').length")
            figures["opening the page until the first picture, 6000 x 4000"] = [1000 * (time.monotonic() - opened)]
            page.goto(address.partition("/enter")[0] + "/?test=1")  # with a handle for scripts
            _wait(page, "window.mal && mal.editor.answer")
            decoded = [page.evaluate(_DECODE, 0) for _ in range(5)]
            figures["preview of 6000 x 4000: made and sent"] = [each["fetched"] for each in decoded]
            figures["preview of 6000 x 4000: decoded"] = [each["decoded"] for each in decoded]
            stroke = page.evaluate(_STROKE, steps)
            figures["event of a stroke, 500 pixels wide"] = stroke["extend"]
            figures["frame of a stroke"] = stroke["draw"]
            figures["end of a stroke: undo step and outline"] = [stroke["end"]]
            figures["packing the mask"] = [stroke["encode"]]
            page.keyboard.press("Control+z")
            figures["next mask"] = list(_steps(page, steps))
        browser.close()
    return figures


def _steps(page: Any, steps: int) -> Iterator[float]:
    for _ in range(steps):
        time.sleep(_PAUSE)
        row = page.evaluate("mal.row")
        page.evaluate("performance.clearMeasures('mal-shown')")
        page.keyboard.press("ArrowRight")
        _wait(page, f"mal.row === {row + 1} && performance.getEntriesByName('mal-shown').length")
        yield page.evaluate("performance.getEntriesByName('mal-shown')[0].duration")


def _wait(page: Any, expression: str) -> None:
    end = time.monotonic() + 60
    while not page.evaluate(f"Boolean({expression})"):
        if time.monotonic() > end:
            raise RuntimeError(f"never: {expression}")
        time.sleep(0.005)


@contextmanager
def _server(labels: Path) -> Iterator[str]:
    command: Sequence[str] = [sys.executable, "-m", "mal", "review", str(labels), str(labels.parent / "images")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout
        yield next(found[1] for line in server.stdout if (found := re.match(r"open (http\S+)", line)))
        server.terminate()


if __name__ == "__main__":
    main()
