"""``mal convert``: convert boxes and masks from one annotation format into another."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from mal.commands.format_arguments import add_source_format, add_target_format
from mal.commands.parser import CommandParser, number

if TYPE_CHECKING:
    from mal.formats.edits import Distance

_EXAMPLES = """
examples:
  mal convert yolo/data.yaml boxes.json --split train            YOLO boxes into COCO
  mal convert voc/Annotations boxes.json --images voc/JPEGImages Pascal VOC boxes into COCO
  mal convert masks.json for_cvat.zip                            masks for CVAT ("COCO 1.0")
  mal convert masks.json polygons.json --shapes polygons         exact outlines in place of run lengths
  mal convert masks.json yolo/ --to yolo-seg --images photos/ --pictures link
  mal convert masks.json masks/ --to png
  mal convert masks.json labelme/ --to labelme --max-corners 40 --min-iou 0.98
                                                                 polygons that people can edit
  mal convert masks.json tight.json --tighten-boxes              boxes of the masks, old and new in tight.boxes.csv

docs/formats.md says what each format keeps.
"""


def make_parser(summary: str) -> CommandParser:
    """The parser of ``mal convert``."""
    parser = CommandParser("convert", summary)
    parser.epilog = _EXAMPLES
    parser.add_argument("source", type=Path, metavar="IN", help="file or folder to read")
    parser.add_argument("target", type=Path, metavar="OUT", help="file or folder to write")
    add_source_format(parser, "IN")
    add_target_format(parser, "format of OUT (default: .json coco, .zip cvat)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument(
        "--skip-broken", action="store_true", help="leave broken records out and name them (default: stop at the first)"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="JSON file for the names of all records concerned")
    _add_reading(parser)
    _add_writing(parser)
    _add_edits(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Import and run the task."""
    from mal.formats.edits import MaskEdits
    from mal.formats.folders import ReadOptions, WriteOptions
    from mal.tasks import convert

    return convert.run(
        arguments.source,
        arguments.target,
        source_format=arguments.source_format,
        target_format=arguments.target_format,
        reading=ReadOptions(
            images=arguments.images,
            split=arguments.split,
            one_based=arguments.one_based,
            normalized=arguments.normalized,
            exif=arguments.exif,
        ),
        writing=WriteOptions(
            shapes=arguments.shapes or ("masks" if arguments.max_corners is None else "polygons"),
            tolerance=arguments.tolerance,
            max_corners=arguments.max_corners,
            min_iou=arguments.min_iou,
            images=arguments.images,
            pictures=arguments.pictures,
            split=arguments.split,
            val_share=arguments.val_share,
            as_predictions=arguments.results == "predictions",
            image_prefix=arguments.image_prefix,
        ),
        edits=MaskEdits(border=_border(arguments), tighten_boxes=arguments.tighten_boxes),
        overwrite=arguments.overwrite,
        skip_broken=arguments.skip_broken,
        report=arguments.report,
    )


def _border(arguments: argparse.Namespace) -> Distance | None:
    from mal.formats.edits import Distance

    if arguments.grow is not None:
        return Distance(*arguments.grow)
    if arguments.shrink is not None:
        value, is_percent = arguments.shrink
        return Distance(-value, is_percent)
    return None


def _add_reading(parser: CommandParser) -> None:
    group = parser.add_argument_group("reading")
    group.add_argument(
        "--images", type=Path, metavar="DIR", help="folder of the pictures, for their sizes and --pictures"
    )
    group.add_argument(
        "--split",
        metavar="NAME",
        help="part of a YOLO data set: train, val or test (default: all are read, train and val are written)",
    )
    group.add_argument(
        "--exif",
        choices=("stored", "upright"),
        default="stored",
        help="boxes in COCO, CSV and PNG are on photos as they are stored, or as viewers turn them by their EXIF"
        " orientation (default: %(default)s)",
    )
    group.add_argument(
        "--one-based", action="store_true", help="Pascal VOC boxes count pixels from 1, as those of the challenges do"
    )
    group.add_argument(
        "--normalized", action="store_true", help="boxes of a table are shares of the image, as those of Open Images"
    )


def _add_writing(parser: CommandParser) -> None:
    group = parser.add_argument_group("writing")
    group.add_argument(
        "--shapes",
        choices=("masks", "polygons"),
        help="of masks in coco, cvat, labelme and label-studio (default: masks; polygons with --max-corners)",
    )
    group.add_argument(
        "--tolerance",
        type=_pixels,
        default=0.0,
        metavar="PIXELS",
        help="how far polygons may leave the outline, for fewer corners (default: 0, exact)",
    )
    group.add_argument(
        "--max-corners",
        type=_corners,
        metavar="N",
        help="corners of the polygons of an object, so that people can edit them; the IoU with its mask is told",
    )
    group.add_argument(
        "--min-iou",
        type=_iou,
        default=0.0,
        metavar="IOU",
        help="with --max-corners: more corners where the IoU of polygons and mask would be lower (default: 0)",
    )
    group.add_argument(
        "--pictures",
        choices=("no", "copy", "link"),
        default="no",
        help="put the pictures of --images into OUT too (default: %(default)s)",
    )
    group.add_argument(
        "--val-share",
        type=_share,
        default=0.1,
        metavar="SHARE",
        help="of the images of a YOLO data set written without --split, chosen by their names (default: %(default)s)",
    )
    group.add_argument(
        "--results",
        choices=("predictions", "annotations"),
        default="predictions",
        help="what masks are in Label Studio (default: %(default)s)",
    )
    group.add_argument(
        "--image-prefix",
        metavar="TEXT",
        help="address of the pictures in Label Studio, before their names"
        " (default: /data/local-files/?d= and the name of the folder of --images)",
    )


def _add_edits(parser: CommandParser) -> None:
    group = parser.add_argument_group("editing")
    border = group.add_mutually_exclusive_group()
    border.add_argument(
        "--grow",
        type=_distance,
        metavar="DISTANCE",
        help="move the border of each mask outwards: pixels, as 3, or a share of the object's mean side, as 2%%",
    )
    border.add_argument("--shrink", type=_distance, metavar="DISTANCE", help="move it inwards")
    group.add_argument(
        "--tighten-boxes",
        action="store_true",
        help="boxes become those around the masks; OUT.boxes.csv beside OUT has old and new ones",
    )


def _corners(text: str) -> int:
    from mal.masks.few_corners import FEWEST_CORNERS

    if not text.isdecimal() or int(text) < FEWEST_CORNERS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of corners; must be at least {FEWEST_CORNERS}")
    return int(text)


def _iou(text: str) -> float:
    value = number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no IoU; must be at least 0 and at most 1")
    return value


def _distance(text: str) -> tuple[float, bool]:
    """Pixels, or per cent, and which of the two."""
    return _pixels(text.removesuffix("%")), text.endswith("%")


def _share(text: str) -> float:
    value = number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is no share; must be at least 0 and less than 1")
    return value


def _pixels(text: str) -> float:
    value = number(text, "a number of pixels")
    if not math.isfinite(value) or value < 0:
        raise argparse.ArgumentTypeError(f"{text} is no distance; must be at least 0")
    return value
