"""A last look at the labels of an image together, once all of them are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mal.data.box import Boxes
from mal.data.box_chunks import BoxChunks
from mal.labelling.label import Label
from mal.labelling.shard_labels import ShardLabels
from mal.labelling.shards import Finding, ShardWriter
from mal.masks.rle import rle_area

Resolve = Callable[[Mapping[int, Label]], Mapping[int, Label]]
"""Takes the labels of one image by position, and gives those of them that change."""


def resolve_images(labels: ShardLabels, boxes: Boxes, resolve: Resolve, path: Path) -> None:
    """Let a function change labels image by image; what it gives goes before what was there.

    Args:
        labels: of all boxes; the new ones are added.
        boxes: those of an image next to each other.
        resolve: the function.
        path: the shard for the new labels; that of an earlier attempt is replaced.

    Raises:
        UserError: the shard cannot be written.
    """
    path.unlink(missing_ok=True)
    chunks = BoxChunks(boxes, 1)
    with ShardWriter(path) as shard:
        for chunk in range(len(chunks)):
            for image in chunks.images(chunk):
                positions = boxes.positions[image.start : image.stop].tolist()
                changed = resolve({position: labels[position] for position in positions if position in labels})
                findings = [
                    Finding(at, label, warned=labels.warned.get(at) or _oddness(label)) for at, label in changed.items()
                ]
                if findings:
                    shard.write(findings)
    labels.add(path)


def _oddness(label: Label) -> str | None:
    return None if rle_area(label.rle) else "nothing is left of its mask: the masks of other boxes go before it"
