"""How much do a few true masks beside many boxes bring, and is it worth choosing which ones?

    python -m benchmarks.true_masks                 # what is missing is measured, then the table is printed
    python -m benchmarks.true_masks --table         # the table of docs/quality.md, from what there is

The starter is tuned as `mal auto` tunes, on some hundred boxes of a set, of which 0, 5, 20 or 50 have their true mask:
those that `mal review --choose` names by the starter's masks, or random ones. Measured are all boxes of val. A training
that is finished is not repeated, so a stopped run goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.quality import QUICK
from benchmarks.quality_cells import Boxes, Cell, CellKey, read_cell
from benchmarks.quality_options import quality_parser, results_folder
from benchmarks.quality_sets import Part, whole_part
from benchmarks.quality_table import put_between_markers
from benchmarks.quality_training import Runs
from benchmarks.report import environment
from mal.cli import main as mal
from mal.coco.coco_file import read_coco
from mal.files import write_json
from mal.metrics.bootstrap import resampled_means
from mal.reading import AS_STORED
from mal.review.choose import LEAST_SIDE, choose_boxes
from mal.sample.generate import without_masks
from mal.starter.files import starter_path

NAME = "true_masks"
BEGIN, END = "<!-- true masks: begin -->", "<!-- true masks: end -->"
SETS, COUNTS, WAYS = ("coco-mini", "nuclei"), (0, 5, 20, 50), ("chosen", "random")
BOXES, STEPS = 640, 100
MISSING = "missing"

Document = dict[str, Any]


@dataclass(frozen=True)
class Draw:
    """Which boxes have their true mask.

    Attributes:
        way: one of :data:`WAYS`.
        count: how many.
    """

    way: str
    count: int

    @property
    def column(self) -> str:
        """Its name in cells."""
        return f"{self.way}{self.count}" if self.count else "boxes"


def draws() -> list[Draw]:
    """All draws; without masks there is one."""
    return [Draw(WAYS[0], 0), *(Draw(way, count) for way in WAYS for count in COUNTS[1:])]


def small_part(part: Part, out: Path, num_boxes: int) -> Part:
    """The first training pictures of a part, in the order of the digests of their names, up to a number of boxes."""
    document = json.loads(part.train_masks.read_text(encoding="utf-8"))
    of_image: dict[Any, list[Document]] = {}
    for record in document["annotations"]:
        of_image.setdefault(record["image_id"], []).append(record)
    order = sorted(document["images"], key=lambda image: hashlib.sha256(image["file_name"].encode()).hexdigest())
    images: list[Document] = []
    annotations: list[Document] = []
    for image in order:
        if len(annotations) < num_boxes:
            images.append(image)
            annotations += of_image.get(image["id"], [])
    document |= {"images": images, "annotations": annotations}
    out.mkdir(parents=True, exist_ok=True)
    write_json(document, out / "masks.json")
    write_json(without_masks(document), out / "boxes.json")
    return replace(part, train_boxes=out / "boxes.json", train_masks=out / "masks.json")


def true_masks(part: Part, draw: Draw, seed: int, out: Path) -> Path:
    """The file of true masks of a draw; chosen ones follow from the starter's masks, random ones from the seed."""
    labels = out / "starter.json"
    if not labels.exists():
        paths = ["--ann", str(part.train_boxes), "--images", str(part.train_images), "--out", str(labels)]
        if mal(["label", *paths]):
            raise SystemExit(f"mal label {' '.join(paths)} failed")
    if draw.way == "chosen":
        chosen, _ = choose_boxes(read_coco(labels), part.train_images, AS_STORED, draw.count)
        ids = {box.annotation_id for box in chosen}
    else:
        ids = random_ids(json.loads(part.train_masks.read_text(encoding="utf-8")), draw.count, seed)
    document = json.loads(part.train_masks.read_text(encoding="utf-8"))
    document["annotations"] = [record for record in document["annotations"] if record["id"] in ids]
    path = out / f"{draw.column}-{seed}.json"
    write_json(document, path)
    return path


def random_ids(document: Mapping[str, Any], count: int, seed: int) -> set[Any]:
    """Ids of random boxes, of those that `mal review --choose` takes; more of a seed are fewer and others."""
    ids = [
        record["id"]
        for record in document["annotations"]
        if min(record["bbox"][2:]) >= LEAST_SIDE and not record.get("iscrowd")
    ]
    order = np.random.default_rng([seed, 1]).permutation(len(ids))
    return {ids[row] for row in order[:count].tolist()}


def measured(data: Path, out: Path, name: str, draw: Draw, seed: int, steps: int, quick: bool) -> Cell:
    """Train with a draw of true masks, and measure; what is there is read."""
    key = CellKey(name, draw.column, seed)
    if (known := read_cell(out, key)) is not None:
        return known
    folder = out / "draws" / name
    part = small_part(whole_part(data / name), folder, 12 if quick else BOXES)
    masks = {"dataset.masks_ann_path": str(true_masks(part, draw, seed, folder))} if draw.count else {}
    runs = Runs(out / "runs", {**(_quick() if quick else {}), **masks}, starter_path(trainable=True))
    trained = runs.trained(key.place, "tuned", part, seed, steps)
    boxes, rate, command = runs.evaluated(key.place / "evaluation", part, Path(trained.checkpoint), "none")
    cell = Cell(key, [trained.command, command], environment()["mal"], trained.minutes, trained.steps, rate, boxes)
    cell.write(out)
    return cell


def _quick() -> dict[str, str]:
    return {key: value for key, value in QUICK.items() if key != "model.pretrained"}


def table(out: Path, sets: Sequence[str], seeds: Sequence[int]) -> str:
    """Mean IoU by number of masks, and the difference to none with its interval, from the cells that there are."""
    lines = [
        f"Mean IoU over all boxes of val, {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}; in brackets the"
        " difference to boxes alone with its 95 % interval (images drawn anew).",
        "",
        "| set | masks drawn | " + " | ".join(map(str, COUNTS)) + " |",
        "| --- | --- |" + " ---: |" * len(COUNTS),
    ]
    for name in sets:
        for way in WAYS:
            cells = (_entry(out, name, Draw(way, count), seeds) for count in COUNTS)
            title = "by `--choose`" if way == "chosen" else "at random"
            lines.append(f"| {name} | {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _entry(out: Path, name: str, draw: Draw, seeds: Sequence[int]) -> str:
    boxes = _mean_over_seeds(out, name, draw, seeds)
    none = _mean_over_seeds(out, name, Draw(draw.way, 0), seeds)
    if boxes is None:
        return MISSING
    iou, images = boxes
    if not draw.count or none is None:
        return _short(float(iou.mean()))
    difference = iou - none[0]
    low, high = np.quantile(resampled_means(difference[:, None], images)[:, 0], [0.025, 0.975])
    return f"{_short(float(iou.mean()))} ({difference.mean():+.3f}, {low:+.3f} to {high:+.3f})"


def _mean_over_seeds(
    out: Path, name: str, draw: Draw, seeds: Sequence[int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]] | None:
    """IoU of each box, mean over seeds, and a number for its image; None if a seed is missing."""
    found: list[Boxes] = []
    for seed in seeds:
        cell = read_cell(out, CellKey(name, draw.column, seed))
        if cell is None:
            return None
        found.append(cell.boxes)
    _, images = np.unique(found[0].images, return_inverse=True)
    return np.mean([boxes.iou for boxes in found], axis=0), images


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _keys(sets: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[str, Draw, int]]:
    """Whole seeds one after the other, so that a stopped run has a table."""
    for seed in seeds:
        for name in sets:
            for draw in draws():
                yield name, draw, seed


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, and print the table."""
    options = _parser().parse_args(arguments)
    out = results_folder(options, NAME)
    steps = 2 if options.quick else options.steps
    if not options.table:
        for name, draw, seed in _keys(options.sets, options.seeds):
            cell = measured(options.data.resolve(), out, name, draw, seed, steps, options.quick)
            print(
                f"{name} {draw.column} seed {seed}: {np.mean(cell.boxes.iou):.4f}, {cell.minutes or 0:.1f} minutes",
                flush=True,
            )
    text = table(out, options.sets, options.seeds)
    if options.table:
        put_between_markers(options.document, text, (BEGIN, END))
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = quality_parser(NAME, __doc__, SETS, quick="two small steps on a few boxes, to try the command")
    add = parser.add_argument
    add("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="of trainings and random draws (default: 0)")
    add("--steps", type=int, default=STEPS, help="of a training, in whole epochs (default: %(default)s)")
    return parser


if __name__ == "__main__":
    main()
