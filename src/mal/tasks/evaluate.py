"""Measure a checkpoint on boxes whose true masks are known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from rich.table import Table

from mal.config.schema import ExperimentSpec
from mal.console import console
from mal.data.boxes import Box
from mal.data.crop_stream import CropBatch
from mal.data.datamodule import AnnotatedImages
from mal.data.json_out import write_json
from mal.data.notes import RecordNote
from mal.errors import UserError
from mal.labeler import MaskAutoLabeler
from mal.metrics.clustering import ClassedVectors, cluster_quality
from mal.metrics.evaluator import METHODS, BoxScores, Evaluation, Evaluator
from mal.models.build import prediction_mode
from mal.size_bins import SIZE_NAMES
from mal.tasks.crop_run import Processes, crop_batches, start_processes
from mal.tasks.in_background import Arriving, done_in_background, encoders_beside, on_its_way_to_the_cpu
from mal.tasks.labeler_of import labeler_of
from mal.tasks.run_folder import run_folder, show_notes

METHOD_TITLES = {"model": "model", "box": "filled box", "ellipse": "ellipse in box"}
CLASSES_SHOWN = 12


def run(spec: ExperimentSpec) -> int:
    """Evaluate ``evaluate.checkpoint`` on the validation set; writes ``metrics.json``.

    Returns:
        Exit code: 0 when every box with a mask was evaluated, 1 when an image could not be read.

    Raises:
        UserError: the input does not allow an evaluation; one line says what to do.
    """
    with run_folder(spec, "evaluate") as (folder, status):
        source = _annotations_with_masks(spec)
        processes = start_processes(spec, "evaluate")
        evaluation, cluster, failures, warnings = _evaluate(spec, source, processes, folder)
        if processes.rank:
            return 0
        show_notes(warnings, status)
        for box, reason in failures:
            console.print(f"  failed: annotation {box.annotation_id}: {reason}", markup=False)
            status.write(f"annotation {box.annotation_id}: {reason}", level="error")
        show_evaluation(evaluation)
        metrics = {"checkpoint": spec.evaluate.checkpoint, **evaluation.as_dict(), "failed": len(failures)}
        if cluster is not None:
            metrics["clustering"] = cluster
        write_json(metrics, folder / "metrics.json")
        status.write("evaluated", evaluation.model.as_dict())
        console.print(f"metrics: {folder / 'metrics.json'}")
    return 1 if failures else 0


def show_evaluation(evaluation: Evaluation) -> None:
    """Print the methods side by side, then the classes."""
    console.print(_methods_table(evaluation))
    console.print(_classes_table(evaluation))


def _annotations_with_masks(spec: ExperimentSpec) -> AnnotatedImages:
    dataset = spec.dataset
    assert dataset.val_ann_path
    assert dataset.val_img_dir
    if not dataset.load_mask:
        raise UserError("dataset.load_mask is false: evaluation compares with the masks of dataset.val_ann_path")
    return AnnotatedImages(Path(dataset.val_ann_path), Path(dataset.val_img_dir))


def _evaluate(
    spec: ExperimentSpec, source: AnnotatedImages, processes: Processes, folder: Path
) -> tuple[Evaluation, dict[str, float] | None, list[tuple[Box, str]], list[RecordNote]]:
    evaluate = spec.evaluate
    assert evaluate.checkpoint
    labeler = labeler_of(evaluate.checkpoint, spec, prediction_mode(spec, evaluate), processes, folder)
    evaluator = Evaluator(source.coco, source.boxes_to_label, spec.train.mask_thres).to(processes.device)
    if not source.boxes_to_label.has_mask.any():
        raise UserError(f"{source.coco.path}: no annotation has a mask to compare with")
    vectors: list[ClassedVectors] = []
    failures: list[tuple[Box, str]] = []
    batches = crop_batches(
        source,
        labeler,
        processes,
        name="evaluating",
        batch_size=evaluate.batch_size,
        num_workers=spec.dataset.num_workers_per_gpu,
    )

    def computed() -> Iterator[tuple[CropBatch, Arriving]]:
        for batch in batches:
            failures.extend(batch.failures)
            if len(batch):
                if evaluate.comp_clustering:
                    vectors.append(_classed_vectors(batch, labeler, evaluator))
                yield batch, on_its_way_to_the_cpu(labeler.probabilities(batch))

    def measured(job: tuple[CropBatch, Arriving]) -> BoxScores:
        batch, probs = job
        return evaluator.measure(batch, probs())

    for scores in done_in_background(measured, computed(), threads=encoders_beside(labeler.device)):
        evaluator.add(scores)
    all_failures = [failure for part in processes.gather(failures) for failure in part]
    all_failures.sort(key=lambda failure: failure[0].position)
    missing = {place: note for part in processes.gather(evaluator.truth.notes) for place, note in part.items()}
    all_vectors = [each for part in processes.gather(vectors) for each in part]
    notes = [*source.notes, *(note for _, note in sorted(missing.items()))]
    return evaluator.compute(), cluster_quality(all_vectors) if all_vectors else None, all_failures, notes


def _classed_vectors(batch: CropBatch, labeler: MaskAutoLabeler, evaluator: Evaluator) -> ClassedVectors:
    positions = torch.tensor([box.position for box in batch.boxes])
    return ClassedVectors(positions, labeler.instance_vectors(batch).float().cpu(), evaluator.categories(batch))


def _methods_table(evaluation: Evaluation) -> Table:
    table = Table(
        title="mean IoU over classes and over boxes; by size over boxes; share of boxes", title_justify="left"
    )
    table.add_column("", no_wrap=True)
    for column in ("classes", "boxes", *SIZE_NAMES, ">= 0.5", ">= 0.75"):
        table.add_column(column, justify="right", no_wrap=True)
    for method in METHODS:
        summary = evaluation.methods[method]
        sizes = [summary.by_size[size].instances for size in SIZE_NAMES]
        values = [summary.all.classes, summary.all.instances, *sizes, summary.share_50, summary.share_75]
        table.add_row(METHOD_TITLES[method], *map(_number, values))
    counts = [evaluation.model.by_size[size].n for size in SIZE_NAMES]
    table.add_section()
    table.add_row(
        "how many", str(len(evaluation.model.by_class)), str(evaluation.model.all.n), *map(str, counts), "", ""
    )
    return table


def _classes_table(evaluation: Evaluation) -> Table:
    classes = sorted(evaluation.model.by_class.items(), key=lambda item: item[1].n, reverse=True)
    hidden = len(classes) - CLASSES_SHOWN
    title = "classes with most boxes" + (f" ({hidden} more in metrics.json)" if hidden > 0 else "")
    table = Table(title=title, title_justify="left")
    table.add_column("class")
    for column in ("boxes", *(METHOD_TITLES[method] for method in METHODS)):
        table.add_column(column, justify="right")
    for number, entry in classes[:CLASSES_SHOWN]:
        means = [evaluation.methods[method].by_class[number].mean for method in METHODS]
        table.add_row(evaluation.category_names[number], str(entry.n), *map(_number, means))
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
