"""The training dataset: a random crop around each box, in two views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from mal.coco.boxes import Box, Boxes
from mal.data.augment import change_colors
from mal.data.box_input import BoxInput, random_box_input
from mal.data.crops import Border, IntBox, crop_box_mask, crop_frame, crop_planes, random_margins
from mal.data.cut_grid import CutGrid
from mal.data.dataloader import FailFastDataLoader
from mal.data.images import ImageCache, image_path, read_record_image
from mal.data.targets import EllipseTargets, TargetBatch, TargetSettings, join_targets
from mal.data.true_targets import TrueTargets
from mal.data.worker_processes import reading_image
from mal.errors import UserError
from mal.masks.rle import Rle
from mal.ops.compiled import fast_module

FLIP_PROBABILITY = 0.5
CACHE_BYTES = 256 * 1024**2  # per worker process: some 300 photos of COCO's size

BOX_INPUT = 2  # number of the random stream of these inputs within a sample; targets have 1
REPEAT = 2  # of the sample that a box has once more in an epoch: this plus how often it had one already

SampleKey = tuple[int, ...]  # epoch and index of the box; and from the second sample in an epoch, how many were before


@dataclass(frozen=True, slots=True)
class TrainBatch:
    """A batch of training crops.

    Attributes:
        student_images: (B, 3, S, S) uint8, with color changes.
        teacher_images: (B, 3, S, S) uint8, the same crops without.
        box_mask: (B, 1, S, S) uint8, 0 or 1.
        box_area: (B,) float32, pixels of the full image.
        positions: (B,) int64, places of the annotations in the file.
        targets: for ``train.target: graph_cut``, else None.
        box_input: (B, 1, S, S) uint8, the box as the student sees it, see `mal.data.box_input`; None if it sees none.
    """

    student_images: Tensor
    teacher_images: Tensor
    box_mask: Tensor
    box_area: Tensor
    positions: Tensor
    targets: TargetBatch | None = None
    box_input: Tensor | None = None

    def to(self, *args: Any, **kwargs: Any) -> TrainBatch:
        """Move the batch; arguments as in :meth:`torch.Tensor.to`."""
        return replace(self, **{name: part.to(*args, **kwargs) for name, part in self.held_parts().items()})

    def pin_memory(self) -> TrainBatch:
        """Copy the batch to page-locked memory."""
        return replace(self, **{name: part.pin_memory() for name, part in self.held_parts().items()})

    def __len__(self) -> int:
        return len(self.positions)

    def held_parts(self) -> dict[str, Any]:
        """The fields that are not None, by name."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: part for name, part in parts.items() if part is not None}


class BoxCropDataset(Dataset[TrainBatch]):
    """A map-style dataset with one sample per box.

    The random numbers of a sample depend on (seed, epoch, box) alone, so that neither the number of workers nor a
    resume changes them.

    Args:
        boxes: what to train on.
        img_dir: folder of the images.
        crop_size: side of the crops in pixels.
        margin_rate: smallest and largest margin (MAL, arXiv 2301.03992, section 4.1).
        border: what lies outside the image.
        seed: of all random numbers.
        targets: how targets are made by graph cut; None without.
        true_masks: the target in place of that, by the index of a box.
        box_input: how the box is changed that samples have as an input of the network; None without one.
    """

    def __init__(
        self,
        boxes: Boxes,
        img_dir: Path,
        *,
        crop_size: int,
        margin_rate: Sequence[float],
        border: Border,
        seed: int,
        targets: TargetSettings | None = None,
        true_masks: Mapping[int, Rle] | None = None,
        box_input: BoxInput | None = None,
    ) -> None:
        self.boxes = boxes
        self.box_input = box_input
        self.crop_size = crop_size
        self.margin_rate = margin_rate
        self.border = border
        self.seed = seed
        self._img_dir = img_dir
        self._cache: ImageCache | None = None
        self.true_masks = true_masks or {}
        self._targets: EllipseTargets | TrueTargets | None = EllipseTargets(targets) if targets else None
        if self.true_masks:
            assert isinstance(self._targets, EllipseTargets), "true masks are targets beside those of a graph cut"
            self._targets = TrueTargets(self.true_masks, self._targets)
        for name in ("crop_numba", "colors_numba"):
            fast_module(name)  # before loader processes are forked: each would have to import it for itself

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, key: SampleKey) -> TrainBatch:
        """The sample of a key, as a batch of one.

        Raises:
            UserError: the box's image is missing or damaged.
        """
        with reading_image(self.boxes[key[1]].image.position):
            return self._sample(key)

    def __getitems__(self, keys: Sequence[SampleKey]) -> list[TrainBatch | UserError]:
        """Several samples; a missing or damaged image gives its error as an item, for the loader to raise."""
        return [self._sample_or_error(key) for key in keys]

    def image_name(self, position: int) -> str:
        """Path of the image of a position."""
        record = next(image for image in self.boxes.images if image.position == position)
        return str(image_path(self._img_dir, record.file_name))

    def _sample_or_error(self, key: SampleKey) -> TrainBatch | UserError:
        try:
            return self[key]
        except UserError as error:
            return error

    def _sample(self, key: SampleKey) -> TrainBatch:
        epoch, index, *before = key
        box = self.boxes[index]
        stream = [self.seed, epoch, index, *(REPEAT + count for count in before)]
        rng = np.random.default_rng(stream)
        frame = crop_frame(box.xyxy, random_margins(rng, self.margin_rate))
        mirrored = bool(rng.random() < FLIP_PROBABILITY)
        crop = crop_planes(self._image(box), frame, self.crop_size, self.border, mirrored=mirrored)
        image_size = (box.image.width, box.image.height)
        box_mask = crop_box_mask(box.xyxy, frame, image_size, self.crop_size)
        if mirrored:
            box_mask = box_mask[:, ::-1]
        targets = None
        if self._targets is not None:
            grid = CutGrid.around(box.xyxy, image_size, frame, mirrored=mirrored)
            seeds = self.seed, epoch, index
            targets = self._targets.sample(seeds, grid, self._image(box), side=self.crop_size)
        return TrainBatch(
            student_images=torch.from_numpy(change_colors(crop, rng))[None],
            teacher_images=torch.from_numpy(crop)[None],
            box_mask=torch.from_numpy(box_mask.copy())[None, None],
            box_area=torch.tensor([box.area], dtype=torch.float32),
            positions=torch.tensor([box.position]),
            targets=targets,
            box_input=self._network_box(self.box_input, box, stream, frame, mirrored) if self.box_input else None,
        )

    def _network_box(self, changes: BoxInput, box: Box, stream: list[int], frame: IntBox, mirrored: bool) -> Tensor:
        rng = np.random.default_rng([*stream, BOX_INPUT])  # crops stay what they are without it
        image_size = box.image.width, box.image.height
        mask = random_box_input(rng, box.xyxy, frame, image_size, self.crop_size, changes)
        return torch.from_numpy(mask[:, ::-1].copy() if mirrored else mask)[None, None]

    def _image(self, box: Box) -> np.ndarray:
        if self._cache is None:  # made on first use, so that each worker process has its own
            self._cache = ImageCache(CACHE_BYTES)
        return self._cache.get(box.image.position, lambda: read_record_image(self._img_dir, box.image))


def collate(samples: Sequence[TrainBatch | UserError]) -> TrainBatch | UserError:
    """Join batches into one; if one is an error, return the error."""
    batches: list[TrainBatch] = []
    for sample in samples:
        if isinstance(sample, UserError):
            return sample
        batches.append(sample)
    names = [name for name in batches[0].held_parts() if name != "targets"]
    tensors = {name: torch.cat([getattr(batch, name) for batch in batches]) for name in names}
    targets = [batch.targets for batch in batches if batch.targets is not None]
    return TrainBatch(**tensors, targets=join_targets(targets) if targets else None)


MOST_REPEATS = 4
_FAVORED = 1  # of the random stream that places them


class EpochSampler(Sampler[SampleKey]):
    """Shuffle the boxes each epoch and split them between ranks.

    The order follows from (seed, epoch). When the boxes do not divide evenly, the first ones of the order are drawn
    twice, so that every process takes the same number of steps and no box is left out.

    Args:
        num_boxes: of all ranks together.
        seed: of the run.
        rank, world_size: of this process.
        favored: boxes that come more often, in place of others that are drawn anew each epoch.
        favored_share: largest share of an epoch in which they do, 0..1; none comes more than :data:`MOST_REPEATS`
            times beside its own turn.
    """

    def __init__(
        self,
        num_boxes: int,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        favored: Sequence[int] = (),
        favored_share: float = 0.0,
    ) -> None:
        self.num_boxes = num_boxes
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.favored = favored
        self.favored_share = favored_share
        self.epoch = 0
        self._resumed = (0, 0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass (called by the trainer)."""
        self.epoch = epoch

    def resume_at(self, epoch: int, num_drawn: int) -> None:
        """Resume an epoch after ``num_drawn`` boxes of this rank."""
        self.epoch = epoch
        self._resumed = (epoch, num_drawn)

    def __len__(self) -> int:
        return -(-self.num_boxes // self.world_size)

    def __iter__(self) -> Iterator[SampleKey]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_boxes)
        extra = self._extra_turns(order) if self.favored else {}
        places = np.resize(np.arange(self.num_boxes), len(self) * self.world_size)
        resumed_epoch, num_drawn = self._resumed
        first = num_drawn if self.epoch == resumed_epoch else 0
        own = places[self.rank :: self.world_size][first:]
        return (extra.get(int(place)) or (self.epoch, int(order[place])) for place in own)

    def _extra_turns(self, order: npt.NDArray[np.int64]) -> dict[int, SampleKey]:
        """Favored boxes by the places in an order at which they come in place of others."""
        rng = np.random.default_rng([self.seed, self.epoch, 0, 0, _FAVORED])
        others = np.flatnonzero(~np.isin(order, self.favored))
        count = min(round(self.favored_share * len(order)), MOST_REPEATS * len(self.favored), len(others))
        places = rng.permutation(others)[:count].tolist()
        turns = np.resize(rng.permutation(self.favored), count).tolist()
        return {
            place: (self.epoch, index, 1 + number // len(self.favored))
            for number, (place, index) in enumerate(zip(places, turns, strict=True))
        }


def train_loader(
    dataset: BoxCropDataset,
    *,
    batch_size: int,
    num_workers: int,
    rank: int,
    world_size: int,
    pin_memory: bool,
    true_mask_share: float = 0.0,
) -> FailFastDataLoader[TrainBatch]:
    """Loader of training batches in a new order every epoch; the last batch may be smaller.

    Args:
        dataset: what to train on.
        batch_size: of each process.
        num_workers: loader processes; 0 loads in this one.
        rank, world_size: of this process.
        pin_memory: whether batches lie in page-locked memory.
        true_mask_share: largest share of an epoch in which boxes with a true mask come once more, 0..1.
    """
    sampler = EpochSampler(
        len(dataset),
        seed=dataset.seed,
        rank=rank,
        world_size=world_size,
        favored=sorted(dataset.true_masks),
        favored_share=true_mask_share,
    )
    return FailFastDataLoader(
        dataset,
        num_workers=num_workers,
        image_name=dataset.image_name,
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=collate,
        pin_memory=pin_memory,
    )
