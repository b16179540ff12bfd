"""``mal sample``: write the generated data set, and a few real photos with boxes, to a folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mal.commands.parser import CommandParser, non_negative_int
from mal.errors import UserError

_ONE_OF_VALIDATION = 5


def make_parser(summary: str) -> CommandParser:
    """The parser of ``mal sample``."""
    parser = CommandParser("sample", summary)
    parser.add_argument("folder", type=Path, metavar="DIR", help="where to write it; made if absent")
    parser.add_argument(
        "--images",
        type=_at_least_two,
        default=300,
        metavar="N",
        help="pictures in all, a fifth of them for validation (default: %(default)s)",
    )
    parser.add_argument("--seed", type=non_negative_int, default=0, help="another seed, other scenes (default: 0)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Generate the images and print the paths."""
    from mal.sample.generate import make_sample
    from mal.sample.photos import write_photos

    num_val_images = max(1, arguments.images // _ONE_OF_VALIDATION)
    try:
        paths = make_sample(
            arguments.folder,
            num_train_images=arguments.images - num_val_images,
            num_val_images=num_val_images,
            seed=arguments.seed,
        )
        photos = write_photos(arguments.folder / "photos")
    except OSError as error:
        raise UserError(f"{arguments.folder}: the sample cannot be written: {error.strerror}") from error
    print(f"dataset.train_ann_path={paths.boxes_train}")
    print(f"dataset.train_img_dir={paths.train_images}")
    print(f"dataset.val_ann_path={paths.instances_val}")
    print(f"dataset.val_img_dir={paths.val_images}")
    print(f"eight real photos with boxes: {photos.boxes}", file=sys.stderr)
    return 0


def _at_least_two(text: str) -> int:
    number = non_negative_int(text)
    if number < 2:
        raise argparse.ArgumentTypeError(f"{number} is too small; must be at least 2, one to train and one to validate")
    return number
