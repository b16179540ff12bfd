"""How good are masks that are learned from boxes, beside rules without a network and beside true masks?

    python -m benchmarks.quality                    # what is missing is measured, then the tables are printed
    python -m benchmarks.quality --table            # the tables of docs/quality.md, from what there is

A cell of the table is a set of pictures, a column (`benchmarks.quality_columns`) and a seed. Each is kept in a JSON
file of its own and not measured again, so a stopped run goes on. All networks are trained by one recipe (`small-data`),
for the same number of boxes: minutes x boxes a second. Masks of val parts are read by the measurement alone.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.quality_cells import Cell, CellKey, cell_path
from benchmarks.quality_columns import COLUMNS, TRAININGS
from benchmarks.quality_options import quality_parser, results_folder
from benchmarks.quality_rules import measure_rule
from benchmarks.quality_sets import Part, whole_part, write_folds
from benchmarks.quality_table import View, put_between_markers, seeds_of, tables
from benchmarks.quality_training import RECIPE, Refine, Runs
from benchmarks.report import environment
from mal.config.recipes import RECIPES
from mal.starter.files import STARTER, starter_path

SETS = ("coco-mini", "nuts", "nuclei", "pothole", "balloon", "cardamage")
LARGE = ("coco-mini",)
FOLDED = ("nuts", "pothole", "balloon", "cardamage")  # val alone is too few boxes
BATCH_SIZE = int(RECIPES[RECIPE].values["train.batch_size"])
NAME = "quality"
QUICK = {
    "model.pretrained": "false",
    "dataset.crop_size": "64",
    "dataset.num_workers_per_gpu": "0",
    "train.batch_size": "4",
}
QUICK_STEPS = 2


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        data: folder of the sets.
        out: folder of cells and runs.
        sets, columns, seeds: of the table.
        folds: how many more parts the sets of :data:`FOLDED` are cut into; 0 leaves that out.
        runs: trains and evaluates.
        steps: of a training on small sets, and on :data:`LARGE` ones.
    """

    data: Path
    out: Path
    sets: Sequence[str]
    columns: Sequence[str]
    seeds: Sequence[int]
    folds: int
    runs: Runs
    steps: tuple[int, int]

    @property
    def views(self) -> list[View]:
        """Rows of the table: val parts, then folds."""
        folded = [name for name in self.sets if name in FOLDED] if self.folds else []
        return [*map(View, self.sets), *(View(name, tuple(range(self.folds))) for name in folded)]

    def cells(self) -> Iterator[tuple[CellKey, Part]]:
        """All cells, the quick ones of each part first."""
        for view in self.views:
            folder = self.data / view.name
            parts = [whole_part(folder)]
            if view.folds != (None,):
                parts = write_folds(folder, self.out / "folds" / f"{view.name}-{self.folds}", self.folds)
            for fold, part in zip(view.folds, parts, strict=True):
                for column in sorted(self.columns, key=lambda name: COLUMNS[name].rule is None):
                    for seed in seeds_of(column, self.seeds, view):
                        yield CellKey(view.name, column, seed, fold), part

    def steps_for(self, name: str) -> int:
        """Steps of a training on a set."""
        return self.steps[name in LARGE]


def measure(plan: Plan) -> None:
    """Measure the cells that are missing."""
    todo = [(key, part) for key, part in plan.cells() if not cell_path(plan.out, key).exists()]
    for number, (key, part) in enumerate(todo, start=1):
        print(f"{number} of {len(todo)}: {key.place}", flush=True)
        measured_cell(plan, key, part).write(plan.out)


def measured_cell(plan: Plan, key: CellKey, part: Part) -> Cell:
    """Measure a cell."""
    column, commit = COLUMNS[key.column], environment()["mal"]
    if column.rule:
        boxes, rate = measure_rule(column.rule, part)
        return Cell(key, [f"python -m benchmarks.quality --columns {key.column}"], commit, None, None, rate, boxes)
    commands, minutes, steps = [], None, None
    place = key.place.with_name(f"{column.training or STARTER}-{key.seed}")
    if column.training:
        steps_per_epoch = math.ceil(part.num_train_boxes / BATCH_SIZE)
        length = TRAININGS[column.training].steps(plan.steps_for(key.name), steps_per_epoch)
        trained = plan.runs.trained(place, column.training, part, key.seed, length)
        checkpoint, minutes, steps = Path(trained.checkpoint), trained.minutes, trained.steps
        commands.append(trained.command)
    else:
        checkpoint = plan.runs.starter
    refine: Refine = "none" if column.refine == "none" else plan.runs.refinement(place, part, checkpoint)
    boxes, rate, command = plan.runs.evaluated(place / f"evaluation-{refine}", part, checkpoint, refine)
    return Cell(key, [*commands, command], commit, minutes, steps, rate, boxes)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, and print the tables."""
    options = _parser().parse_args(arguments)
    plan = _plan(options, options.columns or list(COLUMNS))
    if not options.table:
        measure(plan)
    text = tables(plan.out, plan.views, plan.columns, plan.seeds)
    if options.table:
        put_between_markers(options.document, text)
    print(text)


def _plan(options: argparse.Namespace, columns: Sequence[str]) -> Plan:
    out = results_folder(options, NAME)
    seeds = options.seeds if options.seeds is not None else [0] if options.quick else [0, 1, 2]
    small, large = (
        max(1, round(60 * minutes * options.boxes_per_second / BATCH_SIZE))
        for minutes in (options.minutes_small, options.minutes_large)
    )
    return Plan(
        data=options.data.resolve(),
        out=out,
        sets=options.sets,
        columns=columns,
        seeds=seeds,
        folds=options.folds,
        runs=Runs(out / "runs", QUICK if options.quick else {}, options.starter.resolve()),
        steps=(QUICK_STEPS, QUICK_STEPS) if options.quick else (small, large),
    )


def _checkpoint(text: str) -> Path:
    return starter_path(trainable=True) if text == STARTER else Path(text)


def _parser() -> argparse.ArgumentParser:
    quick = "two steps of an untrained network on small crops, to try the command"
    parser = quality_parser(NAME, __doc__, SETS, quick=quick)
    add = parser.add_argument
    add("--columns", nargs="+", choices=COLUMNS, help="ways of making masks (default: all)")
    add(
        "--seeds",
        nargs="+",
        type=int,
        metavar="SEED",
        help="of final columns on val; others take the first alone (default: 0 1 2)",
    )
    add("--folds", type=int, default=0, help=f"also so many folds over train and val of {', '.join(FOLDED)}")
    add(
        "--starter",
        type=_checkpoint,
        default=starter_path(trainable=True),
        metavar="FILE",
        help=f"checkpoint of the columns that begin with one (default: {STARTER}, that of the package)",
    )
    add("--minutes-small", type=float, default=3.0, help="of a training on a set (default: %(default)g)")
    add("--minutes-large", type=float, default=6.0, help=f"on {', '.join(LARGE)} (default: %(default)g)")
    add(
        "--boxes-per-second",
        type=float,
        default=25.0,
        help="that training sees on two cores with nothing else to do; the length of a run is minutes times this, so"
        " that a busy machine makes no worse networks (default: %(default)g)",
    )
    return parser


if __name__ == "__main__":
    main()
