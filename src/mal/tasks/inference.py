"""Write masks for boxes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

from mal.config.load import save_spec
from mal.config.schema import ExperimentSpec, label_dump_file
from mal.console import tell
from mal.data.datamodule import AnnotatedImages
from mal.errors import UserError
from mal.labelling.finished_run import is_finished
from mal.labelling.label_file import check_output_path
from mal.labelling.remote import behind_urls
from mal.labelling.run_identity import run_identity, spec_settings
from mal.labelling.smaller_in_front import smaller_in_front
from mal.models.build import prediction_mode
from mal.places import is_url
from mal.tasks import report
from mal.tasks.crop_run import Processes, alone, start_processes
from mal.tasks.label_job import Engine, LabelJob, decides_the_file, label_here, run_job
from mal.tasks.labeler_of import labeler_of
from mal.tasks.report import after_a_run
from mal.tasks.run_folder import run_folder

REPORT_NAME = "inference_report.json"
SKIPPED_NAME = "skipped.csv"
SHARDS_NAME = "shards"


def run(spec: ExperimentSpec, *, overwrite: bool = False, restart: bool = False) -> int:
    """Label every box of ``inference.ann_path``; writes the label file and ``inference_report.json``.

    A run that was stopped goes on where it was.

    Args:
        spec: what to do.
        overwrite: whether a finished label file may be replaced.
        restart: whether what an unfinished run has done is thrown away.

    Returns:
        Exit code: 0 when every box that should have a mask got one, 1 when an image could not be read.

    Raises:
        UserError: the input does not allow labelling; one line says what to do.
    """
    inference = spec.inference
    assert inference.ann_path
    assert inference.img_dir
    assert inference.checkpoint
    with run_folder(spec, "inference", keep_spec=False) as (folder, status):
        output = label_dump_file(spec)
        check_output_path(Path(inference.ann_path), output)
        source = AnnotatedImages(inference.ann_path, inference.img_dir, exif=spec.dataset.exif)
        tell(source.turned_line)
        processes = alone() if inference.engine == "ray" else start_processes(spec, "inference")
        job = LabelJob(
            source=source,
            output=output,
            report=folder / REPORT_NAME,
            skipped=folder / SKIPPED_NAME,
            shards=folder / SHARDS_NAME,
            identity=cache(
                partial(run_identity, Path(inference.checkpoint), source.coco.path, source.img_dir, spec_settings(spec))
            ),
            batch_size=inference.batch_size,
            num_workers=spec.dataset.num_workers_per_gpu,
            load_mask=inference.load_mask,
            keep_existing_masks=inference.keep_existing_masks,
            min_score=inference.min_score,
            overwrite=overwrite,
            restart=restart,
            ended=partial(_write_report, spec, source.img_dir, folder),
            begun=lambda: None if processes.rank else save_spec(spec, folder / "spec.yaml"),
            resolve=smaller_in_front(source, load_mask=inference.load_mask) if spec.masks.no_overlap else None,
        )
        with _behind_urls(job, spec, processes):
            exit_code = run_job(job, processes, _engine(spec, processes, folder), status)
        return exit_code


def _write_report(spec: ExperimentSpec, img_dir: Path, folder: Path, is_new: bool) -> None:
    if spec.inference.report:
        output, page = label_dump_file(spec), folder / report.PAGE
        after_a_run(lambda: report.of_labels(output, img_dir, out=page, only_missing=not is_new))


def _behind_urls(job: LabelJob, spec: ExperimentSpec, processes: Processes) -> AbstractContextManager[None]:
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


def _engine(spec: ExperimentSpec, processes: Processes, folder: Path) -> Engine:
    inference = spec.inference
    assert inference.checkpoint
    if inference.engine == "processes":
        mode = prediction_mode(spec, inference)
        load = partial(labeler_of, inference.checkpoint, spec, mode, processes, folder, scored=inference.score)
        return label_here(load, processes)
    if find_spec("ray") is None:
        raise UserError("inference.engine: ray needs a package more: pip install 'mask-auto-labeler[ray]'")
    from mal.tasks.label_on_ray import label_on_ray

    return label_on_ray(spec)
