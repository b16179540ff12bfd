"""``mal auto`` as a function of the library."""

from __future__ import annotations

from pathlib import Path

from mal.auto.request import MINUTES, AutoRequest, AutoResult
from mal.reading import AS_STORED, Reading


def auto_label(
    source: str | Path,
    images: str | Path | None = None,
    *,
    out: str | Path | None = None,
    minutes: float = MINUTES,
    checkpoint: str | Path | None = None,
    source_format: str | None = None,
    target_format: str | None = None,
    reading: Reading = AS_STORED,
) -> AutoResult:
    """Label a data set in any format with a network that is trained on its boxes, as ``mal auto`` does.

    Example:
        >>> result = mal.auto_label("yolo/data.yaml", minutes=5)
        >>> result.masks
        PosixPath('yolo_masks/masks.json')

    Args:
        source: annotations in any format that ``mal convert`` reads.
        images: folder of the pictures; None finds them where the source says, or beside it.
        out: folder to write; None means ``<source>_masks`` beside the source.
        minutes: longest time of training; 0 labels at once.
        checkpoint: the network to start from; None means the starter of the package.
        source_format: of the annotations; None recognizes it.
        target_format: to write the masks in beside COCO; None means that of the source, as far as it has masks.
        reading: how pictures are read.

    Raises:
        UserError: the data set cannot be labeled; one line says what to do.
    """
    from mal.tasks import auto

    result = auto.run(
        AutoRequest(
            source=str(source),
            images=None if images is None else str(images),
            out=None if out is None else Path(out),
            minutes=minutes,
            source_format=source_format,
            target_format=target_format,
            checkpoint=None if checkpoint is None else Path(checkpoint),
            reading=reading,
        )
    )
    assert result is not None
    return result
