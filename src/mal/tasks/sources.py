"""The annotations that a spec names, in any format, as the COCO files that its tasks read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mal.config.schema import ExperimentSpec
from mal.console import console
from mal.formats.source import CocoSource, SourceRequest, open_source, split_to_read, temporary_cache

SOURCES_NAME = "sources"  # folder of the conversions in a results folder
Use = Literal["training", "validation", "labelling"]


class SpecKeys(NamedTuple):
    """Where a spec names annotations: its section, the beginning of the fields' names, and the split they mean."""

    section: str
    prefix: str
    split: str | None

    def key(self, name: str) -> str:
        """A dotted key."""
        return f"{self.section}.{self.prefix}{name}"


KEYS: dict[Use, SpecKeys] = {
    "training": SpecKeys("dataset", "train_", "train"),
    "validation": SpecKeys("dataset", "val_", "val"),
    "labelling": SpecKeys("inference", "", None),
}


def with_coco_files(
    spec: ExperimentSpec, uses: Iterable[Use], folder: Path | None, images_option: str | None = None
) -> ExperimentSpec:
    """The spec with COCO files in place of annotations in other formats, and with the folders of their pictures.

    Prints what conversions have to tell.

    Args:
        spec: as the user gave it; a use for which it names no annotations is left out.
        uses: the annotations to read.
        folder: where to keep conversions; None removes them when the process ends.
        images_option: how messages call the option for the folder of the pictures; None means the spec's field.

    Raises:
        UserError: a source cannot be read or does not tell where its pictures are.
    """
    opened: dict[SourceRequest, CocoSource] = {}
    for use in uses:
        keys = KEYS[use]
        request = request_of(spec, keys)
        if request is None:
            continue
        if request not in opened:  # a file with two uses is one file
            cache = folder / f"{use}.json" if folder is not None else temporary_cache(f"{use}.json")
            opened[request] = open_source(replace(request, images_option=images_option or keys.key("img_dir")), cache)
            for line in opened[request].lines:
                console.print(line)
        spec = _with(spec, keys, opened[request])
    return spec


def training_uses(spec: ExperimentSpec) -> tuple[Use, ...]:
    """The annotations that training reads."""
    return ("training", "validation") if spec.dataset.load_mask else ("training",)


def request_of(spec: ExperimentSpec, keys: SpecKeys) -> SourceRequest | None:
    """What a spec says about annotations; None where it names none."""
    section = getattr(spec, keys.section)
    annotations, images, name = (
        getattr(section, f"{keys.prefix}{field}") for field in ("ann_path", "img_dir", "ann_format")
    )
    if annotations is None:
        return None
    split = split_to_read(annotations, name, keys.split) if keys.split is not None else None
    return SourceRequest(annotations, images, name, split, spec.dataset.exif)


def _with(spec: ExperimentSpec, keys: SpecKeys, opened: CocoSource) -> ExperimentSpec:
    values: dict[str, Any] = {"ann_path": opened.annotations, "img_dir": opened.images}
    if opened.lines:
        values["ann_format"] = None
    section = getattr(spec, keys.section)
    changes = {
        f"{keys.prefix}{name}": value
        for name, value in values.items()
        if getattr(section, f"{keys.prefix}{name}") != value
    }
    return spec.model_copy(update={keys.section: section.model_copy(update=changes)}) if changes else spec
