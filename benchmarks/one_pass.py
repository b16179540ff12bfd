"""Train a network that looks once at a whole photo, from boxes alone, and measure it beside the starter.

``python -m benchmarks.one_pass --out folder`` makes targets, trains, and measures on photos held out; each goes on
where it was interrupted. Targets are the starter's own masks. True masks serve to measure only.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, product
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.optim import AdamW
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from benchmarks.labeling_curve import held_out_photos
from benchmarks.one_pass_network import OnePassNetwork, photo_size, scaled, signed_boxes
from benchmarks.photos_with_boxes import SHARED
from mal.checkpoint.load import load_checkpoint
from mal.coco.boxes import Box
from mal.coco.ground_truth import GroundTruth
from mal.data.crops import crop_frame, label_margins
from mal.data.images import read_record_image
from mal.data.label_dataset import CropBatch, crop_boxes
from mal.data.loaders import AnnotatedImages
from mal.files import write_json
from mal.labeler import MaskAutoLabeler
from mal.load_model import build_networks
from mal.metrics.iou import mask_iou
from mal.models.fpn_network import FpnNetwork
from mal.models.inputs import normalize
from mal.models.prediction_mode import PredictionMode
from mal.runtime.allocator import keep_freed_memory
from mal.size_bins import SIZE_NAMES, size_bin
from mal.starter.files import starter_path

HELD_OUT = {"coco-mini": 60, "nuclei": 10}  # photos of the train parts
SHARE_OF_CROWDED = 0.25  # of the steps
LONGER_SIDE = 640
SCALES = (0.7, 1.15)
BOXES_OF_A_STEP = 16
HEAD_LR, BACKBONE_LR, LAST_LR, WARM_UP = 1e-3, 2e-4, 0.02, 50
CLIP, EMA_DECAY = 5.0, 0.995
FROZEN_STAGES = 3  # the stem and the stages of strides 2 and 4
CELLS, BLOCKS = 28, 1
MARGIN_RATE = (0.5, 0.5)  # of the starter
STEPS_BETWEEN_FILES = 100
SEED = 0


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo with its boxes.

    Attributes:
        set_name: of the data set.
        images: its annotation file and folder.
        boxes: all that can be labeled.
    """

    set_name: str
    images: AnnotatedImages
    boxes: tuple[Box, ...]

    @property
    def name(self) -> str:
        """For files."""
        return f"{self.set_name}-{self.boxes[0].image.position}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.boxes[0].image.width, self.boxes[0].image.height

    def pixels(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        return read_record_image(self.images.img_dir, self.boxes[0].image)


def main() -> None:
    """Do what is not done yet; print the table."""
    options = _parse_arguments()
    torch.set_num_threads(1)
    keep_freed_memory()
    train, held_out = split_photos()
    write_targets(train, options.out / "targets")
    network = trained_network(train, options.out, options.steps)
    ways = {f"crop of each box, {'' if flip else 'no '}flip": starter_way(flip=flip) for flip in (True, False)}
    for side, flip in product(options.sides, (False, True)):
        ways[f"one pass at {side}, {'' if flip else 'no '}flip"] = one_pass_way(network, side, flip=flip)
    print(table(measured(ways, held_out, options.out / f"measured_{options.steps}")))


def split_photos() -> tuple[list[Photo], list[Photo]]:
    """Photos of the train parts to train on, and those held out: of coco-mini ones that the starter never saw."""
    coco, crowded = photos_of("coco-mini"), photos_of("nuclei")
    unseen = set(held_out_photos(HELD_OUT["coco-mini"]))
    kept = {f"nuclei-{n}" for n in np.random.default_rng(SEED).permutation(len(crowded))[: HELD_OUT["nuclei"]]}
    kept |= {photo.name for photo in coco if photo.boxes[0].image.id in unseen}
    photos = [*coco, *crowded]
    return [each for each in photos if each.name not in kept], [each for each in photos if each.name in kept]


def photos_of(set_name: str) -> list[Photo]:
    """The photos of a set's train part that have boxes."""
    folder = SHARED / "data" / set_name
    images = AnnotatedImages(folder / "annotations" / "instances_train.json", folder / "images" / "train")
    by_image = groupby(images.boxes_to_label, key=lambda box: box.image.position)
    return [Photo(set_name, images, tuple(boxes)) for _, boxes in by_image]


def write_targets(photos: Sequence[Photo], folder: Path) -> None:
    """The starter's probabilities of each box on the grid of the head, before they are cut at the box."""
    folder.mkdir(parents=True, exist_ok=True)
    labeler = MaskAutoLabeler(scored=False)
    for photo in photos:
        path = folder / f"{photo.name}.npy"
        if not path.exists():
            logits = [labeler.logits(batch) for batch in _batches(photo, labeler)]
            probs = F.interpolate(torch.from_numpy(np.concatenate(logits)), size=2 * CELLS, mode="bilinear").sigmoid()
            np.save(path, (255 * probs).round().byte().numpy())


def _batches(photo: Photo, labeler: MaskAutoLabeler, size: int = 4) -> Iterator[CropBatch]:
    pixels = photo.pixels()
    for start in range(0, len(photo.boxes), size):
        yield crop_boxes(pixels, photo.boxes[start : start + size], labeler.crop)


def starter_network() -> FpnNetwork:
    """The starter in PyTorch."""
    held = load_checkpoint(starter_path(trainable=True), None)
    return cast(FpnNetwork, build_networks(held.network_spec(), held)[1].eval())


def trained_network(photos: Sequence[Photo], folder: Path, steps: int) -> OnePassNetwork:
    """The mean of the weights after so many steps; from the last file of a run that was interrupted."""
    torch.manual_seed(SEED)
    network = OnePassNetwork(starter_network(), CELLS, BLOCKS).eval()  # its batch norms keep their statistics
    for stage in network.backbone._all_stages()[:FROZEN_STAGES]:
        stage.requires_grad_(False)
    optimizer = AdamW(_parameter_groups(network), betas=(0.9, 0.99), weight_decay=0.01)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(EMA_DECAY), use_buffers=True)
    path = folder / f"network_{steps}.pth"
    first = _resume(path, network, optimizer, average)
    losses: list[float] = []
    start = time.process_time()
    for step in range(first, steps):
        losses.append(_take_step(step, steps, network, optimizer, photos, folder / "targets"))
        average.update_parameters(network)
        if (step + 1) % STEPS_BETWEEN_FILES == 0 or step + 1 == steps:
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
            _save({"step": step + 1, "average": average.state_dict(), **state}, path)
            took = (time.process_time() - start) / len(losses)
            print(f"step {step + 1}: loss {np.mean(losses[-STEPS_BETWEEN_FILES:]):.4f}, {took:.2f} s", flush=True)
    return cast(OnePassNetwork, average.module.eval())


def _parameter_groups(network: OnePassNetwork) -> list[dict[str, Any]]:
    slow = [each for each in network.backbone.parameters() if each.requires_grad]
    fast = [*network.fpn.parameters(), *network.head.parameters()]
    return [{"params": slow, "base": BACKBONE_LR}, {"params": fast, "base": HEAD_LR}]


def _save(state: dict[str, Any], path: Path) -> None:
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def _resume(path: Path, network: OnePassNetwork, optimizer: AdamW, average: AveragedModel) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    average.load_state_dict(state["average"])
    return int(state["step"])


def _take_step(
    step: int, steps: int, network: OnePassNetwork, optimizer: AdamW, photos: Sequence[Photo], targets: Path
) -> float:
    """One photo, of which some boxes count; returns the loss."""
    rng = np.random.default_rng([SEED, step])
    rate = min(1, (step + 1) / WARM_UP) * (LAST_LR + (1 - LAST_LR) * (1 + np.cos(np.pi * step / steps)) / 2)
    for group in optimizer.param_groups:
        group["lr"] = float(group["base"] * rate)
    sample = random_sample(rng, _random_photo(rng, photos), targets)
    loss = mask_loss(network(sample.pixels, sample.frames, sample.boxes), sample)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
    optimizer.step()
    return loss.item()


def _random_photo(rng: np.random.Generator, photos: Sequence[Photo]) -> Photo:
    is_crowded = rng.random() < SHARE_OF_CROWDED
    chosen = [photo for photo in photos if (photo.set_name == "nuclei") == is_crowded]
    return chosen[rng.integers(len(chosen))]


@dataclass(frozen=True)
class Sample:
    """A photo as the network sees it, in pixels of its own size.

    Attributes:
        pixels: (1, 3, H, W) float, normalized.
        frames: (N, 4) float, x0 y0 x1 y1.
        boxes: (N, 4) float, likewise.
        targets: (N, 1, 2c, 2c) float, probabilities; empty where there are none.
    """

    pixels: Tensor
    frames: Tensor
    boxes: Tensor
    targets: Tensor


def random_sample(rng: np.random.Generator, photo: Photo, targets: Path) -> Sample:
    """A photo at a random size, half of the time mirrored, with some of its boxes."""
    rows = rng.permutation(len(photo.boxes))[:BOXES_OF_A_STEP]
    size = photo_size(*photo.size, LONGER_SIDE * rng.uniform(*SCALES))
    probs = torch.from_numpy(np.load(targets / f"{photo.name}.npy")[rows]).float() / 255
    sample = sample_of(photo, size, rows, probs)
    return mirrored(sample) if rng.random() < 0.5 else sample


def sample_of(photo: Photo, size: tuple[int, int], rows: Sequence[int] | np.ndarray, targets: Tensor) -> Sample:
    """A photo at a width and height, with the boxes of some rows."""
    frames = np.array([crop_frame(photo.boxes[row].xyxy, label_margins(MARGIN_RATE)) for row in rows])
    boxes = np.array([photo.boxes[row].xyxy for row in rows])
    resized = np.array(Image.fromarray(_decoded(photo)).resize(size, Image.Resampling.BICUBIC))
    pixels = normalize(torch.from_numpy(resized.transpose(2, 0, 1)[None].copy()))
    return Sample(pixels, scaled(frames, photo.size, size), scaled(boxes, photo.size, size), targets)


def mirrored(sample: Sample) -> Sample:
    """Left and right swapped."""
    width = sample.pixels.shape[-1]
    frames, boxes = ((width - each)[:, [2, 1, 0, 3]] for each in (sample.frames, sample.boxes))
    frames[:, [1, 3]], boxes[:, [1, 3]] = sample.frames[:, [1, 3]], sample.boxes[:, [1, 3]]
    return Sample(sample.pixels.flip(-1), frames, boxes, sample.targets.flip(-1))


@lru_cache(maxsize=400)
def _decoded(photo: Photo) -> np.ndarray:
    return photo.pixels()


def mask_loss(logits: Tensor, sample: Sample) -> Tensor:
    """Cross-entropy and Dice loss within the boxes, each box as much as another."""
    inside = (signed_boxes(sample.frames, sample.boxes, logits.shape[-1]) + 1) / 2
    area = inside.sum((1, 2, 3)).clamp(min=1)
    entropy = F.binary_cross_entropy_with_logits(logits, sample.targets, weight=inside, reduction="none")
    probs, targets = logits.sigmoid() * inside, sample.targets * inside
    common, both = (probs * targets).sum((1, 2, 3)), (probs**2 + targets**2).sum((1, 2, 3))
    return (entropy.sum((1, 2, 3)) / area + 1 - 2 * common / both.clamp(min=1e-6)).mean()


Way = Callable[[Photo, CropBatch], np.ndarray]
"""All boxes of a photo, as their crops too, to probabilities (N, 1, S, S) float32, 0 outside the box."""


def starter_way(*, flip: bool) -> Way:
    """The starter as it is shipped, with or without the mirrored crop."""
    labeler = MaskAutoLabeler(mode=PredictionMode("teacher", flip=flip))

    def probabilities(photo: Photo, crops: CropBatch) -> np.ndarray:
        return np.concatenate([labeler.probabilities(batch) for batch in _batches(photo, labeler)])

    return probabilities


def one_pass_way(network: OnePassNetwork, longer_side: int, *, flip: bool) -> Way:
    """A network on the whole photo, with or without the mirrored one."""

    @torch.inference_mode()
    def probabilities(photo: Photo, crops: CropBatch) -> np.ndarray:
        sample = sample_of(photo, photo_size(*photo.size, longer_side), range(len(photo.boxes)), torch.empty(0))
        logits = network(sample.pixels, sample.frames, sample.boxes)
        if flip:
            turned = mirrored(sample)
            logits = (logits + network(turned.pixels, turned.frames, turned.boxes).flip(-1)) / 2
        probs = F.interpolate(logits, size=crops.images.shape[-2:], mode="bilinear").sigmoid()
        return probs.numpy() * crops.box_mask

    return probabilities


def measured(ways: dict[str, Way], photos: Sequence[Photo], folder: Path) -> list[dict[str, Any]]:
    """IoU of each box with its true mask, each way; kept in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    labeler = MaskAutoLabeler(scored=False)
    for name, way in ways.items():
        path = folder / f"{name.replace(', ', '_').replace(' ', '-')}.json"
        if not path.exists():
            write_json([line for photo in photos for line in _ious(photo, way, labeler)], path)
        found.append({"way": name, "lines": json.loads(path.read_bytes())})
    return found


def _ious(photo: Photo, way: Way, labeler: MaskAutoLabeler) -> Iterator[dict[str, Any]]:
    truth = GroundTruth(photo.images.coco)
    crops = crop_boxes(photo.pixels(), photo.boxes, labeler.crop)
    masks = labeler.pasted(crops, way(photo, crops))
    for box, mask in zip(photo.boxes, masks, strict=True):
        true = truth.rle(box)
        if true is not None and mask is not None:
            iou = mask_iou(mask.rle(), true)
            yield {"set": photo.set_name, "photo": photo.name, "size": size_bin(box.area), "iou": iou}


def table(found: Sequence[dict[str, Any]]) -> str:
    """Mean IoU over boxes of each way and set, and its change from the first way, as a Markdown table."""
    lines = [
        f"| way | set | boxes | mean IoU | change (± 2 standard errors) | {' | '.join(SIZE_NAMES)} |",
        f"|{' --- |' * (5 + len(SIZE_NAMES))}",
    ]
    lines += [_table_line(each, found[0], name) for each in found for name in HELD_OUT]
    return "\n".join(lines)


def _table_line(found: dict[str, Any], base: dict[str, Any], set_name: str) -> str:
    of_set = [each["set"] == set_name for each in found["lines"]]
    ious, before = (np.array([each["iou"] for each in way["lines"]])[of_set] for way in (found, base))
    sizes = np.array([each["size"] for each in found["lines"]])[of_set]
    change = ious - before
    means = [f"{ious[sizes == index].mean():.3f}" if (sizes == index).any() else "" for index in range(len(SIZE_NAMES))]
    spread = 2 * change.std() / max(1, len(change)) ** 0.5
    cells = [found["way"], set_name, str(len(ious)), f"{ious.mean():.4f}", f"{change.mean():+.4f} (± {spread:.4f})"]
    return f"| {' | '.join([*cells, *means])} |"


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.one_pass", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "one_pass")
    parser.add_argument("--steps", type=int, default=5000, help="of training, a photo each (default %(default)s)")
    parser.add_argument("--sides", type=int, nargs="*", default=[480, 640, 960], help="longer sides to measure at")
    return parser.parse_args()


if __name__ == "__main__":
    main()
