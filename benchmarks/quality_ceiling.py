"""What the same network learns in the same steps from true masks: the ceiling of all that is learned from boxes.

    python -m benchmarks.quality_ceiling -e spec.yaml dataset.train_ann_path=instances_train.json ...

It is `mal train`, but that the targets of `train.target: graph_cut` are the file's masks. It is no option of the
product, whose users have no masks.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import numpy.typing as npt
import torch

from mal.coco.boxes import Boxes
from mal.coco.ground_truth import GroundTruth
from mal.config.load import load_spec
from mal.config.schema import ExperimentSpec
from mal.data.crops import crop_box_mask, crop_image
from mal.data.cut_grid import CutGrid
from mal.data.targets import TargetBatch, TargetQuality, figures_of, target_quality
from mal.masks.rle import mask_from_rle
from mal.tasks import train
from mal.training.inputs import TrainingInputs, read_inputs


class TrueTargets:
    """Takes the place of `mal.data.targets.EllipseTargets`: targets are true masks, trusted wholly.

    Args:
        boxes: of the training.
        truth: their masks. A box without one teaches that the pixels outside of it are background.
    """

    def __init__(self, boxes: Boxes, truth: GroundTruth) -> None:
        self._boxes = boxes
        self._truth = truth

    def sample(
        self, seeds: tuple[int, int, int], grid: CutGrid, photo: npt.NDArray[np.uint8], *, side: int
    ) -> TargetBatch:
        """The target of a crop, as a batch of one; arguments as of ``EllipseTargets.sample``."""
        rle = self._truth.rle(self._boxes[seeds[2]])
        target, quality = np.zeros((side, side), np.uint8), TargetQuality(fill=0.0, fit=0.0, agreement=0.0)
        if rle is not None:
            x0, y0, x1, y1 = grid.crop
            mirrored = x0 > x1
            frame = (min(x0, x1), y0, max(x0, x1), y1)
            target = crop_image(255 * mask_from_rle(rle).astype(np.uint8), frame, side, "reflect")
            inside = crop_box_mask(grid.box, frame, (photo.shape[1], photo.shape[0]), side) > 0
            quality = target_quality((target > 127) & inside, (target > 127) & inside, inside)
            target = target[:, ::-1].copy() if mirrored else target.copy()
        figures = figures_of(quality)
        figures[0, 2] = float(rle is not None)
        return TargetBatch(
            torch.from_numpy(target)[None, None], figures, torch.tensor([True]), torch.tensor([False]), (None,)
        )


def true_mask_inputs(spec: ExperimentSpec, seed: int, world_size: int) -> TrainingInputs:
    """As :func:`mal.training.inputs.read_inputs`, with true masks as targets."""
    inputs = read_inputs(spec, seed, world_size)
    targets = TrueTargets(inputs.training.boxes, GroundTruth(inputs.source.coco))
    inputs.training._targets = targets  # type: ignore[assignment]
    return inputs


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality_ceiling", description=__doc__)
    parser.add_argument("-e", dest="spec", type=Path, required=True, metavar="SPEC.yaml", help="spec of the training")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="fields of the spec")
    options = parser.parse_args(arguments)
    with mock.patch.object(train, "read_inputs", true_mask_inputs):
        return train.run(load_spec(options.spec, options.overrides, task="train"))


if __name__ == "__main__":
    raise SystemExit(main())
