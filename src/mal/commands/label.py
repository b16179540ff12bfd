"""``mal label``: masks for a COCO file or for single photos, without a spec."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Literal

from mal.commands.parser import CommandParser, non_negative_int, output_file, positive_int
from mal.commands.photo_arguments import add_photo_arguments, photos_asked_for
from mal.errors import UserError
from mal.tasks.label_options import LabelOptions

_EXAMPLES = """
examples:
  mal label --ann boxes.json --images photos/ --checkpoint mal_model_latest.pth --out masks.json
  mal label --image cat.jpg --box 40,30,200,180 --checkpoint mal_model_latest.pth --overlay cat_masks.png
  mal label --image a.jpg --box 40,30,200,180 --image b.jpg --box 5,5,60,40 --checkpoint model.pth --out ab.json
"""
_SHARES = {
    "min-part": "drop parts of a mask smaller than this share of its largest part",
    "fill-holes": "fill holes up to this share of the mask's area",
    "allow-outside": "let a mask leave its box by this share of the box's width and height",
}


def make_parser(summary: str) -> CommandParser:
    """The parser of ``mal label``."""
    parser = CommandParser("label", summary)
    parser.epilog = _EXAMPLES
    parser.set_defaults(parser=parser)
    parser.add_argument(
        "--checkpoint", type=Path, required=True, metavar="FILE", help="the trained model (.pth, .onnx)"
    )
    file_mode = parser.add_argument_group("a COCO file")
    file_mode.add_argument("--ann", type=Path, metavar="FILE", help="COCO JSON file with the boxes")
    file_mode.add_argument("--images", type=Path, metavar="DIR", help="folder of its images")
    file_mode.add_argument("--out", type=output_file, metavar="FILE", help="COCO JSON file to write")
    file_mode.add_argument(
        "--keep-existing-masks",
        action="store_true",
        help="leave annotations that have a mask as they are, and label only the others",
    )
    file_mode.add_argument(
        "--restart", action="store_true", help="throw away what an unfinished run has done, and begin anew"
    )
    add_photo_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace what is at --out already")
    _add_model_options(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Checks the options and that the inputs are there, then imports the task and runs it."""
    options = _options(arguments)
    _check_usage(arguments, options)
    _check_paths(options)
    from mal.tasks import label

    return label.run(options)


def _check_usage(arguments: argparse.Namespace, options: LabelOptions) -> None:
    """Ends with a usage error unless the options say either a COCO file or photos, and go together."""
    parser: CommandParser = arguments.parser
    if arguments.min_score is not None and not arguments.score:
        parser.error("--min-score needs scores; leave --no-score out")
    if arguments.within_box and arguments.allow_outside:
        parser.error("--within-box contradicts --allow-outside; leave one of them out")
    if options.photos:
        if arguments.ann is not None or arguments.images is not None:
            parser.error("--image goes without --ann and --images")
        return
    absent = [f"--{name}" for name in ("ann", "images", "out") if getattr(arguments, name) is None]
    if len(absent) == 3:
        parser.error("nothing to label: give --ann, --images and --out, or --image and --box")
    if absent:
        parser.error(f"a COCO file also needs {' and '.join(absent)}")


def _add_model_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("how")
    group.add_argument(
        "--threshold",
        type=_threshold,
        help="probability above which a pixel is in the mask, or box_fit for the one at which it reaches the sides of"
        " its box (default: the checkpoint's)",
    )
    group.add_argument(
        "--network",
        choices=("student", "teacher", "mixed"),
        default="student",
        help="which of the two networks, or the mean of both (default: %(default)s)",
    )
    group.add_argument("--flip", action="store_true", help="average with the mirrored image; takes twice as long")
    group.add_argument(
        "--crf", action="store_true", help="refine each mask by the colours around it, as the checkpoint's training did"
    )
    for name, meaning in _SHARES.items():
        group.add_argument(f"--{name}", type=_share, metavar="SHARE", help=f"{meaning} (default: the checkpoint's)")
    group.add_argument("--within-box", action="store_true", help="masks end where their box ends, to the pixel")
    group.add_argument(
        "--no-overlap",
        action="store_true",
        help="a pixel that several masks of an image claim goes to the one with the smallest box",
    )
    group.add_argument("--no-score", dest="score", action="store_false", help="leave the scores of the masks out")
    group.add_argument(
        "--min-score",
        type=_share,
        metavar="SCORE",
        help="mark masks with a lower score as doubtful; none is dropped (default: mark none)",
    )
    group.add_argument(
        "--profile",
        choices=("exact", "fast"),
        default="exact",
        help="fast takes about half the time for nearly the same masks, with vit-* models only (default: %(default)s)",
    )
    group.add_argument(
        "--exif",
        choices=("stored", "upright"),
        default="stored",
        help="boxes are on photos as they are stored, or as viewers turn them by their EXIF orientation"
        " (default: %(default)s)",
    )
    group.add_argument(
        "--batch-size", type=positive_int, default=4, metavar="N", help="boxes at a time (default: %(default)s)"
    )
    group.add_argument(
        "--workers",
        type=non_negative_int,
        default=2,
        metavar="N",
        help="processes that read images (default: %(default)s)",
    )
    group.add_argument(
        "--device", type=_device, default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: %(default)s)"
    )


def _options(arguments: argparse.Namespace) -> LabelOptions:
    return LabelOptions(
        ann=arguments.ann,
        images=arguments.images,
        checkpoint=arguments.checkpoint,
        out=arguments.out,
        photos=photos_asked_for(arguments),
        threshold=arguments.threshold,
        min_part=arguments.min_part,
        fill_holes=arguments.fill_holes,
        within_box=arguments.within_box,
        allow_outside=arguments.allow_outside,
        no_overlap=arguments.no_overlap,
        score=arguments.score,
        min_score=arguments.min_score,
        network=arguments.network,
        flip=arguments.flip,
        crf=arguments.crf,
        profile=arguments.profile,
        batch_size=arguments.batch_size,
        num_workers=arguments.workers,
        exif=arguments.exif,
        keep_existing_masks=arguments.keep_existing_masks,
        overwrite=arguments.overwrite,
        restart=arguments.restart,
        device=arguments.device,
    )


def _check_paths(options: LabelOptions) -> None:
    photos = [("--image", photo.path) for photo in options.photos]
    for name, path in (("--checkpoint", options.checkpoint), ("--ann", options.ann), *photos):
        if path is not None and not path.is_file():
            raise UserError(f"{name} {path}: {'is a folder; must be a file' if path.is_dir() else 'no such file'}")
    if options.images is not None and not options.images.is_dir():
        reason = "is a file; must be a folder" if options.images.exists() else "no such folder"
        raise UserError(f"--images {options.images}: {reason}")


def _threshold(text: str) -> float | Literal["box_fit"]:
    return "box_fit" if text == "box_fit" else _share(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a device; must be auto, cpu, cuda, cuda:<index> or mps")
    return text
