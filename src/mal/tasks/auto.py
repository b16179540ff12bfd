"""`mal auto`: from boxes in any format to masks in the same format, with a network trained on these boxes."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Literal

from mal.auto.native import native_path, parts_of
from mal.auto.out_folder import begin
from mal.auto.refinement import Refinement, choose_refinement, cut_agreement
from mal.auto.request import AutoRequest, AutoResult
from mal.auto.subsets import write_subset
from mal.coco.coco_file import read_coco
from mal.config.load import spec_from_values
from mal.console import console, quiet_console
from mal.files import write_json
from mal.formats.folders import ReadOptions, WriteOptions
from mal.formats.tally import is_broken
from mal.runtime.launch import CPU_PROCESSES
from mal.tasks import convert
from mal.tasks.auto_plan import (
    Plan,
    identity_of,
    labeler_of,
    make_plan,
    reading_fields,
    show_plan,
    with_kept_conversion,
)
from mal.tasks.auto_train import LATEST, choose_network
from mal.tasks.inference import LabelPlaces, label_file
from mal.tasks.label import processes_on


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
    show_plan(plan)
    if dry_run:
        console.print("dry run: nothing was written")
        return None
    if begin(plan.out, identity_of(plan)):
        console.print(f"going on with what {plan.out.root} holds")
    plan = with_kept_conversion(plan)
    choice = choose_network(plan)
    if plan.why_no_training is None:
        console.print(choice.reason)
    checkpoint = plan.out.work / LATEST if choice.network == "trained" else plan.checkpoint
    refine = _refine(plan, checkpoint)
    exit_code = _label(plan, checkpoint, refine)
    converted, convert_code = _write_native(plan)
    result = AutoResult(
        masks=plan.out.masks,
        converted=converted,
        report=_if_there(plan.out.page),
        review=_if_there(plan.out.review),
        network=choice.network,
        refine=refine,
        exit_code=max(exit_code, convert_code),
    )
    for line in closing_lines(result, plan.target, plan.opened.images):
        console.print(line, soft_wrap=True)
    return result


def closing_lines(result: AutoResult, target: str | None, images: str) -> Iterator[str]:
    """Three lines: where the masks are, which to look at first, what to type next.

    Args:
        result: of the run.
        target: the format that was written beside COCO.
        images: folder of the pictures.
    """
    also = f", as {target}: {result.converted}" if result.converted else ""
    yield f"masks: {result.masks}{also}"
    first = result.review or "nothing says which are doubtful"
    yield f"look first at: {first}" + (f"; all of them: {result.report}" if result.report else "")
    if result.converted and target == "yolo-seg":
        words = ["yolo", "segment", "train", "model=yolo11n-seg.pt", f"data={result.converted / 'data.yaml'}"]
    else:
        folder = str(result.masks.with_name("yolo-seg"))
        words = ["mal", "convert", str(result.masks), folder, "--to", "yolo-seg", "--images", images]
        words += ["--pictures", _pictures("yolo-seg")]
    yield f"next: {shlex.join(words)}"


def _refine(plan: Plan, checkpoint: Path) -> str | None:
    """The value of ``inference.refine``, chosen once; None leaves it to the checkpoint."""
    if plan.held.spec.model.decoder != "fpn":  # the choice was learned from networks that were taught by cuts
        return None
    file = plan.out.work / "refinement.json"
    if not file.is_file():
        agreement = cut_agreement(labeler_of(checkpoint), plan.source, plan.source.boxes_to_label)
        write_json(asdict(choose_refinement(agreement)), file)
    found = Refinement(**json.loads(file.read_bytes()))
    console.print(found.reason)
    return found.refine


def _label(plan: Plan, checkpoint: Path, refine: str | None) -> int:
    work = plan.out.work
    spec = spec_from_values(
        {
            **reading_fields(plan),
            "inference.checkpoint": str(checkpoint),
            "inference.ann_path": plan.opened.annotations,
            "inference.img_dir": plan.opened.images,
            "inference.keep_existing_masks": True,
            **({} if refine is None else {"inference.refine": refine}),
        }
    )
    places = LabelPlaces(
        labels=plan.out.masks,
        report=work / "labels_report.json",
        skipped=plan.out.root / "skipped.csv",
        shards=work / "shards",
        sources=work,
        page=plan.out.page,
        are_told=False,
    )
    exit_code = label_file(
        spec,
        places,
        partial(processes_on, "auto"),
        overwrite=False,
        restart=False,
        exif_option="--exif upright",
        images_option="--images",
    )
    if exit_code:
        console.print(f"boxes without a mask, and why: {places.skipped}")
    return exit_code


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
    given = Path(plan.request.images) if plan.request.images is not None else None
    parts = parts_of(Path(plan.request.source), plan.opened.format, plan.target, coco, Path(plan.opened.images), given)
    console.print(f"writing {target}")
    has_broken = False
    for part in parts:
        file = plan.out.masks
        if part.names is not None:
            file = plan.out.work / f"masks_of_{part.split}.json"
            write_subset(coco, set(part.names), file, part.names)
        report = plan.out.work / f"{plan.target}_{part.split or 'all'}.json"
        with quiet_console():
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
        for reason, names in json.loads(report.read_bytes())["left_out"].items():
            console.print(f"not in {target}: {len(names)} records ({', '.join(names[:3])}): {reason}")
            has_broken = has_broken or is_broken(reason)
    return target, 1 if has_broken else 0


def _pictures(target: str) -> Literal["no", "copy", "link"]:
    """Trainers need the pictures beside YOLO's labels; links cost no room."""
    if target not in ("yolo", "yolo-seg"):
        return "no"
    return "link" if os.name == "posix" else "copy"


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None
