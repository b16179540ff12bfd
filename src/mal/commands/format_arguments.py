"""Arguments about annotation formats: the one to read, and the one to write."""

from __future__ import annotations

from typing import Any, get_args

from mal.config.sections import SourceFormat

_OUTPUTS = ("coco", "yolo", "yolo-seg", "png", "labelme", "label-studio", "cvat")


def add_source_format(group: Any, source: str) -> None:
    """Declare ``--from``.

    Args:
        group: a parser or a group of its arguments.
        source: the argument whose format it is, as the help calls it.
    """
    group.add_argument(
        "--from",
        dest="source_format",
        choices=get_args(SourceFormat),
        help=f"format of {source} (default: by what it is)",
    )


def add_target_format(group: Any, text: str, *, with_masks: bool = False) -> None:
    """Declare ``--to``.

    Args:
        group: a parser or a group of its arguments.
        text: for the help.
        with_masks: offer only formats that have a place for masks.
    """
    choices = [name for name in _OUTPUTS if name != "yolo" or not with_masks]
    group.add_argument("--to", dest="target_format", choices=choices, help=text)
