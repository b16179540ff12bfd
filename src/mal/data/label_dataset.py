"""The labeling dataset: chunks of images, each decoded once, as batches of crops.

The last digits of a prediction depend on the other boxes in the batch. So batches are planned from the annotation file
and the batch size alone: for any number of processes, and after any interruption, the same boxes share a batch, and
masks are bit-identical.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mal.coco.boxes import Box, Boxes
from mal.data.crops import (
    Border,
    IntBox,
    crop_box_mask,
    crop_frame,
    crop_image,
    crop_planes,
    expand_box,
    label_margins,
    to_planes,
)
from mal.data.images import image_path, read_record_image
from mal.data.worker_processes import reading_image
from mal.errors import UserError
from mal.ops.compiled import fast_module
from mal.size_bins import SIZE_NAMES, size_bin

ENOUGH_TO_COMPILE = 2000  # boxes: numba takes half a second to load, and saves half a millisecond a box
BATCHES_IN_A_CHUNK = 16  # many batches of one size for each that is mixed, and little work for each decision


class BoxChunks:
    """Split boxes into chunks of whole images with at least 16 batches each; the last may have fewer.

    Args:
        boxes: the boxes of an image next to each other.
        batch_size: boxes that the network sees at once.
    """

    def __init__(self, boxes: Boxes, batch_size: int) -> None:
        starts = np.flatnonzero(np.diff(boxes.image_rows, prepend=-1))  # of the boxes of an image
        self._image_starts = np.append(starts, len(boxes))
        bounds = [0]
        while bounds[-1] < len(starts):
            enough = self._image_starts[bounds[-1]] + BATCHES_IN_A_CHUNK * batch_size
            bounds.append(min(int(np.searchsorted(self._image_starts, enough)), len(starts)))
        self._image_bounds = bounds

    def __len__(self) -> int:
        return len(self._image_bounds) - 1

    def rows(self, chunk: int) -> range:
        """The boxes of a chunk, by row."""
        first, last = self._image_bounds[chunk : chunk + 2]
        return range(int(self._image_starts[first]), int(self._image_starts[last]))

    def images(self, chunk: int) -> Iterator[range]:
        """The boxes of each image of a chunk, by row."""
        first, last = self._image_bounds[chunk : chunk + 2]
        for image in range(first, last):
            yield range(int(self._image_starts[image]), int(self._image_starts[image + 1]))

    def unfinished(self, done: npt.NDArray[np.bool_]) -> list[int]:
        """The chunks that hold a box which is not done.

        Args:
            done: (N,) bool, by row.
        """
        starts = self._image_starts[self._image_bounds[:-1]]
        return np.flatnonzero(~np.logical_and.reduceat(done, starts)).tolist() if len(starts) else []


def plan_batches(sizes: Sequence[int], batch_size: int) -> list[list[int]]:
    """Plan the batches of a chunk: boxes of one size bin share a batch.

    Args:
        sizes: the size bin of each box, see `mal.size_bins.size_bin`.
        batch_size: boxes in a batch.

    Returns:
        Each batch as indices into ``sizes``: those of one size in the order in which they become full, then what is
        left of all sizes, mixed.
    """
    waiting: list[list[int]] = [[] for _ in SIZE_NAMES]
    batches = []
    for index, size in enumerate(sizes):
        alike = waiting[size]
        alike.append(index)
        if len(alike) == batch_size:
            batches.append(alike)
            waiting[size] = []
    rest = [index for alike in waiting for index in alike]
    return batches + [rest[start : start + batch_size] for start in range(0, len(rest), batch_size)]


@dataclass(frozen=True, slots=True)
class CropBatch:
    """A batch of crops, with what is needed to paste their masks into the images.

    Attributes:
        images: (B, 3, S, S) uint8.
        box_mask: (B, 1, S, S) uint8, 0 or 1.
        box_area: (B,) float32, pixels of the full image.
        frames: B crop frames, x0 y0 x1 y1 in pixels of the full image.
        boxes: the B boxes.
        failures: boxes that have no crop, each with the reason. They are in none of the other fields.
        box_input: (B, 1, S, S) uint8, the boxes themselves where masks may leave them; None where they may not, so that
            these are the box masks.
    """

    images: npt.NDArray[np.uint8]
    box_mask: npt.NDArray[np.uint8]
    box_area: npt.NDArray[np.float32]
    frames: tuple[IntBox, ...]
    boxes: tuple[Box, ...]
    failures: tuple[tuple[Box, str], ...] = field(default=())
    box_input: npt.NDArray[np.uint8] | None = None

    @property
    def network_box(self) -> npt.NDArray[np.uint8]:
        """The boxes as an input of the network, (B, 1, S, S) uint8, 0 or 1."""
        return self.box_mask if self.box_input is None else self.box_input

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, slots=True)
class CropSettings:
    """Crop options for labeling.

    Attributes:
        crop_size: side of the crops in pixels.
        margin_rate: margin of the frame, as in ``train.test_margin_rate``.
        border: what lies outside the image.
        allow_outside: how far a mask may leave its box, as a share of the box's width and height.
    """

    crop_size: int = 512
    margin_rate: Sequence[float] = (0.6, 0.6)
    border: Border = "wrap"
    allow_outside: float = 0.0


def crop_boxes(image: np.ndarray, boxes: Sequence[Box], settings: CropSettings, *, compiled: bool = False) -> CropBatch:
    """Crop several boxes of one image.

    Args:
        image: (H, W, 3) uint8.
        boxes: at least one box of this image.
        settings: how to cut.
        compiled: cut by numba where it is there: the same pixels in half the time, once it has loaded.
    """
    size = settings.crop_size
    height, width = image.shape[:2]
    frames = tuple(crop_frame(box.xyxy, label_margins(settings.margin_rate)) for box in boxes)
    if compiled:
        crops = [crop_planes(image, frame, size, settings.border) for frame in frames]
    else:
        crops = [to_planes(crop_image(image, frame, size, settings.border)) for frame in frames]

    def masks(share: float) -> npt.NDArray[np.uint8]:
        grown = [expand_box(box.xyxy, share) for box in boxes]
        of_boxes = [crop_box_mask(box, frame, (width, height), size) for box, frame in zip(grown, frames, strict=True)]
        return np.stack(of_boxes)[:, None]

    return CropBatch(
        images=np.stack(crops),
        box_mask=masks(settings.allow_outside),
        box_area=np.array([box.area for box in boxes], np.float32),
        frames=frames,
        boxes=tuple(boxes),
        box_input=masks(0.0) if settings.allow_outside else None,
    )


class BoxCropIterable:
    """Batches of crops from a folder of images.

    Chunks of images (see :class:`~mal.data.label_dataset.BoxChunks`) are shared out between processes and their loader
    workers, see `mal.data.crop_loader`. Each image is decoded once, and a chunk's batches are filled across its images;
    at most three batches of crops wait at a time. A missing or damaged image becomes failures of its boxes, in a batch
    of its own, never an exception; the batches that its boxes would have been in are smaller.

    Args:
        boxes: what to crop, the boxes of an image next to each other.
        img_dir: folder of the images.
        settings: how to cut.
        batch_size: crops in a batch; the last ones of a chunk may be smaller.
        rank: number of this process.
        world_size: number of processes.
        done: (N,) bool, boxes that need no crop; a batch that has others too is given whole, so that the same boxes
            always share it. None where no box is done.
        chunks: numbers of the chunks to give; None gives all.
    """

    def __init__(
        self,
        boxes: Boxes,
        img_dir: Path,
        settings: CropSettings,
        *,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        done: npt.NDArray[np.bool_] | None = None,
        chunks: Collection[int] | None = None,
    ) -> None:
        self.boxes = boxes
        self.img_dir = img_dir
        self.settings = settings
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size
        self._is_compiled = len(boxes) >= ENOUGH_TO_COMPILE and fast_module("crop_numba") is not None
        self._plan = BoxChunks(boxes, batch_size)
        self._done = np.zeros(len(boxes), np.bool_) if done is None else done
        unfinished = self._plan.unfinished(self._done)
        self._chunks = [chunk for chunk in unfinished if chunks is None or chunk in chunks]

    @property
    def num_chunks(self) -> int:
        """Number of chunks of all processes together."""
        return len(self._chunks)

    def __iter__(self) -> Iterator[CropBatch]:
        return self.share(0, 1)

    def share(self, worker: int, num_workers: int) -> Iterator[CropBatch]:
        """The batches of one of this process's workers, by its number."""
        for chunk in self._chunks[self.rank * num_workers + worker :: self.world_size * num_workers]:
            yield from self._chunk_batches(chunk)

    def _chunk_batches(self, chunk: int) -> Iterator[CropBatch]:
        rows = self._plan.rows(chunk)
        boxes = self.boxes[rows.start : rows.stop]
        batches = [
            batch
            for batch in plan_batches([size_bin(box.area) for box in boxes], self.batch_size)
            if not self._done[np.add(batch, rows.start)].all()
        ]
        batch_of = {boxes[index].position: number for number, batch in enumerate(batches) for index in batch}
        missing = [len(batch) for batch in batches]
        waiting: list[list[CropBatch]] = [[] for _ in batches]
        for image in self._plan.images(chunk):
            of_image = boxes[image.start - rows.start : image.stop - rows.start]
            for crop in self._image_crops([box for box in of_image if box.position in batch_of]):
                if crop.failures:
                    yield crop
                for box in (*crop.boxes, *(box for box, _ in crop.failures)):
                    number = batch_of[box.position]
                    missing[number] -= 1
                    waiting[number] += [crop] if crop.boxes else []
                    if not missing[number] and waiting[number]:
                        yield join_crops(waiting[number])
                        waiting[number] = []

    def image_name(self, position: int) -> str:
        """Path of the image of a position."""
        record = next(image for image in self.boxes.images if image.position == position)
        return str(image_path(self.img_dir, record.file_name))

    def _image_crops(self, boxes: Sequence[Box]) -> Iterator[CropBatch]:
        """Yield the crops of an image's boxes one at a time, or their failures."""
        if not boxes:
            return
        record = boxes[0].image
        try:
            with reading_image(record.position):
                image = read_record_image(self.img_dir, record)
        except UserError as error:
            yield _failed(boxes, str(error), self.settings.crop_size)
            return
        for box in boxes:
            with reading_image(record.position):
                crop = crop_boxes(image, [box], self.settings, compiled=self._is_compiled)
            yield crop


def _failed(boxes: Sequence[Box], reason: str, size: int) -> CropBatch:
    return CropBatch(
        images=np.empty((0, 3, size, size), np.uint8),
        box_mask=np.empty((0, 1, size, size), np.uint8),
        box_area=np.empty(0, np.float32),
        frames=(),
        boxes=(),
        failures=tuple((box, reason) for box in boxes),
    )


def join_crops(crops: Sequence[CropBatch]) -> CropBatch:
    """Make one batch of several; failures are left out."""
    inputs = [crop.box_input for crop in crops if crop.box_input is not None]
    return CropBatch(
        images=np.concatenate([crop.images for crop in crops]),
        box_mask=np.concatenate([crop.box_mask for crop in crops]),
        box_area=np.concatenate([crop.box_area for crop in crops]),
        frames=tuple(frame for crop in crops for frame in crop.frames),
        boxes=tuple(box for crop in crops for box in crop.boxes),
        box_input=np.concatenate(inputs) if inputs else None,
    )
