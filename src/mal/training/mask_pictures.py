"""Draw a few validation masks as an image in TensorBoard, the same boxes every time."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
from lightning import Callback, LightningModule, Trainer
from PIL import Image
from torch import Tensor

from mal.coco.boxes import Boxes
from mal.data.label_dataset import CropBatch
from mal.masks.paste import PastedMask
from mal.masks.rle import mask_from_rle
from mal.metrics.evaluator import Evaluator
from mal.metrics.iou import mask_iou
from mal.report.contact_sheet import PAPER, contact_sheet
from mal.report.mask_crop import mask_tile
from mal.report.overlay import Pixels
from mal.size_bins import SIZE_NAMES, size_bin
from mal.training.loggers import TensorBoardLog

TAG = "val/masks"
NUM_TILES, COLUMNS = 8, 4
LEGEND = "Tinted: the predicted mask. White line: the true one. Frame: the box. In the corner: the IoU of both masks."


class MaskPictures(Callback):
    """Draws some masks of each validation, small objects first, without another forward pass.

    Rank 0 draws those of the chosen boxes that it validates; nothing is gathered from other ranks, so the number of
    tiles varies a little with the world size.

    Args:
        boxes: validation boxes.
        evaluator: makes the masks and has the true ones.
    """

    def __init__(self, boxes: Boxes, evaluator: Evaluator) -> None:
        self._boxes = boxes
        self._evaluator = evaluator
        self._chosen: set[int] | None = None
        self._tiles: list[tuple[float, Pixels]] = []

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the boxes, once."""
        if self._chosen is None and trainer.is_global_zero:
            rows = np.flatnonzero(self._boxes.has_mask)
            areas = self._boxes.visible_sizes[rows].prod(axis=1)
            rows = rows[spread_over_sizes(areas, NUM_TILES * trainer.world_size)]
            self._chosen = set(self._boxes.positions[rows].tolist())
        self._tiles = []

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: CropBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the chosen boxes of this batch; ``outputs`` are its probabilities, (B, 1, S, S)."""
        for index, box in enumerate(batch.boxes):
            if self._chosen is not None and box.position in self._chosen:
                self._draw(batch, index, outputs)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the tiles into one image."""
        loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLog)]
        if not self._tiles or not loggers:
            return
        by_size = [tile for _, tile in sorted(self._tiles, key=itemgetter(0))]
        picture = mask_sheet(by_size, f"Epoch {trainer.current_epoch + 1}")
        for logger in loggers:
            logger.log_picture(TAG, picture, trainer.global_step - 1)  # as the trainer counts for metrics
        self._tiles = []

    def _draw(self, batch: CropBatch, index: int, probs: Tensor) -> None:
        box = batch.boxes[index]
        truth = self._evaluator.truth.rle(box)
        if truth is None:
            return
        mask = self._evaluator.mask(batch, index, probs[index, 0].float().cpu().numpy())
        x0, y0, x1, y1 = box.xyxy
        tile = mask_tile(
            _visible_part(batch, index, mask),
            mask.window,
            mask_from_rle(truth)[mask.place],
            (x0 - mask.x0, y0 - mask.y0, x1 - mask.x0, y1 - mask.y0),
            iou=mask_iou(mask.rle(), truth),
            caption=f"{SIZE_NAMES[size_bin(box.area)]}, {x1 - x0:.0f} x {y1 - y0:.0f}, annotation {box.annotation_id}",
        )
        self._tiles.append((box.area, tile))


def spread_over_sizes(areas: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    """Choose at most ``count`` of (N,) areas, evenly spaced by rank of size; returns indices, small to large."""
    by_size = np.argsort(areas, kind="stable")
    if len(by_size) <= count:
        return by_size
    return by_size[(2 * np.arange(count) + 1) * len(by_size) // (2 * count)]


def mask_sheet(tiles: Sequence[Pixels], heading: str) -> Pixels:
    """Arrange tiles of equal size in rows under a heading, (H, W, 3) uint8; leaves some out if there are many."""
    if len(tiles) > NUM_TILES:
        tiles = [tiles[number * len(tiles) // NUM_TILES] for number in range(NUM_TILES)]
    columns = min(COLUMNS, len(tiles))
    tiles = [*tiles, *[np.full_like(tiles[0], PAPER)] * (-len(tiles) % columns)]
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    return contact_sheet(
        rows, heading=heading, lines=[LEGEND], column_titles=[""] * columns, row_notes=[""] * len(rows)
    )


def _visible_part(batch: CropBatch, index: int, mask: PastedMask) -> Pixels:
    """The part of a crop inside the mask's window, which is the part inside the image; (S, S, 3)."""
    x0, y0, x1, y1 = batch.frames[index]
    height, width = mask.window.shape
    pixels = np.ascontiguousarray(batch.images[index].transpose(1, 2, 0))
    size = pixels.shape[0]
    left, right = (size * (mask.x0 - x0 + part) / (x1 - x0) for part in (0, width))
    top, bottom = (size * (mask.y0 - y0 + part) / (y1 - y0) for part in (0, height))
    part = Image.fromarray(pixels).resize((size, size), box=(left, top, right, bottom))
    return np.asarray(part)
