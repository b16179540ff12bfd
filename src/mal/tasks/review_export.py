"""`mal review --export`: the label file with the decisions of a review, in any format."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mal.coco.coco_file import CocoFile, read_coco
from mal.console import console
from mal.errors import UserError
from mal.formats.folders import ReadOptions, WriteOptions, check_target
from mal.formats.formats import WRITERS, output_format
from mal.review.journal import Journal, read_review
from mal.review.reviewed import count_line, write_reviewed
from mal.tasks import convert

_TELLS_REVIEWS = ("coco",)


def run(
    labels: Path,
    out: Path,
    *,
    journal: Path | None,
    target_format: str | None,
    images: Path | None,
    rejected: str | None,
    overwrite: bool,
) -> int:
    """Write the label file with the decisions of its journal.

    Args:
        labels: the label file.
        out: file or folder to write.
        journal: None takes the one beside the label file.
        target_format: as of `mal convert`; None goes by the name of ``out``.
        images: folder of the pictures.
        rejected: ``keep`` or ``leave-out``; None as `write_export`.
        overwrite: whether what is there may be replaced.

    Returns:
        Exit code 0.

    Raises:
        UserError: there is no journal, it belongs to another file, or ``out`` cannot be written.
    """
    target_format = target_format or output_format(out)
    check_target(out, labels, overwrite=overwrite)
    found = read_review(labels, journal)
    if found.torn_bytes:
        console.print(f"{found.path}: the last line is half written and does not count; it was never confirmed")
    for line in write_export(
        read_coco(labels), found, out, target_format, images=images, rejected=rejected, overwrite=overwrite
    ):
        console.print(line, soft_wrap=True)
    return 0


def write_export(
    coco: CocoFile,
    journal: Journal,
    out: Path,
    target_format: str,
    *,
    images: Path | None,
    rejected: str | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Write the reviewed file in a format.

    Args:
        coco: the label file.
        journal: its decisions.
        out, target_format, images, overwrite: as of `run`.
        rejected: None keeps rejected annotations in COCO, where they are marked, and leaves them out elsewhere.

    Returns:
        What was written, in lines.

    Raises:
        UserError: there is no such format, or the file cannot be written.
    """
    if target_format not in WRITERS:
        raise UserError(f"{target_format!r} is no format that is written: {', '.join(WRITERS)}")
    keeps = (rejected or ("keep" if target_format in _TELLS_REVIEWS else "leave-out")) == "keep"
    if target_format == "coco":
        counts = write_reviewed(coco, journal, out, keep_rejected=keeps)
    else:
        with tempfile.TemporaryDirectory(prefix="mal_review_") as folder:
            between = Path(folder) / f"{coco.path.stem}_reviewed.json"
            counts = write_reviewed(coco, journal, between, keep_rejected=keeps)
            convert.run(
                between,
                out,
                source_format="coco",
                target_format=target_format,
                reading=ReadOptions(images=images),
                writing=WriteOptions(images=images),
                overwrite=overwrite,
                skip_broken=True,
                report=None,
            )
    lines = [f"{out}: {count_line(counts)}"]
    if counts["rejected"] and not keeps:
        lines.append(f"{counts['rejected']:,} rejected ones are left out")
    if counts["draft"]:
        lines.append(f"{counts['draft']:,} drafts are not decided: they keep the mask of {coco.path.name}")
    return lines
