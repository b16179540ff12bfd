"""Which features separate poor masks from good ones without true masks?

The study behind ``mask_score``, to be repeated with a network and photos of one's own. First masks are made and every
feature is computed for each, which takes as long as labelling four times:

    python -m benchmarks.mask_score hear mal_model_latest.pth --ann instances_val.json --images val/ --out val.npz

Then come rank correlations with the true IoU, what a person's look at the worst tenth brings, and how true the score is
as an estimate of the IoU. Weights may be found anew on other boxes than they are tried on:

    python -m benchmarks.mask_score rank val.npz other_val.npz --fit train.npz other_train.npz
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.mask_features import FEATURES, Seen, hear, refined_masks
from benchmarks.score_tables import Heard, lift_table, parts_table, reliability_table, weights_text
from mal.coco.ground_truth import GroundTruth
from mal.config.schema import ExperimentSpec
from mal.data.label_dataset import CropBatch
from mal.data.loaders import AnnotatedImages, crop_loader
from mal.labeler import MaskAutoLabeler, whole
from mal.load_model import load_model
from mal.masks.paste import threshold_for
from mal.masks.score import mask_in_crop
from mal.metrics.iou import mask_iou
from mal.models.from_spec import crop_settings, mean_field_settings
from mal.models.inputs import normalize
from mal.models.network import MaskNetwork
from mal.models.predict import predict_logits
from mal.models.prediction_mode import Network, PredictionMode


class Hearing:
    """Make the masks of a file and compute every feature of each."""

    def __init__(self, options: argparse.Namespace) -> None:
        held = load_model(options.checkpoint, ExperimentSpec())
        self.networks = cast(MaskNetwork, held.student), cast(MaskNetwork, held.teacher)
        self.mode = PredictionMode(network=options.network, flip=options.flip)
        thresholds = held.spec.train.mask_thres if options.threshold is None else [options.threshold]
        if isinstance(thresholds, str):
            raise SystemExit("give a --threshold: the checkpoint chooses one for each box")
        self.thresholds = thresholds
        self.labeler = MaskAutoLabeler(
            *self.networks, crop=crop_settings(held.spec), thresholds=self.thresholds, mode=self.mode, scored=False
        )
        self.field = mean_field_settings(held.spec)
        self.source = AnnotatedImages(options.ann, options.images)
        self.truth = GroundTruth(self.source.coco)
        self.seconds: dict[str, float] = {}

    def boxes(self, every: int) -> Iterator[tuple[list[float], float, int]]:
        """Features, true IoU and the image's number, of each box that has a true mask."""
        boxes = self.source.boxes_to_label
        boxes = boxes.take(np.arange(0, len(boxes), every))
        for batch in crop_loader(boxes, self.source.img_dir, self.labeler.crop, batch_size=16, num_workers=0):
            if len(batch):
                yield from self._of_batch(batch)

    @torch.inference_mode()
    def _of_batch(self, batch: CropBatch) -> Iterator[tuple[list[float], float, int]]:
        images, box_area = normalize(torch.from_numpy(batch.images)), torch.from_numpy(batch.box_area)
        box_mask = torch.from_numpy(batch.box_mask)
        other: Network = "teacher" if self.mode.network == "student" else "student"
        boxes = torch.from_numpy(batch.network_box)
        own = self._logits(images, box_area, boxes, self.mode)
        start = time.perf_counter()
        plain = self._logits(images, box_area, boxes, replace(self.mode, flip=False))
        self._add("one pass through the network", time.perf_counter() - start)
        mirrored = self._logits(images.flip(-1), box_area, boxes.flip(-1), replace(self.mode, flip=False)).flip(-1)
        others = self._logits(images, box_area, boxes, replace(self.mode, network=other))
        start = time.perf_counter()
        refined = refined_masks(images, own, box_mask, self.field)
        self._add("random field", time.perf_counter() - start)
        prob, plain_prob, mirrored_prob, other_prob = (
            _probs(logits, box_mask) for logits in (own, plain, mirrored, others)
        )
        masks = whole(self.labeler.pasted(batch, prob.numpy()[:, None]))
        for index, (box, mask) in enumerate(zip(batch.boxes, masks, strict=True)):
            true = self.truth.rle(box)
            if true is None:
                continue
            seen = Seen(
                mask_in_crop(mask, batch.frames[index], self.labeler.crop.crop_size),
                threshold_for(box.area, self.thresholds),
                prob=prob[index],
                of_network=plain_prob[index],
                of_mirrored=mirrored_prob[index],
                of_other_network=other_prob[index],
                box_mask=box_mask[index, 0].float(),
                pixels=torch.from_numpy(batch.images[index]),
                refined=refined[index],
                xyxy=box.xyxy,
            )
            yield hear(seen, self.seconds), mask_iou(mask.rle(), true), box.image.position

    def _logits(self, images: Tensor, box_area: Tensor, box: Tensor, mode: PredictionMode) -> Tensor:
        return predict_logits(*self.networks, images, box_area, mode, box)

    def _add(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds


def _probs(logits: Tensor, box_mask: Tensor) -> Tensor:
    return (F.interpolate(logits, box_mask.shape[-2:], mode="bilinear").sigmoid() * box_mask)[:, 0]


def run_hear(options: argparse.Namespace) -> None:
    """Write the features."""
    hearing = Hearing(options)
    said, ious, images = zip(*hearing.boxes(options.every), strict=True)
    seconds = {name: total / len(ious) for name, total in hearing.seconds.items()}
    np.savez(options.out, said=np.array(said), iou=np.array(ious), image=np.array(images), names=list(FEATURES))
    print(f"{options.out}: {len(ious)} masks, mean IoU {np.mean(ious):.4f}; milliseconds for each, one thread or more:")
    print(*(f"  {name}: {1000 * each:.2f}" for name, each in seconds.items()), sep="\n")


def run_rank(options: argparse.Namespace) -> None:
    """Print the tables."""
    sets, fitted = ([Heard.read(path) for path in paths] for paths in (options.files, options.fit))
    print(parts_table(sets, fitted), lift_table(sets), *map(reliability_table, sets), sep="\n\n")
    if fitted:
        print(f"\n{weights_text(fitted)}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mask_score",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    listen = commands.add_parser("hear", help="make masks and write what each witness says")
    listen.set_defaults(run=run_hear)
    listen.add_argument("checkpoint", type=Path, help="of mal train")
    listen.add_argument("--ann", type=Path, required=True, help="COCO JSON file with masks")
    listen.add_argument("--images", type=Path, required=True, help="folder of its images")
    listen.add_argument("--out", type=Path, required=True, help="file to write (.npz)")
    listen.add_argument("--network", choices=("student", "teacher"), default="student")
    listen.add_argument("--flip", action="store_true", help="average with the mirrored crop")
    listen.add_argument("--threshold", type=float, help="of the masks; the checkpoint's by default")
    listen.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth box")
    rank = commands.add_parser("rank", help="print the tables")
    rank.set_defaults(run=run_rank)
    rank.add_argument("files", type=Path, nargs="+", help="what hear wrote, of boxes to try scores on")
    rank.add_argument("--fit", type=Path, nargs="+", default=[], help="of boxes to find weights on")
    options = parser.parse_args(arguments)
    options.run(options)


if __name__ == "__main__":
    main()
