"""Conversions of photos that viewers turn: tools that turn them get shapes that are turned too."""

from __future__ import annotations

import base64
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mal.cli import main
from mal.formats.tally import Tally
from mal.formats.turned import in_frame
from mal.masks.rle import mask_from_rle, rle_area, rle_from_mask, rle_from_segmentation
from tests.cli.small_runs import run_mal
from tests.coco.coco_samples import coco_file
from tests.data.turned import as_seen, save_turned, smooth

WIDTH, HEIGHT = 48, 32
orientations = st.integers(1, 8)
decimals = st.integers(0, 4000).map(lambda number: number / 100)
sides = st.integers(100, 800).map(lambda number: number / 100)
boxes = st.tuples(decimals, sides.map(lambda side: side * 2), sides, sides).map(list)
MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[4:20, 7:31] = True
MASK[8:11, 12:20] = False  # a hole
MASK[25, 3:40] = True  # a part that is one pixel thin


def record(number: int, mask: np.ndarray | None = None, **more: Any) -> dict[str, Any]:
    shape = {} if mask is None else {"segmentation": rle_from_mask(mask), "area": int(mask.sum())}
    return {"id": number, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [7.0, 4.0, 24.0, 16.0]} | shape | more


def content(name: str, *annotations: dict[str, Any], size: tuple[int, int] = (WIDTH, HEIGHT)) -> dict[str, Any]:
    images = [{"id": 1, "file_name": name, "width": size[0], "height": size[1]}]
    return {"images": images, "annotations": list(annotations), "categories": [{"id": 1, "name": "nut"}]}


def turned(folder: Path, orientation: int, *annotations: dict[str, Any], keep_polygons: bool = True):
    """The file for tools that turn pictures, and that again for pictures as they are stored."""
    save_turned(folder / "a.png", smooth(HEIGHT, WIDTH), orientation)
    coco = coco_file(folder, content("a.png", *annotations))
    upright = in_frame(coco, folder, "upright", Tally(), keep_polygons=keep_polygons)
    return upright, in_frame(upright, folder, "stored", Tally())


@settings(deadline=None)
@given(orientation=orientations, box=boxes)
def test_a_box_lies_where_its_pixels_are_seen_and_comes_back_to_the_digit(orientation, box):
    whole = [float(int(side)) for side in box]
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[int(box[1]) : int(box[1]) + int(box[3]), int(box[0]) : int(box[0]) + int(box[2])] = True
    with tempfile.TemporaryDirectory() as folder:
        upright, again = turned(Path(folder), orientation, record(1, bbox=box), record(2, bbox=whole), record(3, mask))
    _, of_whole, of_mask = list(upright.annotations)
    assert np.array_equal(mask_from_rle(of_mask["segmentation"]), as_seen_mask(mask, orientation))
    rows, columns = np.nonzero(as_seen_mask(mask, orientation))
    x, y = int(columns.min()), int(rows.min())
    assert of_whole["bbox"] == [x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y]
    assert list(again.annotations) == [record(1, bbox=box), record(2, bbox=whole), record(3, mask)]
    assert list(again.document["images"]) == content("a.png")["images"]


def as_seen_mask(mask: np.ndarray, orientation: int) -> np.ndarray:
    return as_seen(mask.astype(np.uint8), orientation).astype(bool)


@settings(deadline=None)
@given(orientation=orientations, points=st.lists(decimals, min_size=6, max_size=12).filter(lambda p: len(p) % 2 == 0))
def test_polygons_and_key_points_come_back_to_the_digit(orientation, points):
    keypoints = [value for x, y in zip(points[0::2], points[1::2], strict=True) for value in (x, y, 2)] + [0, 0, 0]
    with tempfile.TemporaryDirectory() as folder:
        before = record(1, segmentation=[points], keypoints=keypoints)
        upright, again = turned(Path(folder), orientation, before)
    assert list(again.annotations) == [before]
    (seen,) = upright.annotations
    flat = seen["segmentation"][0]
    corners = [value for x, y in zip(flat[0::2], flat[1::2], strict=True) for value in (x, y, 2)]
    assert seen["keypoints"] == [*corners, 0, 0, 0]


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_polygon_has_the_very_pixels_of_the_stored_one_where_it_becomes_a_mask(tmp_path, orientation):
    triangle = [[3.2, 4.7, 40.1, 9.9, 12.3, 29.5]]
    upright, _ = turned(tmp_path, orientation, record(1, segmentation=triangle), keep_polygons=False)
    stored = mask_from_rle(rle_from_segmentation(triangle, HEIGHT, WIDTH))
    (annotation,) = upright.annotations
    assert np.array_equal(mask_from_rle(annotation["segmentation"]), as_seen_mask(stored, orientation))


@pytest.mark.parametrize(
    "broken", [{"bbox": [1, 2, "x", 4]}, {"bbox": None}, {"segmentation": "x"}, {"keypoints": [1]}]
)
def test_what_is_broken_stays_for_others_to_name(tmp_path, broken):
    upright, _ = turned(tmp_path, 6, record(1, **broken))
    (annotation,) = upright.annotations
    for key, value in broken.items():
        assert annotation[key] == value


FORMATS = [
    ("yolo-seg", "out", "masks"),
    ("labelme", "out", "masks"),
    ("labelme", "out", "polygons"),
    ("label-studio", "out.json", "masks"),
    ("label-studio", "out.json", "polygons"),
    ("cvat", "out.zip", "masks"),
    ("cvat", "out.zip", "polygons"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    return tmp_path


def photo(folder: Path, orientation: int, *annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Write a photo and a COCO file of boxes and masks on it as it is stored."""
    save_turned(folder / "photos/a.jpg", smooth(HEIGHT, WIDTH), orientation)
    document = content("a.jpg", *annotations, **more)
    (folder / "a.json").write_text(json.dumps(document))
    return document


@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
@pytest.mark.parametrize(("name", "out", "shapes"), FORMATS)
def test_masks_and_boxes_come_back_from_tools_that_turn_pictures(folder, capfd, name, out, shapes, orientation):
    before = photo(folder, orientation, record(1, MASK))
    outcome = run_mal(capfd, "convert", "a.json", out, "--to", name, "--shapes", shapes, "--images", "photos")
    assert (
        "changed, viewers turn this picture (EXIF orientation), so its size, boxes and masks are turned" in outcome.out
    )
    outcome = run_mal(capfd, "convert", out, "back.json", "--images", "photos")
    assert "are turned back to how it is stored: 1 (a.jpg)" in outcome.out
    after = json.loads(Path("back.json").read_text())
    (annotation,) = after["annotations"]
    assert after["images"] == before["images"]
    assert np.array_equal(mask_from_rle(rle_from_segmentation(annotation["segmentation"], HEIGHT, WIDTH)), MASK)
    if name != "yolo-seg":
        assert annotation | {"segmentation": 0} == before["annotations"][0] | {"segmentation": 0}


@pytest.mark.parametrize(("name", "out", "shapes"), [each for each in FORMATS if each[0] != "yolo-seg"])
def test_shapes_come_back_without_the_pictures_too(folder, name, out, shapes):
    before = photo(folder, 6, record(1, MASK))
    assert main(["convert", "a.json", out, "--to", name, "--shapes", shapes, "--images", "photos"]) == 0
    assert main(["convert", out, "back.json"]) == 0
    after = json.loads(Path("back.json").read_text())
    assert after["images"] == before["images"]
    assert after["annotations"][0]["bbox"] == before["annotations"][0]["bbox"]


def test_labelme_finds_the_size_that_it_shows_and_shapes_in_their_place(folder):
    photo(folder, 6, record(1, MASK), record(2))
    assert main(["convert", "a.json", "lm", "--to", "labelme", "--images", "photos"]) == 0
    document = json.loads(Path("lm/a.json").read_text())
    with Image.open("photos/a.jpg") as picture:
        shown = ImageOps.exif_transpose(picture)
    assert (document["imageWidth"], document["imageHeight"]) == shown.size
    shape, box = document["shapes"]
    with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as window:
        seen = np.zeros(shown.size[::-1], bool)
        (x0, y0), (x1, y1) = [[int(side) for side in point] for point in shape["points"]]
        seen[y0 : y1 + 1, x0 : x1 + 1] = np.asarray(window)
    assert np.array_equal(seen, as_seen_mask(MASK, 6))
    assert box["points"] == [[HEIGHT - 20.0, 7.0], [HEIGHT - 4.0, 31.0]]


@pytest.mark.parametrize("name", ["yolo", "yolo-seg"])
def test_shares_of_yolo_are_those_of_the_picture_that_ultralytics_loads(folder, name):
    photo(folder, 6, record(1, segmentation=[[7, 4, 31, 4, 31, 20, 7, 20]]))
    assert main(["convert", "a.json", "ys", "--to", name, "--images", "photos", "--pictures", "copy"]) == 0
    numbers = [float(word) for word in Path("ys/labels/train/a.txt").read_text().split()[1:]]
    width, height = HEIGHT, WIDTH
    if name == "yolo":
        x, y, w, h = (share * side for share, side in zip(numbers, (width, height, width, height), strict=True))
        edges = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
    else:
        xs, ys = np.array(numbers[0::2]) * width, np.array(numbers[1::2]) * height
        edges = [xs.min(), ys.min(), xs.max(), ys.max()]
    assert edges == pytest.approx([HEIGHT - 20, 7, HEIGHT - 4, 31], abs=1e-4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_yolo_boxes_of_a_turned_photo_become_boxes_of_the_stored_one_or_of_the_turned_one(folder, orientation):
    save_turned(folder / "photos/a.jpg", smooth(HEIGHT, WIDTH), orientation)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[4:20, 7:31] = True
    seen = as_seen_mask(mask, orientation)
    rows, columns = np.nonzero(seen)
    x0, x1, y0, y1 = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
    height, width = seen.shape
    shares = [(x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height]
    Path("labels").mkdir()
    Path("labels/a.txt").write_text("0 " + " ".join(map(str, shares)))
    Path("classes.txt").write_text("nut\n")
    for exif, expected in (("stored", [7, 4, 24, 16]), ("upright", [x0, y0, x1 - x0, y1 - y0])):
        command = ["convert", ".", f"{exif}.json", "--from", "yolo", "--images", "photos", "--exif", exif]
        assert main(command) == 0
        document = json.loads(Path(f"{exif}.json").read_text())
        assert document["annotations"][0]["bbox"] == pytest.approx(expected, abs=1e-3)
        assert (document.get("mal") == {"exif": "upright"}) == (exif == "upright")


def test_boxes_drawn_on_the_turned_photo_go_to_such_tools_as_they_are(folder, capfd):
    photo(folder, 6, record(1, bbox=[4.0, 7.0, 16.0, 24.0]), size=(HEIGHT, WIDTH))
    outcome = run_mal(capfd, "convert", "a.json", "lm", "--to", "labelme", "--images", "photos", "--exif", "upright")
    assert outcome.exit_code == 0
    assert "turned" not in outcome.out
    document = json.loads(Path("lm/a.json").read_text())
    assert (document["imageWidth"], document["imageHeight"]) == (HEIGHT, WIDTH)
    assert document["shapes"][0]["points"] == [[4.0, 7.0], [20.0, 31.0]]


def test_a_labelme_file_of_the_stored_size_is_not_turned_again(folder, capfd):
    save_turned(folder / "photos/a.jpg", smooth(HEIGHT, WIDTH), 6)
    shape = {"label": "nut", "points": [[7, 4], [31, 20]], "shape_type": "rectangle", "group_id": None}
    document = {"imagePath": "a.jpg", "imageWidth": WIDTH, "imageHeight": HEIGHT, "shapes": [shape], "imageData": None}
    (folder / "photos/a.json").write_text(json.dumps(document))
    assert run_mal(capfd, "convert", "photos", "back.json", "--from", "labelme").exit_code == 0
    assert json.loads(Path("back.json").read_text())["annotations"][0]["bbox"] == [7, 4, 24, 16]


def test_labelme_of_turned_photos_is_turned_back_by_the_pictures_beside_it(folder, capfd):
    save_turned(folder / "photos/a.jpg", smooth(HEIGHT, WIDTH), 6)
    shape = {"label": "nut", "points": [[12, 7], [28, 31]], "shape_type": "rectangle", "group_id": None}
    document = {"imagePath": "a.jpg", "imageWidth": HEIGHT, "imageHeight": WIDTH, "shapes": [shape], "imageData": None}
    (folder / "photos/a.json").write_text(json.dumps(document))
    assert run_mal(capfd, "convert", "photos", "back.json", "--from", "labelme").exit_code == 0
    back = json.loads(Path("back.json").read_text())
    assert back["annotations"][0]["bbox"] == [7, 4, 24, 16]
    assert (back["images"][0]["width"], back["images"][0]["height"]) == (WIDTH, HEIGHT)


def test_without_the_pictures_one_line_says_that_nobody_has_looked(folder, capfd):
    photo(folder, 6, record(1, MASK))
    outcome = run_mal(capfd, "convert", "a.json", "lm", "--to", "labelme")
    (line,) = [line for line in outcome.out.splitlines() if "EXIF" in line]
    assert "without --images nobody has looked whether some are turned" in line
    outcome = run_mal(capfd, "convert", "a.json", "polygons.json", "--shapes", "polygons")
    assert "EXIF" not in outcome.out


def test_coco_to_coco_leaves_turned_pictures_alone_and_counts_them(folder, capfd):
    photo(folder, 6, record(1, MASK))
    outcome = run_mal(capfd, "convert", "a.json", "b.json", "--images", "photos")
    assert "1 of 1 pictures have an EXIF orientation" in outcome.out
    assert json.loads(Path("b.json").read_text())["annotations"][0]["segmentation"] == rle_from_mask(MASK)


def test_a_file_marked_as_upright_stays_so_in_coco(folder, capfd):
    document = photo(folder, 6, record(1, as_seen_mask(MASK, 6)), size=(HEIGHT, WIDTH)) | {"mal": {"exif": "upright"}}
    Path("a.json").write_text(json.dumps(document))
    assert run_mal(capfd, "convert", "a.json", "b.json", "--shapes", "polygons", "--images", "photos").exit_code == 0
    after = json.loads(Path("b.json").read_text())
    assert after["mal"] == {"exif": "upright"}
    rle = rle_from_segmentation(after["annotations"][0]["segmentation"], WIDTH, HEIGHT)
    assert rle_area(rle) == MASK.sum()
