"""Training targets by graph cut: the mask of a box, from its ellipse or from probabilities, and how far to trust it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mal.data.cut_grid import CutGrid, Floats, Mask
from mal.ops.compiled import fast_module
from mal.ops.graph_cut import graph_cut

CACHED_CUTS = 32 * 1024  # per worker process, 2 KiB each at most


@dataclass(frozen=True, slots=True)
class CutStrength:
    """Arguments of :func:`mal.ops.graph_cut.graph_cut` that fit a seed.

    Attributes:
        smoothness, prior: see there.
    """

    smoothness: float
    prior: float


# docs/quality.md: targets that lean on the ellipse have a higher IoU and teach worse, because all of them lean the same
# way and the network learns to. Errors of the colors alone differ from box to box, and the network averages them out.
FROM_ELLIPSE = CutStrength(smoothness=8.0, prior=0.0)
FROM_TEACHER = CutStrength(smoothness=12.0, prior=0.5)


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """How targets are made.

    Attributes:
        ellipse_epochs: epochs, the fraction of one included, in which the ellipse in the box seeds all targets.
        ellipse_share: share of the boxes, drawn anew each epoch, whose target it seeds for the whole run.
    """

    ellipse_epochs: float
    ellipse_share: float


@dataclass(frozen=True, slots=True)
class TargetQuality:
    """What a target looks like beside its box and its seed.

    Attributes:
        fill: its pixels as a share of the box's, 0..1.
        fit: area of its tight box as a share of the box's, 0..1.
        agreement: IoU with its seed, 0..1.
        is_true: whether it is a true mask, which is trusted whatever it looks like.
    """

    fill: float
    fit: float
    agreement: float
    is_true: bool = False

    @property
    def confidence(self) -> float:
        """How far to trust it, 0..1; a true mask wholly.

        Else the product of four factors: fill from .1 (0) to .3 (1), fit from .5 (0) to .9 (1), agreement from .2 (0)
        to .6 (1), and fill from .96 (1) to 1 (.3). In between each is linear, beyond it is constant. So an empty target
        counts nothing, and a filled box a little: it may be right.
        """
        if self.is_true:
            return 1.0
        return (
            _ramp(self.fill, 0.1, 0.3)
            * _ramp(self.fit, 0.5, 0.9)
            * _ramp(self.agreement, 0.2, 0.6)
            * (1 - 0.7 * _ramp(self.fill, 0.96, 1.0))
        )


def _ramp(value: float, start: float, end: float) -> float:
    return min(max((value - start) / (end - start), 0.0), 1.0)


def target_quality(mask: Mask, seed: Mask, inside: Mask) -> TargetQuality:
    """Measure a target.

    Args:
        mask, seed: (h, w) bool, and what it was cut from.
        inside: (h, w) bool, the box, which has a pixel or more.
    """
    total = int(inside.sum())
    union = int((mask | seed).sum())
    return TargetQuality(
        fill=int(mask.sum()) / total,
        fit=_span(mask, 0) * _span(mask, 1) / total,
        agreement=int((mask & seed).sum()) / union if union else 0.0,
    )


def _span(mask: Mask, axis: int) -> int:
    """Rows (0) or columns (1) from the first to the last that a mask has pixels in."""
    places = np.flatnonzero(mask.any(axis=1 - axis))
    return int(places[-1] - places[0] + 1) if len(places) else 0


@dataclass(frozen=True, slots=True)
class CutTarget:
    """A target on its grid.

    Attributes:
        mask: (h, w) bool, empty outside the box.
        quality: see there.
    """

    mask: Mask
    quality: TargetQuality


def cut_target(image: npt.NDArray[np.uint8], probability: Floats, inside: Mask, strength: CutStrength) -> CutTarget:
    """Cut a target out of its window.

    Args:
        image: (h, w, 3) uint8, see :meth:`CutGrid.pixels`.
        probability: (h, w) float32 in 0..1, the seed.
        inside: (h, w) bool, the box.
        strength: how the cut weighs seed, colors and edges.
    """
    mask = graph_cut(image, probability, inside, smoothness=strength.smoothness, prior=strength.prior)
    return CutTarget(mask, target_quality(mask, inside & (probability > 0.5), inside))


def target_in_crop(grid: CutGrid, target: Floats, *, side: int) -> Tensor:
    """A target, (h, w) float32 in 0..1, in the pixels of its crop: (1, 1, side, side) uint8, 255 for certain."""
    return torch.from_numpy(np.rint(255 * grid.to_crop(target, side)).astype(np.uint8))[None, None]


@dataclass(frozen=True, slots=True)
class CutWindow:
    """What a target is cut from once the teacher has given its probabilities.

    Attributes:
        grid: where the pixels are.
        image: (h, w, 3) uint8, the photo there.
    """

    grid: CutGrid
    image: npt.NDArray[np.uint8]


_MOVED = ("ellipse", "figures", "is_true")  # to the device; the CPU needs the rest


@dataclass(frozen=True, slots=True)
class TargetBatch:
    """Targets of a batch of crops as far as the loader can make them.

    Attributes:
        ellipse: (B, 1, S, S) uint8, 0..255, cut from the ellipse, or a true mask; 0 where the run is past the ellipse.
        figures: (B, 3) float32, fill, fit and confidence of these.
        keeps_ellipse: (B,) bool, whether the target is this one for the whole run.
        is_true: (B,) bool, whether it is a true mask, see `mal.data.true_targets`.
        windows: for each box that the teacher may seed what to cut from, else None.
    """

    ellipse: Tensor
    figures: Tensor
    keeps_ellipse: Tensor
    is_true: Tensor
    windows: tuple[CutWindow | None, ...]

    def to(self, *args: Any, **kwargs: Any) -> TargetBatch:
        """Move the tensors; arguments as in :meth:`torch.Tensor.to`. Windows stay: the CPU cuts."""
        moved = {name: getattr(self, name).to(*args, **kwargs) for name in _MOVED}
        return replace(self, **moved)

    def pin_memory(self) -> TargetBatch:
        """Copy the tensors that are moved to page-locked memory."""
        return replace(self, **{name: getattr(self, name).pin_memory() for name in _MOVED})


def join_targets(batches: Sequence[TargetBatch]) -> TargetBatch:
    """Join batches into one."""
    return TargetBatch(
        ellipse=torch.cat([batch.ellipse for batch in batches]),
        figures=torch.cat([batch.figures for batch in batches]),
        keeps_ellipse=torch.cat([batch.keeps_ellipse for batch in batches]),
        is_true=torch.cat([batch.is_true for batch in batches]),
        windows=tuple(window for batch in batches for window in batch.windows),
    )


def figures_of(quality: TargetQuality) -> Tensor:
    """The row of a target in :attr:`TargetBatch.figures`, (1, 3) float32."""
    return torch.tensor([[quality.fill, quality.fit, quality.confidence]])


class EllipseTargets:
    """Makes the targets of samples in a loader process.

    The cut from the ellipse depends on the box alone, so that each is made once and kept.

    Args:
        settings: how targets are made.
    """

    def __init__(self, settings: TargetSettings) -> None:
        self._settings = settings
        self._kept: dict[int, tuple[npt.NDArray[np.uint8], TargetQuality]] = {}
        fast_module("min_cut_numba")  # before loader processes are forked

    def sample(
        self, seeds: tuple[int, int, int], grid: CutGrid, photo: npt.NDArray[np.uint8], *, side: int
    ) -> TargetBatch:
        """The target of a crop, as a batch of one.

        Args:
            seeds: seed of the run, epoch (0 for the first) and index of the box: its random number depends on these.
            grid: of the box, with the crop.
            photo: (H, W, 3) uint8.
            side: of the crop in pixels.
        """
        _, epoch, index = seeds
        settings = self._settings
        keeps = bool(np.random.default_rng([*seeds, 1]).random() < settings.ellipse_share)
        ellipse, figures = torch.zeros(1, 1, side, side, dtype=torch.uint8), torch.zeros(1, 3)
        if keeps or epoch < settings.ellipse_epochs:
            cut = self._cut(index, grid, photo)
            ellipse = target_in_crop(grid, cut.mask.astype(np.float32), side=side)
            figures = figures_of(cut.quality)
        may_see_teacher = not keeps and epoch + 1 > settings.ellipse_epochs
        window = CutWindow(grid, grid.pixels(photo)) if may_see_teacher else None
        return TargetBatch(ellipse, figures, torch.tensor([keeps]), torch.tensor([False]), (window,))

    def _cut(self, index: int, grid: CutGrid, photo: npt.NDArray[np.uint8]) -> CutTarget:
        if index in self._kept:
            bits, quality = self._kept[index]
            width, height = grid.size
            mask = np.unpackbits(bits, count=width * height).reshape(height, width).astype(np.bool_)
            return CutTarget(mask, quality)
        cut = cut_target(grid.pixels(photo), grid.ellipse(), grid.inside, FROM_ELLIPSE)
        if len(self._kept) < CACHED_CUTS:  # boxes come in a new order every epoch: the oldest is as good as any
            self._kept[index] = np.packbits(cut.mask), cut.quality
        return cut
