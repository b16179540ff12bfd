"""The plan of `mal auto`: the source read and checked, before anything is written."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

from mal.auto.choose import LEAST_HELD_OUT
from mal.auto.findings import Findings, boxes_of, look_at, suspicion_line
from mal.auto.native import native_format, native_path
from mal.auto.out_folder import OutFolder, check_place, default_out
from mal.auto.recipe import LEAST_BOXES
from mal.auto.request import AutoRequest
from mal.auto.subsets import held_out_images
from mal.config.schema import ExperimentSpec
from mal.config.sections import SourceFormat
from mal.console import console, duration_text, tell
from mal.data.images import read_record_image
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError
from mal.export.onnx_network import ONNX_SUFFIX
from mal.extras import in_extra, is_installed
from mal.files import sha256
from mal.formats.formats import WITH_MASKS
from mal.formats.recognize import input_format, is_there
from mal.formats.source import CocoSource, SourceRequest, open_source, temporary_cache
from mal.labeler import MaskAutoLabeler
from mal.load_model import LoadedModel, load_model
from mal.paths import is_url
from mal.starter.files import starter_path

BOXES_NAME = "boxes.json"
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


def make_plan(request: AutoRequest, *, dry_run: bool = False) -> Plan:
    """Read the source and check that it can be labeled.

    Raises:
        UserError: as of `run`.
    """
    _check_formats(request)
    if request.minutes and not is_installed("torch"):
        raise UserError(f"{in_extra('training', 'torch')}; --minutes 0 labels at once")
    checkpoint = request.checkpoint or starter_path(trainable=request.minutes > 0)
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
    console.print(f"{request.source} is in the format {name}, its pictures are in {opened.images}")
    for line in opened.remarks:
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


def _check_formats(request: AutoRequest) -> None:
    given = {"source": request.source_format, "target": request.target_format}
    known = {"source": get_args(SourceFormat), "target": sorted({"coco", *WITH_MASKS.values()})}
    for name, value in given.items():
        if value not in (None, *known[name]):
            raise UserError(f"{value!r} is no format of a {name} here: it is one of {', '.join(known[name])}")


def _why_no_training(request: AutoRequest, source: AnnotatedImages, held_out: set[Any], checkpoint: Path) -> str | None:
    if not request.minutes:
        return "--minutes 0"
    if checkpoint.suffix == ONNX_SUFFIX:
        return f"{checkpoint} is an exported network, which is not trained"
    count = len(boxes_of(source, held_out, inside=False))
    if count < LEAST_BOXES:
        return f"{count} boxes to train on are too few, it takes {LEAST_BOXES}"
    count = len(boxes_of(source, held_out, inside=True))
    if count < LEAST_HELD_OUT:
        return f"{count} boxes in the pictures that are held out are too few to tell whether training helps"
    return None


def identity_of(plan: Plan) -> dict[str, Any]:
    """Everything that decides the masks, as JSON values."""
    return {
        "source": str(Path(plan.request.source).absolute()),
        "images": str(Path(plan.opened.images).absolute()),
        "boxes": sha256(Path(plan.opened.annotations)),
        "checkpoint": sha256(plan.checkpoint),
        "minutes": plan.request.minutes,
        "reading": asdict(plan.request.reading),
    }


def with_kept_conversion(plan: Plan) -> Plan:
    """Move the conversion into the folder of the run, which may be written now."""
    cache, kept = Path(plan.opened.annotations), plan.out.work / BOXES_NAME
    if not plan.opened.lines or cache == kept:
        return plan
    for path in (cache, cache.with_name(f"{cache.stem}.source.json")):
        shutil.copyfile(path, kept.with_name(path.name))
    opened = replace(plan.opened, annotations=str(kept))
    return replace(plan, opened=opened, source=AnnotatedImages(kept, opened.images, reading=plan.request.reading))


def show_plan(plan: Plan) -> None:
    """Print what was found, what will be done, and how long it will take."""
    for line in plan.findings.lines():
        console.print(line)
    tell(lambda: plan.source.turned_line("--exif upright"))
    tell(plan.source.dim_line)
    tell(lambda: suspicion_line(plan.source))
    labeler = labeler_of(plan.checkpoint)
    network = plan.request.checkpoint or "the starter, which comes with mal"
    console.print(f"network: {network}, on {labeler.device}")
    left = len(plan.findings.boxes) - plan.findings.num_masks
    seconds = _seconds_per_box(plan, labeler) * left
    console.print(f"labelling {left:,} boxes will take about {rough_duration(seconds)}")
    if plan.why_no_training is not None:
        console.print(f"no training: {plan.why_no_training}")
    else:
        held_out = len(boxes_of(plan.source, plan.held_out, inside=True))
        console.print(
            f"before that, training on these boxes for at most {minutes_text(plan.request.minutes)};"
            f" {held_out:,} boxes are held out to tell whether it has helped"
        )
    if plan.target is not None:
        console.print(f"to write: {plan.out.masks} and {native_path(plan.out.root, plan.target)}")
    else:
        console.print(f"to write: {plan.out.masks}")


def _seconds_per_box(plan: Plan, labeler: MaskAutoLabeler) -> float:
    """Label a few boxes for the clock; 0 where no picture can be read."""
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


def rough_duration(seconds: float) -> str:
    """Format seconds with the unit of the numbers."""
    return f"{duration_text(seconds)} (h:mm:ss)" if seconds >= 3600 else f"{duration_text(seconds)} (m:ss)"


def minutes_text(minutes: float) -> str:
    """Format a number of minutes."""
    return f"{minutes:g} minute{'' if minutes == 1 else 's'}"


def labeler_of(checkpoint: Path) -> MaskAutoLabeler:
    """Load a network, on a GPU if there is one."""
    return MaskAutoLabeler.from_checkpoint(checkpoint)


def reading_fields(plan: Plan) -> dict[str, Any]:
    """The fields of a spec about how pictures are read, by dotted key."""
    reading = plan.request.reading
    return {
        "dataset.exif": reading.exif,
        "dataset.gray_range": reading.gray_range,
        "dataset.max_megapixels": reading.max_pixels / 1e6,
    }
