from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mal.coco.coco_file import read_coco
from mal.data.images import read_image
from mal.errors import UserError
from mal.labeler import MaskAutoLabeler
from mal.models.ema import make_teacher
from mal.models.from_spec import crop_settings
from mal.models.prediction_mode import PredictionMode
from mal.tasks.label_photos import label_photos
from mal.tasks.photo import Photo
from tests.small_networks import small_network, small_spec


@dataclass(frozen=True)
class Desk:
    folder: Path

    def photo(self, name: str, *boxes, size: tuple[int, int] = (48, 40)) -> Photo:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)).save(path)
        return Photo(path, boxes or ((4, 5, 20, 22),), self.folder / f"{path.parent.name}_{path.stem}_masks.png")

    def label(self, *photos: Photo) -> int:
        spec = small_spec(inference={"checkpoint": str(self.folder / "m.pth")})
        return label_photos(photos, spec, lambda: (LABELER, spec), out=self.folder / "masks.json", overwrite=False)

    @property
    def document(self) -> dict:
        return json.loads((self.folder / "masks.json").read_text())


LABELER = MaskAutoLabeler(
    small_network(),
    make_teacher(small_network()),
    crop=crop_settings(small_spec(dataset={"crop_size": 32})),
    thresholds=[0.5],
    mode=PredictionMode(),
)


@pytest.fixture
def desk(tmp_path) -> Desk:
    return Desk(tmp_path)


def test_every_photo_gets_its_overlay_and_its_place_in_the_file(desk):
    first, second = desk.photo("a.png", (4, 5, 20, 22), (1, 1, 9, 9)), desk.photo("b.png", size=(60, 30))
    assert desk.label(first, second) == 0
    assert [read_image(photo.overlay).shape[:2] for photo in (first, second)] == [(40, 48), (30, 60)]
    assert [image["file_name"] for image in desk.document["images"]] == ["a.png", "b.png"]
    assert [(record["id"], record["image_id"]) for record in desk.document["annotations"]] == [(1, 1), (2, 1), (3, 2)]
    assert [record["segmentation"]["size"] for record in desk.document["annotations"]] == [[40, 48], [40, 48], [30, 60]]


def test_photos_of_one_name_in_two_folders_are_told_apart(desk):
    assert desk.label(desk.photo("left/1.png"), desk.photo("right/1.png")) == 0
    assert [image["file_name"] for image in desk.document["images"]] == ["left/1.png", "right/1.png"]


def test_a_photo_that_cannot_be_read_is_a_failure_of_its_boxes_alone(desk, capsys):
    broken, whole = desk.photo("a.png"), desk.photo("b.png")
    broken.path.write_bytes(broken.path.read_bytes()[:100])
    assert desk.label(broken, whole) == 1
    assert f"failed: image {broken.path}" in capsys.readouterr().out.replace("\n", "")
    first, second = desk.document["annotations"]
    assert first["mal"]["status"] == "failed"
    assert "segmentation" not in first
    assert second["area"] >= 0
    assert len(read_coco(desk.folder / "masks.json").annotations) == 2


def test_where_no_photo_can_be_read_nothing_is_written(desk):
    broken = desk.photo("a.png")
    broken.path.write_bytes(b"")
    with pytest.raises(UserError, match=r"a\.png"):
        desk.label(broken)
    assert not (desk.folder / "masks.json").exists()


def test_a_box_outside_its_photo_has_an_empty_mask_that_says_why(desk):
    assert desk.label(desk.photo("a.png", (4, 5, 20, 22), (900, 900, 5, 5))) == 1
    assert desk.document["annotations"][1]["area"] == 0
    assert desk.document["annotations"][1]["mal"]["status"] == "failed"


def test_no_photo_is_written_over(desk):
    photo = desk.photo("a.png")
    with pytest.raises(UserError, match="would be written over"):
        desk.label(Photo(photo.path, photo.boxes, photo.path))
