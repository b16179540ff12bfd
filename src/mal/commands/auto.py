"""``mal auto``: masks for a data set in any format, with a network trained on its boxes."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from mal.auto.request import MINUTES, AutoRequest
from mal.commands.format_arguments import add_source_format, add_target_format
from mal.commands.parser import CommandParser, number
from mal.commands.picture_arguments import add_picture_arguments, reading_asked_for

_MORE = """
Recognizes the format, checks the boxes, trains on them, keeps the trained network only where it is better, and writes
OUT/masks.json (COCO), the same in the format that came in, a report, and the masks to look at first.

examples:
  mal auto yolo/data.yaml
  mal auto boxes.json --images photos/ --minutes 5
  mal auto voc/ --to cvat --out for_cvat

exit code:
  0  every box has a mask (boxes that had one keep it)
  1  some have none, or a mistake in the input
  2  wrong usage
"""


def make_parser(summary: str) -> CommandParser:
    """The parser of ``mal auto``."""
    parser = CommandParser("auto", summary)
    parser.epilog = _MORE
    parser.add_argument("source", metavar="SOURCE", help="file or folder in any format that `mal convert` reads")
    parser.add_argument(
        "--images", metavar="DIR", help="folder of the pictures (default: where SOURCE says, or beside it)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: SOURCE_masks beside SOURCE)")
    parser.add_argument(
        "--minutes",
        type=_minutes,
        default=MINUTES,
        metavar="N",
        help="longest time of training; 0 labels at once (default: %(default)g)",
    )
    add_source_format(parser, "SOURCE")
    add_target_format(parser, "format to write beside COCO (default: that of SOURCE)", with_masks=True)
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="network to start from (default: the starter of the package)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what was found and what would be done, and stop")
    add_picture_arguments(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Import and run the task."""
    request = AutoRequest(
        source=arguments.source,
        images=arguments.images,
        out=arguments.out,
        minutes=arguments.minutes,
        source_format=arguments.source_format,
        target_format=arguments.target_format,
        checkpoint=arguments.checkpoint,
        reading=reading_asked_for(arguments),
    )
    from mal.tasks import auto

    result = auto.run(request, dry_run=arguments.dry_run)
    return result.exit_code if result else 0


def _minutes(text: str) -> float:
    value = number(text, "a number of minutes")
    if not math.isfinite(value) or value < 0:
        raise argparse.ArgumentTypeError(f"{text} is no time; must be at least 0")
    return value
