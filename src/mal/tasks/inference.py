"""`mal inference`: masks for the boxes of a COCO file, by a spec."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

from mal.config.load import save_spec, spec_from_values
from mal.config.precedence import effective_spec
from mal.config.schema import ExperimentSpec, label_dump_file
from mal.console import console, quiet_console, tell
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError
from mal.formats.formats import WITH_MASKS
from mal.formats.recognize import source_format
from mal.labeling.early_records import early_settings, rewrite_early_record
from mal.labeling.job import Engine, LabelJob, decides_the_file, label_here, run_job
from mal.labeling.label_file import check_output_path
from mal.labeling.pipeline import load_networks, make_labeler
from mal.labeling.remote import behind_urls
from mal.labeling.resolve import smallest_box_wins
from mal.labeling.run import RECORD_NAME, is_finished, run_identity, spec_settings
from mal.load_model import LoadedModel
from mal.paths import is_url
from mal.runtime.process_group import ProcessGroup, single_process, start_processes
from mal.runtime.run_folder import run_folder
from mal.runtime.status import StatusLog
from mal.tasks import report
from mal.tasks.report import after_a_run
from mal.tasks.sources import SOURCES_NAME, with_coco_files

REPORT_NAME = "inference_report.json"
SKIPPED_NAME = "skipped.csv"
SHARDS_NAME = "shards"


def run(spec: ExperimentSpec, *, overwrite: bool = False, restart: bool = False) -> int:
    """Label every box of ``inference.ann_path``; writes the label file and ``inference_report.json``.

    A stopped run is resumed.

    Args:
        spec: the run's spec.
        overwrite: whether a finished label file may be replaced.
        restart: whether to discard the results of an unfinished run.

    Returns:
        Exit code: 0 if every box that should have a mask got one, 1 if an image could not be read.

    Raises:
        UserError: the input does not allow labeling; one line says what to do.
    """
    with run_folder(spec, "inference", keep_spec=False) as (folder, status):
        places = LabelPlaces(
            labels=label_dump_file(spec),
            report=folder / REPORT_NAME,
            skipped=folder / SKIPPED_NAME,
            shards=folder / SHARDS_NAME,
            sources=folder / SOURCES_NAME,
            spec=folder / "spec.yaml",
            page=folder / report.PAGE if spec.inference.report else None,
        )
        start = partial(start_processes, task="inference") if spec.inference.engine == "processes" else _alone
        return label_file(spec, places, start, overwrite=overwrite, restart=restart, status=status)


@dataclass(frozen=True, slots=True)
class LabelPlaces:
    """Output paths of a labeling run.

    Attributes:
        labels: the label file.
        report, skipped: the outcomes of the annotations, as JSON and as CSV.
        shards: folder of intermediate results.
        sources: folder for the input as a COCO file, where it is in another format.
        spec: the complete spec; None writes none.
        page: the HTML report; None writes none.
        are_told: whether the paths and the settings of the network are printed.
    """

    labels: Path
    report: Path
    skipped: Path
    shards: Path
    sources: Path
    spec: Path | None = None
    page: Path | None = None
    are_told: bool = True


def label_file(
    spec: ExperimentSpec,
    places: LabelPlaces,
    start: Callable[[ExperimentSpec], ProcessGroup],
    *,
    overwrite: bool,
    restart: bool,
    status: StatusLog | None = None,
    exif_option: str = "dataset.exif=upright",
    images_option: str | None = None,
) -> int:
    """Label the input of the section ``inference``; used by ``mal label`` and ``mal inference`` alike.

    Args:
        spec: as the user gave it.
        places: output paths.
        start: starts the process group of a complete spec.
        overwrite: whether a finished label file may be replaced.
        restart: whether to discard the results of an unfinished run.
        status: log of the run's end.
        exif_option: the option for upright images, as messages name it.
        images_option: the option for the folder of the pictures, as messages name it; None means the spec's field.

    Returns:
        Exit code as in `run`.

    Raises:
        UserError: as in `run`.
    """
    assert spec.inference.ann_path
    check_output_path(Path(spec.inference.ann_path), places.labels)
    _require_outside(places.labels, spec)
    came_in = source_format(spec.inference.ann_path, spec.inference.ann_format)
    spec = with_coco_files(spec, ["labelling"], places.sources, images_option)
    assert spec.inference.ann_path
    assert spec.inference.img_dir
    assert spec.inference.checkpoint
    source = AnnotatedImages(spec.inference.ann_path, spec.inference.img_dir, reading=spec.dataset.reading)
    tell(partial(source.turned_line, exif_option))
    tell(source.dim_line)
    record = places.shards / RECORD_NAME
    early = {} if restart else early_settings(record)
    with _told(places):
        held = load_networks(spec.inference.checkpoint, effective_spec(spec, early).spec, "inference")
    spec = held.spec
    inference = spec.inference
    processes = start(spec)
    if early and not processes.rank:
        began = effective_spec(spec_from_values(early), held.settings).spec
        rewrite_early_record(record, spec_settings(began))
    job = LabelJob(
        source=source,
        output=places.labels,
        report=places.report,
        skipped=places.skipped,
        shards=places.shards,
        identity=cache(
            partial(
                run_identity, Path(str(inference.checkpoint)), source.coco.path, source.img_dir, spec_settings(spec)
            )
        ),
        batch_size=inference.batch_size,
        num_workers=spec.dataset.num_workers_per_gpu,
        load_mask=inference.load_mask,
        keep_existing_masks=inference.keep_existing_masks,
        min_score=inference.min_score,
        overwrite=overwrite,
        restart=restart,
        on_complete=partial(_write_page, places, source),
        on_start=lambda: save_spec(spec, places.spec) if places.spec and not processes.rank else None,
        resolve=smallest_box_wins(source, load_mask=inference.load_mask) if spec.masks.no_overlap else None,
        tells_paths=places.are_told,
    )
    with _behind_urls(job, spec, processes):
        exit_code = run_job(job, processes, _engine(held, processes), status)
    if came_in in WITH_MASKS:
        words = [
            "mal",
            "convert",
            str(places.labels),
            "OUT",
            "--to",
            WITH_MASKS[came_in],
            "--images",
            str(source.img_dir),
        ]
        console.print(f"`{shlex.join(words)}` writes the masks in the format that came in")
    return exit_code


def _require_outside(labels: Path, spec: ExperimentSpec) -> None:
    """Check that the label file does not become a part of the data set that it is made from.

    Raises:
        UserError: it lies in a folder of annotations in another format, whose reader would read it next time.
    """
    source = spec.inference.ann_path
    assert source
    if source_format(source, spec.inference.ann_format) == "coco" or not Path(source).is_dir():
        return
    if labels.resolve().is_relative_to(Path(source).resolve()):
        raise UserError(f"{labels} lies in {source}, into which nothing is written: give the label file another place")


def _write_page(places: LabelPlaces, source: AnnotatedImages, is_new: bool) -> None:
    if places.page is None:
        return
    page = places.page

    def write() -> int:
        with _told(places):
            return report.of_labels(
                places.labels, source.img_dir, out=page, only_missing=not is_new, reading=source.coco.images.reading
            )

    after_a_run(write)


def _told(places: LabelPlaces) -> AbstractContextManager[None]:
    return nullcontext() if places.are_told else quiet_console()


def _alone(spec: ExperimentSpec) -> ProcessGroup:
    return single_process()


def _behind_urls(job: LabelJob, spec: ExperimentSpec, processes: ProcessGroup) -> AbstractContextManager[None]:
    if processes.rank:
        return nullcontext()
    path = spec.inference.label_dump_path
    replaces = job.overwrite or job.restart
    return behind_urls(
        label_url=path if is_url(path) else None,
        shards_url=spec.inference.shards_url,
        output=job.output,
        shards=job.shards,
        overwrite=job.overwrite,
        restart=job.restart,
        is_complete=not replaces and is_finished(job.report, decides_the_file(job), job.output),
    )


def _engine(held: LoadedModel, processes: ProcessGroup) -> Engine:
    if held.spec.inference.engine == "processes":
        return label_here(partial(make_labeler, held, processes), processes)
    if find_spec("ray") is None:
        raise UserError("inference.engine: ray needs a package more: pip install 'mask-auto-labeler[ray]'")
    from mal.labeling.ray_engine import label_on_ray

    return label_on_ray(held.spec)
