"""Is the network that `mal auto` keeps the better one? Its choice, made without masks, beside the truth.

    python -m benchmarks.quality --columns starter tuned     # trains and measures; then
    python -m benchmarks.auto_choice                          # a row for each tuned network

The signals are of the boxes of val, which no network was trained on; true masks of val are read by the cells of
`benchmarks.quality` alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.photos_with_boxes import SHARED
from benchmarks.quality import SETS
from benchmarks.quality_cells import RULES_SEED, CellKey, read_cell
from benchmarks.quality_sets import whole_part
from benchmarks.quality_training import ROOT
from mal.auto.choose import Signals, choose, combined, measure_signals
from mal.data.loaders import AnnotatedImages
from mal.files import write_json
from mal.labeler import MaskAutoLabeler
from mal.starter.files import starter_path


@dataclass(frozen=True)
class Row:
    """A tuned network beside the starter.

    Attributes:
        name, seed: of the set and the training.
        boxes: of val.
        starter, tuned: signals.
        iou: true mean IoU of both.
    """

    name: str
    seed: int
    boxes: int
    starter: Signals
    tuned: Signals
    iou: tuple[float, float]

    @property
    def keeps_tuned(self) -> bool:
        """The choice."""
        return choose(self.starter, self.tuned, self.boxes).network == "trained"

    @property
    def loss(self) -> float:
        """Mean IoU that the choice costs; 0 where it is right."""
        return max(self.iou) - self.iou[self.keeps_tuned]


def rows(data: Path, out: Path, sets: Sequence[str], seeds: Sequence[int]) -> Iterator[Row]:
    """Rows of the trainings that are finished."""
    for name in sets:
        before = read_cell(out, CellKey(name, "starter", RULES_SEED))
        for seed in seeds:
            after = read_cell(out, CellKey(name, "tuned", seed))
            if before is None or after is None:
                continue
            iou = float(np.mean(before.boxes.iou)), float(np.mean(after.boxes.iou))
            tuned = out / "runs" / name / f"tuned-{seed}" / "train" / "mal_model_latest.pth"
            starter = signals(data / name, starter_path(trainable=True), out / "signals" / f"{name}-starter.json")
            found = signals(data / name, tuned, out / "signals" / f"{name}-{seed}.json")
            yield Row(name, seed, len(after.boxes.ids), starter, found, iou)


def signals(folder: Path, checkpoint: Path, record: Path) -> Signals:
    """Signals of a network on the boxes of val, measured once."""
    if not record.is_file():
        part = whole_part(folder)
        source = AnnotatedImages(part.val_masks, part.val_images)
        labeler = MaskAutoLabeler.from_checkpoint(checkpoint)
        record.parent.mkdir(parents=True, exist_ok=True)
        write_json(asdict(measure_signals(labeler, source, source.boxes_to_label, record.stem)), record)
    return Signals(**json.loads(record.read_bytes()))


def table(found: Sequence[Row]) -> Iterator[str]:
    """As Markdown, with what was lost by wrong choices below."""
    heads = ["set", "seed", "starter", "tuned", "truth: gain", "signal: gain", "own: gain", "kept", "lost by it"]
    yield f"| {' | '.join(heads)} |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |"
    for row in found:
        gain = combined(row.tuned) - combined(row.starter)
        kept = "tuned" if row.keeps_tuned else "starter"
        own = row.tuned.own - row.starter.own
        numbers = f"{row.iou[0]:.3f} | {row.iou[1]:.3f} | {row.iou[1] - row.iou[0]:+.3f} | {gain:+.3f} | {own:+.3f}"
        yield f"| {row.name} | {row.seed} | {numbers} | {kept} | {row.loss:.3f} |"
    wrong = [row.loss for row in found if row.loss]
    yield ""
    yield (
        f"{len(found) - len(wrong)} of {len(found)} choices are right; the others lose {np.mean(wrong or [0]):.3f} on"
        f" average, at most {max(wrong, default=0):.3f}."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.auto_choice",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="folder of the sets")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "quality", help="as of quality")
    parser.add_argument("--sets", nargs="+", default=SETS, metavar="SET")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
    options = parser.parse_args(arguments)
    for line in table(list(rows(options.data, options.out, options.sets, options.seeds))):
        print(line)


if __name__ == "__main__":
    main()
