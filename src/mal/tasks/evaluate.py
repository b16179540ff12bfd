"""`mal evaluate`: measure a checkpoint on boxes with true masks."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from mal.coco.ground_truth import GroundTruth, explain_missing_masks, reasons
from mal.config.load import save_spec
from mal.config.schema import ExperimentSpec
from mal.console import console, tell
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError
from mal.files import write_json
from mal.labeler import MaskAutoLabeler
from mal.labeling.pipeline import load_networks, make_labeler
from mal.metrics.box_noise import BoxNoise
from mal.metrics.clusters import cluster_quality
from mal.metrics.instance_file import instance_rows, write_classes, write_instances
from mal.metrics.results import Clustering, EvaluationFigures
from mal.metrics.summary import ClassNumbers, evaluation_figures, summarize
from mal.runtime.process_group import ProcessGroup, start_processes
from mal.runtime.run_folder import run_folder, show_notes
from mal.runtime.status import StatusLog
from mal.tasks import report
from mal.tasks.box_noise import measure_box_noise, write_box_noise
from mal.tasks.evaluate_pass import EvaluationResult, evaluate_boxes, mask_precisions, other_networks
from mal.tasks.evaluate_tables import box_noise_table, show_evaluation
from mal.tasks.report import after_a_run
from mal.tasks.sources import SOURCES_NAME, with_coco_files
from mal.tasks.threshold_choice import THRESHOLDS_NAME, Values, show_thresholds, threshold_ious

METRICS, TIMING = "metrics.json", "timing.json"
INSTANCES, CLASSES, PREDICTIONS = "instances.csv", "classes.csv", "predictions.json"


def run(
    spec: ExperimentSpec,
    *,
    agreement: bool = False,
    box_noise: bool = False,
    box_noise_boxes: int = 500,
    thresholds: bool = False,
) -> int:
    """Evaluate ``evaluate.checkpoint`` on the validation set; docs/evaluation.md lists the output files.

    Args:
        spec: the run's spec.
        agreement: also run the network that the spec does not select, and report the agreement of both masks.
        box_noise: also measure the effect of inaccurate boxes.
        box_noise_boxes: number of boxes for that measurement.
        thresholds: also compare thresholds, see `mal.tasks.threshold_choice`.

    Returns:
        Exit code: 0 if every box with a mask was evaluated, 1 if an image could not be read.

    Raises:
        UserError: the input does not allow an evaluation; one line says what to do.
    """
    evaluate = spec.evaluate
    assert evaluate.checkpoint
    with run_folder(spec, "evaluate") as (folder, status):
        spec = with_coco_files(spec, ["validation"], folder / SOURCES_NAME)
        source = _annotations_with_masks(spec)
        held = load_networks(evaluate.checkpoint, spec, "evaluate")
        spec = held.spec
        processes = start_processes(spec, "evaluate")
        if not processes.rank:
            save_spec(spec, folder / "spec.yaml")
        labeler = make_labeler(held, processes, "evaluate")
        classes = ClassNumbers(source.coco, source.boxes_to_label)
        found = evaluate_boxes(
            source,
            labeler,
            classes,
            processes,
            folder / PREDICTIONS,
            batch_size=evaluate.batch_size,
            num_workers=spec.dataset.num_workers_per_gpu,
            others=other_networks(labeler) if agreement else (),
            with_vectors=evaluate.comp_clustering,
        )
        noise = _box_noise(spec, source, labeler, processes, found, box_noise_boxes) if box_noise else None
        ious = _threshold_ious(spec, source, labeler, processes) if thresholds else None
        if processes.rank:
            return 0
        _show_notes(found, source, status)
        figures = _write_results(evaluate.checkpoint, found, source, classes, folder, status)
        show_evaluation(figures)
        if noise is not None:
            write_box_noise(noise, folder)
            console.print(box_noise_table(noise))
        if ious is not None:
            show_thresholds(ious, labeler.thresholds, folder / THRESHOLDS_NAME)
        status.write("evaluated", figures.model.model_dump(mode="json"))
        console.print(f"{len(found.table)} boxes in {found.seconds:.1f} s, {_milliseconds(found):.1f} ms a box")
        console.print(f"metrics: {folder / METRICS}")
        if evaluate.report:
            after_a_run(lambda: report.of_evaluation(folder))
    return 1 if found.failures else 0


def _annotations_with_masks(spec: ExperimentSpec) -> AnnotatedImages:
    dataset = spec.dataset
    assert dataset.val_ann_path
    assert dataset.val_img_dir
    if not dataset.load_mask:
        raise UserError("dataset.load_mask is false: evaluation compares with the masks of dataset.val_ann_path")
    source = AnnotatedImages(dataset.val_ann_path, dataset.val_img_dir, reading=dataset.reading)
    if not source.boxes_to_label.has_mask.any():
        raise UserError(f"{source.coco.path}: no annotation has a mask to compare with")
    truth = GroundTruth(source.coco)
    if not truth.has_any(source.boxes_to_label):
        raise UserError(
            f"{source.coco.path}: no mask is left to compare with{explain_missing_masks(source.coco, truth)}"
        )
    tell(source.turned_line)
    tell(source.dim_line)
    return source


def _box_noise(
    spec: ExperimentSpec,
    source: AnnotatedImages,
    labeler: MaskAutoLabeler,
    processes: ProcessGroup,
    found: EvaluationResult,
    max_boxes: int,
) -> BoxNoise | None:
    return measure_box_noise(
        source,
        labeler,
        processes,
        found.table,
        max_boxes=max_boxes,
        batch_size=spec.evaluate.batch_size,
        num_workers=spec.dataset.num_workers_per_gpu,
    )


def _threshold_ious(
    spec: ExperimentSpec, source: AnnotatedImages, labeler: MaskAutoLabeler, processes: ProcessGroup
) -> Values:
    return threshold_ious(
        source,
        labeler,
        processes,
        batch_size=spec.evaluate.batch_size,
        num_workers=spec.dataset.num_workers_per_gpu,
    )


def _show_notes(found: EvaluationResult, source: AnnotatedImages, status: StatusLog) -> None:
    show_notes([*source.notes, *found.notes], status)
    for reason in reasons(found.notes):
        console.print(f"  in no figure: {reason}")
    for box, reason in found.failures:
        console.print(f"  failed: annotation {box.annotation_id}: {reason}")
        status.write(f"annotation {box.annotation_id}: {reason}", level="error")


def _write_results(
    checkpoint: str,
    found: EvaluationResult,
    source: AnnotatedImages,
    classes: ClassNumbers,
    folder: Path,
    status: StatusLog,
) -> EvaluationFigures:
    start = time.monotonic()
    has_mask = source.coco.table.has_mask
    mask_ap, notes = mask_precisions(source.coco, found.table, classes, folder / PREDICTIONS)
    show_notes(notes, status)
    figures = evaluation_figures(
        summarize(found.table),
        mask_ap,
        classes.names,
        checkpoint=checkpoint,
        images=len(np.unique(found.table["image"])),
        failed=len(found.failures),
        **_clustering(found),
        no_truth=sum(bool(has_mask[note.position]) for note in found.notes if note.position is not None),
    )
    write_instances(instance_rows(source.coco, found.table, classes), folder / INSTANCES)
    write_classes(figures, classes, folder / CLASSES)
    write_json(figures.as_json(), folder / METRICS)
    write_json(_timing(found, time.monotonic() - start), folder / TIMING)
    return figures


def _clustering(found: EvaluationResult) -> dict[str, Clustering]:
    """The metric by its key, or nothing where it was not asked for or is not defined."""
    scores = cluster_quality(found.vectors) if found.vectors else None
    if found.vectors and scores is None:
        console.print("clustering: not defined here, which takes two classes, and two boxes of one of them")
    return {} if scores is None else {"clustering": Clustering(**scores)}


def _milliseconds(found: EvaluationResult) -> float:
    return 1000 * found.seconds / max(len(found.table), 1)


def _timing(found: EvaluationResult, seconds_figures: float) -> dict[str, float]:
    """The content of the timing file, separate because ``metrics.json`` is the same for every run of the same masks."""
    return {
        "boxes": len(found.table),
        "seconds": found.seconds,
        "milliseconds_per_box": _milliseconds(found),
        "seconds_measuring": found.seconds_measuring,
        "seconds_figures": seconds_figures,
    }
