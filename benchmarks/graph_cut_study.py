"""What does refinement by graph cut bring, and with which settings?

The study behind the section "Refinement by graph cut" of docs/quality.md, to be repeated with boxes of one's own:

    python -m benchmarks.graph_cut_study --ann instances_train.json --images train/ --checkpoint mal_model_latest.pth

Every way of making masks is asked for the same boxes, started from the ellipse in each box or, with a checkpoint,
from the network's probabilities, and its masks are compared with the true ones in the photo's pixels. GrabCut is
OpenCV's, where that is installed. Settings are chosen on boxes that no result is reported on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.report import environment
from mal.coco.boxes import Box
from mal.coco.ground_truth import GroundTruth
from mal.data.crops import crop_frame
from mal.data.images import read_record_image
from mal.data.loaders import AnnotatedImages
from mal.labeler import MaskAutoLabeler
from mal.masks.rle import mask_from_rle
from mal.ops.graph_cut import graph_cut

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
MARGIN, SIDE = 0.3, 128
ELLIPSE_STEEPNESS = 4.0  # logit of the ellipse's probability at the center


@dataclass(frozen=True)
class Window:
    """The part of a photo around a box, shrunk where it is large.

    Attributes:
        image: (h, w, 3) uint8.
        probability: (h, w) float32 of the seed.
        inside: (h, w) bool, the box.
        truth: (H, W) bool, the true mask in the photo's pixels.
        truth_area: pixels of the whole true mask.
    """

    image: npt.NDArray[np.uint8]
    probability: Floats
    inside: Mask
    truth: Mask
    truth_area: int

    def iou(self, mask: Mask) -> float:
        """Of a mask (h, w) with the true one."""
        height, width = self.truth.shape
        if mask.shape != self.truth.shape:
            soft = Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
            mask = np.asarray(soft) > 0.5
        both = int((mask & self.truth).sum())
        return both / max(int(mask.sum()) + self.truth_area - both, 1)


class Seed(Protocol):
    """Gives a probability for each pixel of a grid over a photo."""

    def __call__(self, photo: npt.NDArray[np.uint8], box: Box, x: Floats, y: Floats) -> Floats:
        """(h, w) float32 at columns x (w,) and rows y (h,) of the photo, pixel centers at halves."""


def ellipse(photo: npt.NDArray[np.uint8], box: Box, x: Floats, y: Floats) -> Floats:
    """1/2 on the ellipse that touches the box's sides, more inside, by the distance from its center."""
    x0, y0, x1, y1 = box.xyxy
    across, down = 2 * (x - x0) / (x1 - x0) - 1, 2 * (y - y0) / (y1 - y0) - 1
    radius = np.sqrt(across[None] ** 2 + down[:, None] ** 2)
    return (1 / (1 + np.exp(-ELLIPSE_STEEPNESS * (1 - radius)))).astype(np.float32)


def network_seed(labeler: MaskAutoLabeler) -> Seed:
    """The probabilities of a network."""

    def probability(photo: npt.NDArray[np.uint8], box: Box, x: Floats, y: Floats) -> Floats:
        batch = next(labeler.crops(photo, [box.xyxy]))
        prob, (x0, y0, x1, y1) = labeler.probabilities(batch)[0, 0], batch.frames[0]
        columns = (x - x0) / (x1 - x0) * prob.shape[1] - 0.5
        rows = (y - y0) / (y1 - y0) * prob.shape[0] - 0.5
        return _interpolated(_interpolated(prob, rows).T, columns).T

    return probability


def _interpolated(values: Floats, places: Floats) -> Floats:
    """Rows of an array at places between them."""
    places = np.clip(places, 0, len(values) - 1)
    lower = np.minimum(places.astype(np.intp), len(values) - 2)
    weight = (places - lower)[:, None].astype(np.float32)
    return values[lower] * (1 - weight) + values[lower + 1] * weight


def windows(
    source: AnnotatedImages, boxes: Sequence[Box], seed: Seed, margin: float = MARGIN, side: int = SIDE
) -> Iterator[Window]:
    """The window of each box."""
    truth = GroundTruth(source.coco)
    for _, of_image in groupby(boxes, key=lambda box: box.image.position):
        group = list(of_image)
        photo = read_record_image(source.img_dir, group[0].image)
        for box in group:
            rle = truth.rle(box)
            assert rle is not None
            yield _window(photo, box, mask_from_rle(rle), seed, margin, side)


def _window(photo: npt.NDArray[np.uint8], box: Box, truth: Mask, seed: Seed, margin: float, side: int) -> Window:
    left, top, right, bottom = crop_frame(box.xyxy, 4 * (margin,))
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, photo.shape[1]), min(bottom, photo.shape[0])
    shrunk = min(1.0, side / max(right - left, bottom - top))
    width, height = max(round((right - left) * shrunk), 1), max(round((bottom - top) * shrunk), 1)
    part = photo[top:bottom, left:right]
    if shrunk < 1:
        part = np.asarray(Image.fromarray(part).resize((width, height), Image.Resampling.BILINEAR))
    x = (left + (np.arange(width) + 0.5) * (right - left) / width).astype(np.float32)
    y = (top + (np.arange(height) + 0.5) * (bottom - top) / height).astype(np.float32)
    x0, y0, x1, y1 = box.xyxy
    inside = ((y > y0) & (y < y1))[:, None] & ((x > x0) & (x < x1))
    probability = seed(photo, box, x, y) * inside
    return Window(np.ascontiguousarray(part), probability, inside, truth[top:bottom, left:right], int(truth.sum()))


@dataclass(frozen=True)
class Way:
    """A way of making masks: ``make`` gives the mask of a window."""

    name: str
    make: Callable[[Window], Mask]
    margin: float = MARGIN
    side: int = SIDE


@dataclass
class Found:
    ious: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def seed_alone(window: Window) -> Mask:
    """The seed's mask."""
    return window.probability > 0.5


def refined(window: Window, **settings: Any) -> Mask:
    """By the product's graph cut."""
    return graph_cut(window.image, window.probability, window.inside, **settings)


def grab_cut(window: Window, sure: float = 0.25, iterations: int = 1) -> Mask:
    """By OpenCV's GrabCut from the same seed and sure pixels."""
    import cv2

    seed = window.probability > 0.5
    if not 0 < seed.sum() < seed.size:
        return seed
    labels = np.where(seed, cv2.GC_PR_FGD, np.where(window.inside, cv2.GC_PR_BGD, cv2.GC_BGD)).astype(np.uint8)
    labels[seed & (window.probability >= np.quantile(window.probability[seed], 1 - sure))] = cv2.GC_FGD
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    image = np.ascontiguousarray(window.image[..., ::-1])
    cv2.grabCut(image, labels, (0, 0, 0, 0), *models, iterations, cv2.GC_INIT_WITH_MASK)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def ways() -> Iterator[Way]:
    """All rows of the table."""
    yield Way("the seed itself", seed_alone)
    if has_opencv():
        yield Way("GrabCut, 1 iteration", grab_cut)
        yield Way("GrabCut, 2 iterations", partial(grab_cut, iterations=2))
    yield Way("**graph cut, defaults**", refined)
    tried: dict[str, tuple[float, ...]] = {
        "sure": (0.0, 0.1, 0.25, 0.5),
        "smoothness": (8.0, 12.0, 24.0, 32.0),
        "prior": (0.0, 0.25, 1.0, 2.0),
        "rounds": (1, 3),
    }
    for name, values in tried.items():
        for value in values:
            settings: dict[str, Any] = {name: value}
            yield Way(f"graph cut, {name} {value:g}", partial(refined, **settings))
    for margin in (0.15, 0.6, 1.0):
        yield Way(f"graph cut, margin {margin:g}", refined, margin=margin)
    for side in (64, 192):
        yield Way(f"graph cut, side {side}", refined, side=side)


def has_opencv() -> bool:
    """Whether OpenCV is installed."""
    try:
        import cv2
    except ImportError:
        return False
    cv2.setNumThreads(1)
    return True


def table(source: AnnotatedImages, boxes: Sequence[Box], seed: Seed) -> Iterator[str]:
    """The lines of the table, each way beside the first."""
    yield "| masks | mean IoU | small | medium | large | ≥ .75 | beside the seed | harmed | ms |"
    yield "|---|---|---|---|---|---|---|---|---|"
    sizes = np.digitize([box.area for box in boxes], [32**2, 96**2])
    first: npt.NDArray[np.float64] | None = None
    views = sorted({(way.margin, way.side) for way in ways()}, key=lambda view: view != (MARGIN, SIDE))
    for margin, side in views:
        shown = list(windows(source, boxes, seed, margin, side))
        for way in ways():
            if (way.margin, way.side) == (margin, side):
                found = _asked(way, shown)
                ious = np.array(found.ious)
                first = ious if first is None else first
                yield _line(way.name, ious, first, sizes, found.seconds)


def _asked(way: Way, shown: Sequence[Window]) -> Found:
    found = Found()
    for window in shown:
        start = time.process_time()
        mask = way.make(window)
        found.seconds.append(time.process_time() - start)
        found.ious.append(window.iou(mask))
    return found


def _line(
    name: str, ious: npt.NDArray[np.float64], first: npt.NDArray[np.float64], sizes: npt.NDArray, seconds: list[float]
) -> str:
    by_size = [f"{ious[sizes == size].mean():.3f}" if (sizes == size).any() else "" for size in range(3)]
    gain = ious - first
    error = gain.std() / np.sqrt(len(gain))
    cells = [f"{ious.mean():.4f}", *by_size, f"{(ious >= 0.75).mean():.2f}"]
    cells += [f"{gain.mean():+.3f} ± {2 * error:.3f}", f"{(gain < -0.1).mean():.2f}", f"{1000 * np.mean(seconds):.1f}"]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Run the study on what the command line names."""
    options = _parse_arguments()
    source = AnnotatedImages(options.ann, options.images)
    truth = GroundTruth(source.coco)
    boxes = [box for box in source.boxes_to_label if truth.rle(box) is not None]
    if options.boxes and options.boxes < len(boxes):
        chosen = sorted(np.random.default_rng(0).permutation(len(boxes))[: options.boxes])
        boxes = [boxes[index] for index in chosen]
    seed: Seed = ellipse
    if options.checkpoint:
        seed = network_seed(MaskAutoLabeler.from_checkpoint(options.checkpoint, scored=False, device="cpu"))
    print(*(f"{key}: {value}" for key, value in environment().items()), f"boxes: {len(boxes)}", sep="\n")
    for line in table(source, boxes, seed):
        print(line, flush=True)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.graph_cut_study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--ann", type=Path, required=True, help="COCO JSON file with masks")
    parser.add_argument("--images", type=Path, required=True, help="folder of its images")
    parser.add_argument("--checkpoint", type=Path, help="start from this network; else from ellipses")
    parser.add_argument("--boxes", type=int, default=0, help="so many, drawn at random; by default all")
    return parser.parse_args()


if __name__ == "__main__":
    main()
