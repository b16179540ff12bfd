"""Write masks for boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mal.config.schema import ExperimentSpec, label_dump_file
from mal.console import console
from mal.data.crop_stream import CropBatch
from mal.data.datamodule import AnnotatedImages
from mal.data.ground_truth import GroundTruth
from mal.data.notes import RecordNote
from mal.labeler import MaskAutoLabeler
from mal.labelling.label import Label
from mal.labelling.label_file import check_output_path, write_label_file
from mal.labelling.label_report import label_report, summary_lines, write_label_report
from mal.masks.paste import PastedMask
from mal.masks.rle import Rle
from mal.metrics.iou import mask_iou
from mal.models.build import prediction_mode
from mal.tasks.crop_run import Processes, crop_batches, start_processes
from mal.tasks.in_background import Arriving, done_in_background, encoders_beside, on_its_way_to_the_cpu
from mal.tasks.labeler_of import labeler_of
from mal.tasks.run_folder import run_folder
from mal.training.status import StatusLog

REPORT_NAME = "inference_report.json"


def run(spec: ExperimentSpec) -> int:
    """Label every box of ``inference.ann_path``; writes the label file and ``inference_report.json``.

    Returns:
        Exit code: 0 when every box that should have a mask got one, 1 when an image could not be read.

    Raises:
        UserError: the input does not allow labelling; one line says what to do.
    """
    inference = spec.inference
    assert inference.ann_path
    assert inference.img_dir
    assert inference.checkpoint
    with run_folder(spec, "inference") as (folder, status):
        output = label_dump_file(spec)
        check_output_path(Path(inference.ann_path), output)
        source = AnnotatedImages(Path(inference.ann_path), Path(inference.img_dir))
        processes = start_processes(spec, "inference")
        labeler = labeler_of(inference.checkpoint, spec, prediction_mode(spec, inference), processes, folder)
        labels, notes = label_boxes(
            source,
            labeler,
            processes,
            batch_size=inference.batch_size,
            num_workers=spec.dataset.num_workers_per_gpu,
            truth=GroundTruth(source.coco) if inference.load_mask else None,
        )
        if processes.rank:
            return 0
        return write_labels(source, labels, notes, output, folder / REPORT_NAME, status)


def label_boxes(
    source: AnnotatedImages,
    labeler: MaskAutoLabeler,
    processes: Processes,
    *,
    batch_size: int,
    num_workers: int,
    truth: GroundTruth | None = None,
) -> tuple[dict[int, Label], list[RecordNote]]:
    """Masks of all boxes, from all processes.

    Args:
        source: annotation file and images.
        labeler: makes the masks.
        processes: who shares the work.
        batch_size: boxes that the network sees at once.
        num_workers: processes that read images.
        truth: true masks to compare with; None leaves the comparison out.

    Returns:
        Labels by position in the annotations, and a note for each box that failed; in the first process those of all,
        in the others nothing.
    """
    labels: dict[int, Label] = {}
    notes: list[RecordNote] = []
    batches = crop_batches(source, labeler, processes, name="labelling", batch_size=batch_size, num_workers=num_workers)

    def computed() -> Iterator[tuple[CropBatch, Arriving]]:
        for batch in batches:
            for box, reason in batch.failures:
                notes.append(RecordNote(box.position, box.annotation_id, box.image.id, "failed", reason))
            if len(batch):
                yield batch, on_its_way_to_the_cpu(labeler.probabilities(batch))

    def encoded(job: tuple[CropBatch, Arriving]) -> dict[int, Label]:
        batch, probs = job
        masks = zip(batch.boxes, labeler.pasted(batch, probs()), strict=True)
        return {box.position: _label(mask, truth.rle(box) if truth else None) for box, mask in masks}

    for found in done_in_background(encoded, computed(), threads=encoders_beside(labeler.device)):
        labels |= found
    notes += truth.notes.values() if truth else []
    gathered = processes.gather((labels, notes))
    all_labels = {position: label for part, _ in gathered for position, label in part.items()}
    return all_labels, sorted((note for _, part in gathered for note in part), key=lambda note: note.position or 0)


def _label(mask: PastedMask, truth: Rle | None) -> Label:
    rle = mask.rle()
    return Label(rle, iou=mask_iou(rle, truth) if truth else None)


def write_labels(
    source: AnnotatedImages,
    labels: dict[int, Label],
    notes: Sequence[RecordNote],
    output: Path,
    report_path: Path,
    status: StatusLog | None = None,
) -> int:
    """Write the label file and the report, and tell the person what became of the records.

    Returns:
        Exit code: 1 when a box that should have a mask has none.
    """
    # The notes of the file itself are in the report already.
    own_notes = [note for note in source.notes if note not in source.coco.notes]
    all_notes = [*own_notes, *notes]
    all_notes += write_label_file(source.coco, labels, all_notes, output)
    report = label_report(source.coco, labels, all_notes)
    write_label_report(report, report_path)
    for line in summary_lines(report):
        console.print(line, markup=False)
    if status is not None:
        status.write("labelled", report["counts"])
    console.print(f"labels: {output}")
    console.print(f"report: {report_path}")
    return 1 if report["counts"]["failed"] else 0
