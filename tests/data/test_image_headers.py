from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mal.coco.coco_file import read_coco
from mal.coco.tables import ImageRecord, ImageTable
from mal.data.image_headers import check_images
from mal.data.images import read_record_image
from mal.errors import UserError

WIDTH, HEIGHT = 48, 32
PIXELS = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def find_issue(folder: Path, name: str, *, deep: bool = False, size: tuple[int, int] = (WIDTH, HEIGHT)):
    """What is found about one picture; None for a plain one."""
    images = ImageTable([ImageRecord(1, name, *size, position=0)])
    ((count, found),) = check_images(images, folder, deep=deep)
    assert count == 1
    return found[0] if found else None


def save(folder: Path, name: str, mode: str = "RGB", **options) -> str:
    Image.fromarray(PIXELS).convert(mode).save(folder / name, **options)
    return name


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp"])
def test_there_is_nothing_to_say_about_a_plain_picture(tmp_path, name, deep):
    assert find_issue(tmp_path, save(tmp_path, name), deep=deep) is None


def test_faults_are_told_in_the_words_of_reading_the_picture(tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    save(tmp_path, "other_size.png")
    for name in ("text.jpg", "folder.png", "other_size.png", "missing.jpg", "../outside.jpg", "nul\0.jpg"):
        found = find_issue(tmp_path, name, size=(99, 99))
        with pytest.raises(UserError) as said:
            read_record_image(tmp_path, ImageRecord(1, name, 99, 99, position=0))
        assert found.fault == str(said.value)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_picture_that_is_cut_off_is_found_without_decoding_the_others(tmp_path, name):
    path = tmp_path / save(tmp_path, name)
    path.write_bytes(path.read_bytes()[:-90])
    assert "is damaged" in find_issue(tmp_path, name).fault


def test_bytes_behind_the_end_of_a_picture_are_no_fault(tmp_path):
    path = tmp_path / save(tmp_path, "a.jpg")
    path.write_bytes(path.read_bytes() + bytes(5000))
    assert find_issue(tmp_path, "a.jpg") is None


def test_damage_inside_a_picture_is_found_by_decoding(tmp_path):
    path = tmp_path / save(tmp_path, "a.png")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8] = bytes(8)
    path.write_bytes(content)
    assert find_issue(tmp_path, "a.png") is None
    assert "is damaged" in find_issue(tmp_path, "a.png", deep=True).fault


def test_pixels_without_a_known_range_are_a_fault(tmp_path):
    Image.fromarray(np.full((HEIGHT, WIDTH), 0.5, dtype=np.float32)).save(tmp_path / "a.tif")
    assert "no known range" in find_issue(tmp_path, "a.tif").fault


def test_colours_that_are_not_converted_are_a_fault(tmp_path):
    Image.new("LAB", (WIDTH, HEIGHT)).save(tmp_path / "a.tif")
    assert "Lab colours are not converted" in find_issue(tmp_path, "a.tif").fault


@pytest.mark.parametrize(
    ("name", "mode", "said"),
    [
        ("a.jpg", "CMYK", "four inks"),
        ("a.png", "P", "palette"),
        ("a.png", "RGBA", "transparency is dropped"),
        ("a.png", "LA", "transparency is dropped"),
        ("a.png", "I;16", "grey of more than 8 bits"),
    ],
)
def test_a_conversion_is_remarked(tmp_path, name, mode, said):
    picture = Image.fromarray(PIXELS)
    picture = Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257) if mode == "I;16" else picture.convert(mode)
    picture.save(tmp_path / name)
    found = find_issue(tmp_path, name)
    assert found.fault is None
    assert said in found.remarks[0]


def test_several_pictures_in_a_file_are_remarked(tmp_path):
    picture = Image.fromarray(PIXELS).convert("P")
    picture.save(tmp_path / "a.gif", save_all=True, append_images=[picture.rotate(90)])
    assert any("only the first is used" in remark for remark in find_issue(tmp_path, "a.gif").remarks)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_a_picture_that_viewers_turn_is_remarked(tmp_path, name):
    exif = Image.Exif()
    exif[274] = 6
    save(tmp_path, name, exif=exif)
    assert find_issue(tmp_path, name).remarks == (
        "has EXIF orientation 6, so that viewers turn it: used as it is stored, which its boxes must be drawn on",
    )
    turned = find_issue(tmp_path, name, size=(HEIGHT, WIDTH))
    assert "pixels, but its record" in turned.fault
    assert "its record has the size of the turned picture" in turned.remarks[0]


@pytest.mark.parametrize("orientation", [1, 0, 9])
def test_an_upright_picture_is_no_news(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    assert find_issue(tmp_path, save(tmp_path, "a.jpg", exif=exif)) is None


def test_damaged_exif_is_as_none(tmp_path):
    assert find_issue(tmp_path, save(tmp_path, "a.jpg", exif=b"Exif\0\0damaged")) is None


def test_findings_come_in_the_order_of_the_table_whoever_is_first(tmp_path):
    save(tmp_path, "a.png")
    records = [ImageRecord(n, "a.png" if n % 3 else f"{n}.png", WIDTH, HEIGHT, position=n) for n in range(700)]
    counts, found = zip(*check_images(ImageTable(records), tmp_path), strict=True)
    rows = [issue.row for part in found for issue in part]
    assert sum(counts) == 700
    assert rows == list(range(0, 700, 3))


def test_the_headers_of_the_nasty_pictures_tell_all_but_nothing_of_the_good_ones(shared):
    folder = shared / "data/nasty"
    images = read_coco(folder / "annotations/nasty.json").images
    found = [issue for _, part in check_images(images, folder / "images") for issue in part]
    assert {issue.image.id for issue in found if issue.fault} == {8, 9, 10, 17, 18}
    assert {issue.image.id for issue in found if issue.remarks} == {3, 4, 5, 6, 7, 15}
