"""`mal compare`: compare runs on the boxes that all of them have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mal.config.schema import ExperimentSpec
from mal.console import console
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError
from mal.files import atomic_file, write_json
from mal.metrics.comparison import compare, largest_changes
from mal.metrics.matched_boxes import MatchedBoxes, match_boxes, paired_boxes
from mal.reading import AS_STORED
from mal.report.compare_page import compare_page
from mal.report.comparison_words import class_note
from mal.tasks import evaluate
from mal.tasks.compare_files import compared_boxes, comparison_json, write_class_rows
from mal.tasks.compare_sources import MeasuredRun, label_run, results_run
from mal.tasks.compare_tables import comparison_tables, remarks

if TYPE_CHECKING:
    from mal.config.schema import ExperimentSpec


Kind = Literal["results", "labels", "checkpoint"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run to compare.

    Attributes:
        name: its name in all tables.
        path: a results folder of ``mal evaluate``, a label file or a checkpoint.
        kind: which of the three.
    """

    name: str
    path: Path
    kind: Kind


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """Options of ``mal compare``.

    Attributes:
        contenders: at least two, with different names; the first is the baseline.
        spec: decides how and on what checkpoints are evaluated; None without a checkpoint.
        truth: path or URL of the annotation file with the true masks; None takes that of each results folder.
        images: path or URL of its images; likewise.
        out: output folder.
        pictures: boxes shown on the page for each run but the baseline, half of them gains and half losses.
    """

    contenders: tuple[Candidate, ...]
    spec: ExperimentSpec | None
    truth: str | None
    images: str | None
    out: Path
    pictures: int = 48


RESULTS, CLASSES, PAGE = "compare.json", "classes.csv", "compare.html"


def run(options: CompareOptions) -> int:
    """Compare the runs; writes ``compare.json``, ``classes.csv`` and ``compare.html``.

    Returns:
        Exit code: 0, or 1 if the evaluation of a checkpoint could not read an image.

    Raises:
        UserError: an input cannot be read, or no box is in all runs.
    """
    exit_code, runs = _measured_runs(options)
    names = [each.name for each in runs]
    matched = match_boxes([each.instances for each in runs])
    if not len(matched.rows):
        raise UserError(_nothing_in_common(runs, matched))
    paired, classes = paired_boxes([each.instances for each in runs], matched)
    comparison = compare(paired)
    lines = remarks(runs, matched)
    changes = [largest_changes(paired, number, max(1, options.pictures // 2)) for number in range(1, len(runs))]
    for table in comparison_tables(comparison, names, classes):
        console.print(table)
        console.print()
    console.print(class_note(comparison))
    for line in lines:
        console.print(line)
    boxes, problems = compared_boxes(runs, matched, sorted({row for pair in changes for rows in pair for row in rows}))
    for problem in problems:
        console.print(f"not on the page: {problem}")
    page = compare_page(comparison, names, [str(each.path) for each in runs], classes, lines, changes, boxes)
    write_json(comparison_json(comparison, runs, matched, classes, lines, changes), options.out / RESULTS)
    write_class_rows(comparison, names, classes, options.out / CLASSES)
    with atomic_file(options.out / PAGE) as file:
        file.write(page.encode())
    console.print(f"comparison: {options.out / RESULTS}")
    console.print(f"page: {options.out / PAGE}")
    return exit_code


def _measured_runs(options: CompareOptions) -> tuple[int, list[MeasuredRun]]:
    """Read the runs in the given order; also returns the worst exit code of an evaluation.

    Checkpoints are evaluated last, so that mistakes in other files are reported before hours of evaluation.
    """
    truth, images = options.truth, options.images
    runs: dict[str, MeasuredRun] = {}
    for contender in options.contenders:
        if contender.kind == "results":
            runs[contender.name] = results_run(contender.name, contender.path, truth=truth, images=images)
    labels = [contender for contender in options.contenders if contender.kind == "labels"]
    if labels:
        dataset = options.spec.dataset if options.spec else None
        truth = truth or (dataset.val_ann_path if dataset else None)
        images = images or (dataset.val_img_dir if dataset else None) or ""
        if not truth:
            raise UserError("label files are held against true masks: set dataset.val_ann_path, or give --truth")
        source = AnnotatedImages(truth, images, reading=dataset.reading if dataset else AS_STORED)
        runs |= {each.name: label_run(each.name, each.path, source, images=images) for each in labels}
    exit_code = 0
    for contender in options.contenders:
        if contender.kind == "checkpoint":
            assert options.spec
            folder = options.out / contender.name
            exit_code = max(exit_code, _evaluate(contender, options.spec, folder))
            runs[contender.name] = results_run(contender.name, folder, truth=None, images=None)
    return exit_code, [runs[contender.name] for contender in options.contenders]


def _evaluate(contender: Candidate, spec: ExperimentSpec, folder: Path) -> int:
    """Evaluate on one device: a process can create its process group only once, and there are several evaluations."""
    console.print(f"evaluating {contender.name}: {contender.path}")
    changes = {
        "checkpoint": str(contender.path),
        "results_dir": str(folder),
        "num_gpus": 1,
        "gpu_ids": spec.evaluate.gpu_ids[:1],
        "num_nodes": 1,
    }
    return evaluate.run(spec.model_copy(update={"evaluate": spec.evaluate.model_copy(update=changes)}))


def _nothing_in_common(runs: Sequence[MeasuredRun], matched: MatchedBoxes) -> str:
    counts = ", ".join(f"{each.name} has {len(each.instances)}" for each in runs)
    why = f"; {matched.moved} of them lie elsewhere in another run" if matched.moved else ""
    return f"no box is in all runs: {counts}{why}; boxes are the same where image file and annotation id are"
