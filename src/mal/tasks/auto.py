"""`mal auto`: from boxes in any format to masks in the same format, with a network trained on these boxes."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mal.auto.choose import Choice, choose, measure_signals
from mal.auto.findings import Findings, boxes_of, look_at, suspicion_line
from mal.auto.native import native_format, native_path, parts_of
from mal.auto.out_folder import OutFolder, begin, check_place, default_out
from mal.auto.recipe import LEAST_BOXES, epochs_in, training_spec
from mal.auto.request import AutoRequest, AutoResult
from mal.auto.subsets import held_out_images, write_subset
from mal.coco.coco_file import read_coco
from mal.config.load import spec_from_values
from mal.config.schema import ExperimentSpec
from mal.console import console, duration_text, tell
from mal.data.images import read_record_image
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError
from mal.files import write_json
from mal.formats.folders import ReadOptions, WriteOptions
from mal.formats.recognize import input_format, is_there
from mal.formats.source import CocoSource, SourceRequest, open_source, temporary_cache
from mal.formats.source_files import sha256
from mal.labeler import MaskAutoLabeler, best_device
from mal.load_model import LoadedModel, load_model
from mal.paths import is_url
from mal.runtime.launch import CPU_PROCESSES
from mal.runtime.process_group import ProcessGroup, single_process_on
from mal.starter.files import starter_path
from mal.tasks import convert
from mal.tasks.inference import LabelPlaces, label_file

BOXES_NAME = "boxes.json"
LATEST = Path("train", "mal_model_latest.pth")
_TIMED_BOXES = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked run.

    Attributes:
        request: what was asked for.
        out: the folder to write.
        opened: the source as a COCO file.
        source: its annotations and pictures.
        findings: what it holds.
        checkpoint: the network to start from.
        held: that network, loaded.
        held_out: ids of the pictures that are not trained on.
        why_no_training: the reason to label at once; None where training is possible.
        target: format to write beside COCO; None for none.
    """

    request: AutoRequest
    out: OutFolder
    opened: CocoSource
    source: AnnotatedImages
    findings: Findings
    checkpoint: Path
    held: LoadedModel
    held_out: set[Any]
    why_no_training: str | None
    target: str | None


def run(request: AutoRequest, *, dry_run: bool = False) -> AutoResult | None:
    """Recognize, check, train, choose, label, and write the masks in the format that came in.

    The same call goes on where an earlier one was stopped.

    Args:
        request: the data set, and how to label it.
        dry_run: stop after the checks; nothing is written.

    Returns:
        The results; None after a dry run.

    Raises:
        UserError: the data set cannot be labeled; one line says what to do.
    """
    os.environ.pop(CPU_PROCESSES, None)  # other ranks would do everything again
    plan = make_plan(request, dry_run=dry_run)
    _show_plan(plan)
    if dry_run:
        console.print("dry run: nothing was written")
        return None
    if begin(plan.out, _identity(plan)):
        console.print(f"going on with what {plan.out.root} holds")
    plan = _with_kept_conversion(plan)
    choice = _choice(plan)
    console.print(choice.reason)
    checkpoint = plan.out.work / LATEST if choice.network == "trained" else plan.checkpoint
    exit_code = _label(plan, checkpoint)
    converted, convert_code = _write_native(plan)
    result = AutoResult(
        masks=plan.out.masks,
        converted=converted,
        report=_if_there(plan.out.page),
        review=_if_there(plan.out.review),
        network=choice.network,
        exit_code=max(exit_code, convert_code),
    )
    for line in closing_lines(result, plan.target):
        console.print(line, soft_wrap=True)
    return result


def make_plan(request: AutoRequest, *, dry_run: bool = False) -> Plan:
    """Read the source and check that it can be labeled.

    Raises:
        UserError: as of `run`.
    """
    checkpoint = request.checkpoint or starter_path()
    if not checkpoint.is_file():
        raise UserError(f"--checkpoint {checkpoint}: no such file")
    if is_url(request.source):
        raise UserError(
            f"{request.source}: mal auto reads files and folders of this machine: copy it, or use mal label"
        )
    if not is_there(request.source):
        raise UserError(f"{request.source} does not exist")
    name = request.source_format or input_format(Path(request.source))
    out = OutFolder(request.out or default_out(Path(request.source)))
    check_place(out, Path(request.source))
    # Outside of the folder until everything is checked, so that a refusal leaves nothing there.
    cache = out.work / BOXES_NAME if out.record.is_file() and not dry_run else temporary_cache(BOXES_NAME)
    opened = open_source(SourceRequest(request.source, request.images, name, exif=request.reading.exif), cache)
    console.print(f"{request.source} is in the format {name}")
    for line in opened.lines[1:]:
        console.print(line)
    source = AnnotatedImages(opened.annotations, opened.images, reading=request.reading)
    findings = look_at(source)
    held = load_model(checkpoint, ExperimentSpec())
    held_out = held_out_images(source.coco)
    return Plan(
        request=request,
        out=out,
        opened=opened,
        source=source,
        findings=findings,
        checkpoint=checkpoint,
        held=held,
        held_out=held_out,
        why_no_training=_why_no_training(request, source, held_out, checkpoint),
        target=native_format(name, request.target_format),
    )


def closing_lines(result: AutoResult, target: str | None) -> Iterator[str]:
    """Three lines: where the masks are, which to look at first, what to type next."""
    also = f", as {target}: {result.converted}" if result.converted else ""
    yield f"masks: {result.masks}{also}"
    first = result.review or "nothing says which are doubtful"
    yield f"look first at: {first}" + (f"; all of them: {result.report}" if result.report else "")
    if result.converted and target == "yolo-seg":
        yield f"next: yolo segment train model=yolo11n-seg.pt data={result.converted / 'data.yaml'}"
    else:
        yield f"next: mal convert {result.masks} OUT --to FORMAT writes the masks for another program"


def _why_no_training(request: AutoRequest, source: AnnotatedImages, held_out: set[Any], checkpoint: Path) -> str | None:
    if not request.minutes:
        return "--minutes 0"
    if checkpoint.suffix == ".onnx":
        return f"{checkpoint} is an exported network, which is not trained"
    count = len(boxes_of(source, held_out, inside=False))
    if count < LEAST_BOXES:
        return f"{count} boxes to train on are too few, it takes {LEAST_BOXES}"
    return None


def _identity(plan: Plan) -> dict[str, Any]:
    return {
        "source": str(Path(plan.request.source).absolute()),
        "images": str(Path(plan.opened.images).absolute()),
        "boxes": sha256(Path(plan.opened.annotations)),
        "checkpoint": sha256(plan.checkpoint),
        "minutes": plan.request.minutes,
        "reading": asdict(plan.request.reading),
    }


def _with_kept_conversion(plan: Plan) -> Plan:
    """Move the conversion into the folder of the run, which may be written now."""
    cache, kept = Path(plan.opened.annotations), plan.out.work / BOXES_NAME
    if not plan.opened.lines or cache == kept:
        return plan
    for path in (cache, cache.with_name(f"{cache.stem}.source.json")):
        shutil.copyfile(path, kept.with_name(path.name))
    opened = replace(plan.opened, annotations=str(kept))
    return replace(plan, opened=opened, source=AnnotatedImages(kept, opened.images, reading=plan.request.reading))


def _show_plan(plan: Plan) -> None:
    for line in plan.findings.lines():
        console.print(line)
    tell(lambda: plan.source.turned_line("--exif upright"))
    tell(plan.source.dim_line)
    tell(lambda: suspicion_line(plan.source))
    console.print(f"network: {plan.checkpoint}, on {best_device()}")
    left = len(plan.findings.boxes) - plan.findings.num_masks
    seconds = _seconds_per_box(plan) * left
    console.print(f"labelling {left:,} boxes will take about {_rough(seconds)}")
    if plan.why_no_training is not None:
        console.print(f"no training: {plan.why_no_training}")
    else:
        held_out = len(boxes_of(plan.source, plan.held_out, inside=True))
        console.print(
            f"before that, training on these boxes for at most {plan.request.minutes:g} minutes;"
            f" {held_out:,} boxes are held out to tell whether it has helped"
        )
    if plan.target is not None:
        console.print(f"to write: {plan.out.masks} and {native_path(plan.out.root, plan.target)}")
    else:
        console.print(f"to write: {plan.out.masks}")


def _seconds_per_box(plan: Plan) -> float:
    """Label a few boxes for the clock; 0 where no picture can be read."""
    labeler = _labeler(plan.checkpoint)
    boxes = boxes_of(plan.source, set(), inside=False)
    timed: list[float] = []
    for box in boxes[:_TIMED_BOXES]:
        try:
            start = time.monotonic()
            labeler.label_instances(read_record_image(plan.source.img_dir, box.image), [box.xyxy])
        except UserError:  # labeling names it
            continue
        timed.append(time.monotonic() - start)
    return min(timed, default=0.0)


def _rough(seconds: float) -> str:
    return f"{duration_text(seconds)} (h:mm:ss)" if seconds >= 3600 else f"{duration_text(seconds)} (m:ss)"


def _labeler(checkpoint: Path) -> MaskAutoLabeler:
    return MaskAutoLabeler.from_checkpoint(checkpoint)


def _choice(plan: Plan) -> Choice:
    """Train and choose; a choice that was made is kept."""
    if plan.why_no_training is not None:
        return Choice("starter", f"labelling with {plan.checkpoint}")
    file = plan.out.work / "choice.json"
    if file.is_file():
        return Choice(**json.loads(file.read_bytes()))
    _train(plan)
    boxes = boxes_of(plan.source, plan.held_out, inside=True)
    starter = measure_signals(_labeler(plan.checkpoint), plan.source, boxes, "comparing, before training")
    trained = measure_signals(_labeler(plan.out.work / LATEST), plan.source, boxes, "comparing, after training")
    found = choose(starter, trained, len(boxes))
    write_json(asdict(found), file)
    return found


def _train(plan: Plan) -> None:
    from mal.tasks import train

    spec = _training_spec(plan, 1)
    assert spec.dataset.train_ann_path
    if not Path(spec.dataset.train_ann_path).is_file():
        wanted = {box.image.id for box in boxes_of(plan.source, plan.held_out, inside=False)}
        write_subset(plan.source.coco, wanted, Path(spec.dataset.train_ann_path))
    train.run(_training_spec(plan, _num_epochs(plan, spec)))


def _num_epochs(plan: Plan, spec: ExperimentSpec) -> int:
    """The length of the schedule, measured once, so that a run that goes on keeps it."""
    from mal.tasks.dry_run import measure_step

    file = plan.out.work / "schedule.json"
    if not file.is_file():
        with _quiet_console():
            seconds, steps = measure_step(spec)
        epochs = epochs_in(plan.request.minutes, seconds_per_step=seconds, steps_per_epoch=steps)
        write_json({"num_epochs": epochs, "seconds_per_step": seconds, "steps_per_epoch": steps}, file)
    found = json.loads(file.read_bytes())
    needed = found["seconds_per_step"] * found["steps_per_epoch"]
    if needed > 60 * plan.request.minutes:
        console.print(
            f"an epoch takes about {_rough(needed)}: training ends within the first one, after"
            f" {plan.request.minutes:g} minutes"
        )
    return int(found["num_epochs"])


@contextmanager
def _quiet_console() -> Iterator[None]:
    """Print nothing that will be printed again, or that has no meaning to the user."""
    before = console.quiet
    console.quiet = True
    try:
        yield
    finally:
        console.quiet = before


def _training_spec(plan: Plan, num_epochs: int) -> ExperimentSpec:
    return training_spec(
        settings=plan.held.settings,
        crop_size=plan.held.spec.dataset.crop_size,
        boxes=plan.out.work / "training_boxes.json",
        images=plan.opened.images,
        checkpoint=plan.checkpoint,
        results=plan.out.work,
        num_epochs=num_epochs,
        minutes=plan.request.minutes,
        reading=_reading_fields(plan),
    )


def _reading_fields(plan: Plan) -> dict[str, Any]:
    reading = plan.request.reading
    return {
        "dataset.exif": reading.exif,
        "dataset.gray_range": reading.gray_range,
        "dataset.max_megapixels": reading.max_pixels / 1e6,
    }


def _label(plan: Plan, checkpoint: Path) -> int:
    work = plan.out.work
    spec = spec_from_values(
        {
            **_reading_fields(plan),
            "inference.checkpoint": str(checkpoint),
            "inference.ann_path": plan.opened.annotations,
            "inference.img_dir": plan.opened.images,
            "inference.keep_existing_masks": True,
        }
    )
    places = LabelPlaces(
        labels=plan.out.masks,
        report=work / "labels_report.json",
        skipped=plan.out.root / "skipped.csv",
        shards=work / "shards",
        sources=work,
        page=plan.out.page,
    )
    return label_file(
        spec,
        places,
        _processes,
        overwrite=False,
        restart=False,
        exif_option="--exif upright",
        images_option="--images",
    )


def _processes(spec: ExperimentSpec) -> ProcessGroup:
    return single_process_on(best_device(), use_amp=spec.train.use_amp)


def _write_native(plan: Plan) -> tuple[Path | None, int]:
    """Write the masks in the format that came in; returns its file or folder, and an exit code."""
    if plan.target is None:
        if plan.opened.format in ("voc", "csv") and plan.request.target_format is None:
            console.print(
                f"{plan.opened.format} has no place for masks: --to writes them in another format than COCO too"
            )
        return None, 0
    target = native_path(plan.out.root, plan.target)
    coco = read_coco(plan.out.masks)
    parts = parts_of(Path(plan.request.source), plan.opened.format, plan.target, coco, Path(plan.opened.images))
    codes = []
    for part in parts:
        file = plan.out.masks
        if part.names is not None:
            file = plan.out.work / f"masks_of_{part.split}.json"
            write_subset(coco, set(part.names), file, part.names)
        report = plan.out.work / f"{plan.target}_{part.split or 'all'}.json"
        with _quiet_console():
            codes.append(
                convert.run(
                    file,
                    target,
                    source_format="coco",
                    target_format=plan.target,
                    reading=ReadOptions(images=part.images, exif=plan.request.reading.exif),
                    writing=WriteOptions(images=part.images, pictures=_pictures(plan.target), split=part.split),
                    overwrite=True,
                    skip_broken=True,
                    report=report,
                )
            )
        for reason, names in json.loads(report.read_bytes())["left_out"].items():
            console.print(f"not in {target}: {len(names)} records ({', '.join(names[:3])}): {reason}")
    return target, max(codes, default=0)


def _pictures(target: str) -> Literal["no", "copy", "link"]:
    """Trainers need the pictures beside YOLO's labels; links cost no room."""
    if target not in ("yolo", "yolo-seg"):
        return "no"
    return "link" if os.name == "posix" else "copy"


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None
