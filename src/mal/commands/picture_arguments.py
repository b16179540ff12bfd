"""Options for reading images, for commands without a spec; the same as the spec's fields."""

from __future__ import annotations

import argparse
from typing import Any

from mal.commands.spec_flags import add_spec_flags, values_given
from mal.plain_files import AS_STORED, Reading

_FIELDS = ("dataset.exif", "dataset.gray_range", "dataset.max_megapixels")


def add_picture_arguments(group: Any) -> None:
    """Add --exif, --gray-range and --max-megapixels to a parser or a group; `reading_asked_for` makes them one."""
    add_spec_flags(group, _FIELDS)


def reading_asked_for(arguments: argparse.Namespace, otherwise: Reading = AS_STORED) -> Reading:
    """How to read images according to the options; missing ones are taken from ``otherwise``."""
    given = values_given(arguments)
    return Reading.of(
        given.get("dataset.exif", otherwise.exif),
        given.get("dataset.gray_range", otherwise.gray_range),
        given.get("dataset.max_megapixels", otherwise.max_pixels / 1e6),
    )
