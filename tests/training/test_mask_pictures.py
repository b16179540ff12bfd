from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mal.data.label_dataset import CropBatch
from mal.masks.paste import paste_mask
from mal.masks.rle import rle_from_mask
from mal.report.mask_crop import CAPTION, SIDE
from mal.training.loggers import TensorBoardLog
from mal.training.mask_pictures import NUM_TILES, MaskPictures, mask_sheet, spread_over_sizes


@given(areas=arrays(np.float64, st.integers(0, 60), elements=st.floats(1, 1e6)), count=st.integers(1, 20))
def test_chosen_boxes_are_different_ones_from_small_to_large(areas, count):
    chosen = spread_over_sizes(areas, count)
    assert len(chosen) == len(set(chosen.tolist())) == min(count, len(areas))
    assert (np.diff(areas[chosen]) >= 0).all()


def test_chosen_boxes_are_spread_over_all_sizes():
    areas = np.arange(80.0)[::-1]
    assert areas[spread_over_sizes(areas, 8)].tolist() == [5, 15, 25, 35, 45, 55, 65, 75]


def test_a_sheet_has_rows_of_four_and_leaves_tiles_out_where_there_are_many():
    tile = np.zeros((SIDE + CAPTION, SIDE, 3), dtype=np.uint8)
    shapes = {count: mask_sheet([tile] * count, "x").shape for count in (1, 4, 5, 8, 20)}
    assert shapes[1][1] < shapes[4][1] == shapes[5][1]
    assert shapes[4][0] < shapes[5][0] == shapes[8][0] == shapes[20][0]


class Boxes(list):
    """Boxes with the arrays that the pictures are chosen by."""

    @property
    def positions(self):
        return np.array([box.position for box in self])

    @property
    def visible_sizes(self):
        return np.array([[box.area**0.5] * 2 for box in self])

    @property
    def has_mask(self):
        return np.array([box.position not in WITHOUT_MASK for box in self])


WITHOUT_MASK = {3, 5}
IMAGE_SIZE = 60, 50  # width, height
GRAY, RED = (90, 90, 90), (255, 0, 0)


def box(position: int) -> SimpleNamespace:
    side = 10.0 + position
    return SimpleNamespace(position=position, annotation_id=position, area=side**2, xyxy=(5.0, 5.0, 5.0 + side, 15.0))


class Evaluator:
    """True masks that fill the upper left of the image."""

    def __init__(self) -> None:
        mask = np.zeros(IMAGE_SIZE[::-1], dtype=bool)
        mask[:20, :20] = True
        self.truth = SimpleNamespace(rle=lambda box: rle_from_mask(mask))

    def mask(self, batch, index, prob):
        return paste_mask(prob, batch.frames[index], IMAGE_SIZE, 0.5)


def validate(callback: MaskPictures, boxes: Boxes, folder, *, rank: int = 0, epoch: int = 0) -> list[tuple]:
    """One validation; what it logged."""
    logged = []
    logger = TensorBoardLog(folder, 0)
    logger.log_picture = lambda tag, picture, step: logged.append((tag, picture, step))
    trainer = SimpleNamespace(
        is_global_zero=rank == 0, world_size=1, loggers=[logger], current_epoch=epoch, global_step=7
    )
    callback.on_validation_start(trainer, None)
    images = np.full((len(boxes), 3, 32, 32), 90, np.uint8)
    images[..., :6] = np.array(RED)[:, None, None]  # a frame that begins 10 of its 50 columns left of the image
    batch = CropBatch(
        images=images,
        box_mask=np.ones((len(boxes), 1, 32, 32), np.uint8),
        box_area=np.ones(len(boxes), np.float32),
        frames=tuple((-10, -10, 40, 30) for _ in boxes),
        boxes=tuple(boxes),
    )
    callback.on_validation_batch_end(trainer, None, torch.zeros(len(boxes), 1, 32, 32), batch, 0)
    callback.on_validation_batch_end(trainer, None, None, SimpleNamespace(boxes=()), 1)
    callback.on_validation_end(trainer, None)
    return logged


@pytest.fixture
def boxes() -> Boxes:
    return Boxes(box(position) for position in range(30))


def test_every_validation_shows_the_same_boxes_at_its_last_step(boxes, tmp_path, monkeypatch):
    callback, captions = MaskPictures(boxes, Evaluator()), []
    monkeypatch.setattr(
        "mal.training.mask_pictures.mask_tile",
        lambda *_, iou, caption: captions.append(caption) or np.zeros((SIDE + CAPTION, SIDE, 3), dtype=np.uint8),
    )
    (first,) = validate(callback, boxes, tmp_path)
    (second,) = validate(callback, boxes, tmp_path, epoch=1)
    assert (first[0], first[2]) == ("val/masks", 6)
    assert captions[:NUM_TILES] == captions[NUM_TILES:]
    assert len(set(captions)) == NUM_TILES
    assert not any(caption.endswith(("annotation 3", "annotation 5")) for caption in captions)
    assert first[1].shape == second[1].shape


def test_tiles_leave_out_what_lies_outside_the_image(boxes, tmp_path):
    ((_, picture, _),) = validate(MaskPictures(boxes, Evaluator()), boxes, tmp_path)
    assert (picture == GRAY).all(axis=2).any()
    assert not (picture == RED).all(axis=2).any()


def test_the_first_process_draws(boxes, tmp_path):
    assert validate(MaskPictures(boxes, Evaluator()), boxes, tmp_path, rank=1) == []
