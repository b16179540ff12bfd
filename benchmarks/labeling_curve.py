"""Speed against mean IoU of the starter: flip, size of the crop, int8.

``python -m benchmarks.labeling_curve`` measures each way once on photos of coco-mini's train part that the starter was
not trained on, and keeps what it has found in ``--out``: an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.photos_with_boxes import SHARED
from mal.checkpoint.load import load_checkpoint
from mal.coco.ground_truth import GroundTruth
from mal.console import console
from mal.data.label_dataset import BoxCropIterable
from mal.data.loaders import AnnotatedImages
from mal.export.onnx_write import write_onnx
from mal.export.quantize import quantize
from mal.files import write_json
from mal.labeler import MaskAutoLabeler
from mal.labeling.pipeline import find_labels
from mal.load_model import build_networks
from mal.models.prediction_mode import PredictionMode
from mal.size_bins import SIZE_NAMES, size_bin
from mal.starter.files import starter_path

PICTURES_OF_TRAINING = Path(__file__).parents[1] / "starter" / "pictures.csv"
CALIBRATION_PHOTOS = 12
BATCH_SIZE = 4
SEED = 0


@dataclass(frozen=True)
class Way:
    """A way to label.

    Attributes:
        crop: side of the crops in pixels.
        flip: whether the mirrored crop is labeled too.
        numbers: ``float32`` or a key of :data:`QUANTIZED`.
    """

    crop: int
    flip: bool
    numbers: str = "float32"

    @property
    def name(self) -> str:
        """For tables and files."""
        return f"crop {self.crop}, {'flip' if self.flip else 'no flip'}, {self.numbers}"


QUANTIZED: dict[str, dict[str, Any]] = {
    "int8": {"bits": 8},
    "int8, weights of 7 bits": {"bits": 7},
    "int8 convolutions": {"bits": 8, "only_convolutions": True},
}
WAYS = [
    Way(crop, flip, numbers)
    for numbers in ("float32", *QUANTIZED)
    for crop in (128, 160, 192)
    for flip in (True, False)
]
DEFAULT = Way(160, True)


def main() -> None:
    """Measure what is not measured yet; print the table."""
    options = _parse_arguments()
    torch.set_num_threads(1)
    console.quiet = True
    options.out.mkdir(parents=True, exist_ok=True)
    held_out = held_out_photos(options.photos + CALIBRATION_PHOTOS)
    calibration, measured = held_out[:CALIBRATION_PHOTOS], held_out[CALIBRATION_PHOTOS:]
    ways = [way for way in WAYS if not options.ways or way.name in options.ways]
    for way in ways:
        place = options.out / f"{way.name.replace(', ', '_').replace(' ', '-')}_{len(measured)}.json"
        if not place.exists():
            labeler = labeler_of(way, options.out, calibration)
            write_json(_measured(way, labeler, _photos(measured, options.out), options.repeats), place)
        print(way.name, flush=True)
    print(table(options.out, len(measured)))


def held_out_photos(count: int) -> list[int]:
    """Ids of photos of coco-mini's train part that the starter was not trained on, in a fixed random order."""
    with PICTURES_OF_TRAINING.open(encoding="utf-8", newline="") as file:
        used = {row["file_name"] for row in csv.DictReader(file)}
    free = [image["id"] for image in _document()["images"] if image["file_name"] not in used]
    return [int(each) for each in np.random.default_rng(SEED).permutation(sorted(free))[:count]]


def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        (SHARED / "data" / "coco-mini" / "annotations" / "instances_train.json").read_bytes()
    )
    return document


def _photos(ids: Sequence[int], folder: Path) -> AnnotatedImages:
    document, wanted = _document(), set(ids)
    document["images"] = [image for image in document["images"] if image["id"] in wanted]
    document["annotations"] = [
        each for each in document["annotations"] if each["image_id"] in wanted and not each.get("iscrowd")
    ]
    boxes = folder / f"{len(ids)}_photos.boxes.json"
    write_json(document, boxes)
    return AnnotatedImages(boxes, SHARED / "data" / "coco-mini" / "images" / "train")


def labeler_of(way: Way, folder: Path, calibration: Sequence[int]) -> MaskAutoLabeler:
    """The labeler of a way, by onnxruntime; its files are kept in a folder."""
    exported = folder / f"crop{way.crop}.onnx"
    if not exported.exists():
        _export(way.crop, exported)
    path = exported
    if way.numbers != "float32":
        path = folder / f"crop{way.crop}_{way.numbers.replace(', ', '_').replace(' ', '-')}.onnx"
        if not path.exists():
            crop = MaskAutoLabeler.from_checkpoint(exported).crop
            photos = _photos(calibration, folder)
            batches = BoxCropIterable(photos.boxes_to_label, photos.img_dir, crop, batch_size=BATCH_SIZE)
            quantize(exported, path, batches, **QUANTIZED[way.numbers])
    return MaskAutoLabeler.from_checkpoint(path, mode=PredictionMode("teacher", flip=way.flip), scored=True)


def _export(crop: int, path: Path) -> None:
    held = load_checkpoint(starter_path(trainable=True), None)
    spec = held.network_spec()
    _, teacher = build_networks(spec, held)
    sized = spec.model_copy(update={"dataset": spec.dataset.model_copy(update={"crop_size": crop})})
    write_onnx([teacher], sized, path, network="teacher")


def _measured(way: Way, labeler: MaskAutoLabeler, photos: AnnotatedImages, repeats: int) -> dict[str, Any]:
    """IoU of each box, and seconds of one core for a box: of several runs the fastest."""
    boxes = photos.boxes_to_label
    runs = []
    with labeler.on_one_thread():
        for _ in range(repeats):
            stream = BoxCropIterable(boxes, photos.img_dir, labeler.crop, batch_size=BATCH_SIZE)
            start = time.process_time()
            found = [result for results in find_labels(stream, labeler) for result in results]
            runs.append((time.process_time() - start) / len(boxes))
        stream = BoxCropIterable(boxes, photos.img_dir, labeler.crop, batch_size=BATCH_SIZE)
        found = [each for results in find_labels(stream, labeler, GroundTruth(photos.coco)) for each in results]
    sizes = {box.position: size_bin(box.area) for box in boxes}
    ious = {each.position: each.label.iou for each in found if each.label is not None and each.label.iou is not None}
    return {
        "way": way.name,
        "seconds": runs,
        "positions": sorted(ious),
        "ious": [ious[position] for position in sorted(ious)],
        "sizes": [sizes[position] for position in sorted(ious)],
    }


def table(folder: Path, count: int) -> str:
    """What has been measured on so many photos, as a Markdown table; fastest first."""
    found = [json.loads(path.read_bytes()) for path in sorted(folder.glob(f"*_{count}.json"))]
    base = next((each for each in found if each["way"] == DEFAULT.name), None)
    lines = [
        f"| way | boxes a second of one core | mean IoU | change (± 2 standard errors) | {' | '.join(SIZE_NAMES)} |",
        f"|{' --- |' * (4 + len(SIZE_NAMES))}",
    ]
    lines += [_line(each, base) for each in sorted(found, key=lambda each: min(each["seconds"]))]
    return "\n".join(lines)


def _line(found: dict[str, Any], base: dict[str, Any] | None) -> str:
    ious, sizes = np.array(found["ious"]), np.array(found["sizes"])
    change = ""
    if base is not None and base["positions"] == found["positions"]:
        difference = ious - np.array(base["ious"])
        change = f"{difference.mean():+.4f} (± {2 * difference.std() / len(difference) ** 0.5:.4f})"
    means = [f"{ious[sizes == index].mean():.3f}" if (sizes == index).any() else "" for index in range(len(SIZE_NAMES))]
    cells = [found["way"], f"{1 / min(found['seconds']):.1f}", f"{ious.mean():.4f}", change, *means]
    return f"| {' | '.join(cells)} |"


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labeling_curve", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "labeling_curve")
    parser.add_argument("--photos", type=int, default=90, help="photos to measure on (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=1, help="timed runs of each way (default %(default)s)")
    parser.add_argument(
        "--ways", nargs="*", metavar="NAME", help="measure these only, for instance 'crop 160, flip, int8'"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
