"""True masks as training targets, for the boxes that have one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from mal.data.crops import crop_box_mask, crop_image
from mal.data.cut_grid import CutGrid
from mal.data.targets import EllipseTargets, TargetBatch, figures_of, target_quality
from mal.masks.rle import Rle, mask_from_rle


class TrueTargets:
    """Makes the targets of samples in a loader process, from true masks where there are any.

    Args:
        masks: the mask of its image by the index of a box.
        others: makes the targets of the other boxes.
    """

    def __init__(self, masks: Mapping[int, Rle], others: EllipseTargets) -> None:
        self._masks = masks
        self._others = others

    def sample(
        self, seeds: tuple[int, int, int], grid: CutGrid, photo: npt.NDArray[np.uint8], *, side: int
    ) -> TargetBatch:
        """The target of a crop, as a batch of one; arguments as of `mal.data.targets.EllipseTargets.sample`.

        A true mask has the confidence 1, and neither a cut nor the teacher ever takes its place.
        """
        rle = self._masks.get(seeds[2])
        if rle is None:
            return self._others.sample(seeds, grid, photo, side=side)
        x0, y0, x1, y1 = grid.crop
        frame = (min(x0, x1), y0, max(x0, x1), y1)
        target = crop_image(255 * mask_from_rle(rle).astype(np.uint8), frame, side, "reflect")
        inside = crop_box_mask(grid.box, frame, (photo.shape[1], photo.shape[0]), side) > 0
        drawn = (target > 127) & inside
        figures = figures_of(replace(target_quality(drawn, drawn, inside), is_true=True))
        in_view = target[:, ::-1] if x0 > x1 else target
        return TargetBatch(
            ellipse=torch.from_numpy(in_view.copy())[None, None],
            figures=figures,
            keeps_ellipse=torch.tensor([True]),
            is_true=torch.tensor([True]),
            windows=(None,),
        )
