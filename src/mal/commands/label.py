"""``mal label``: masks for a COCO file or for single photos, without a spec file."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mal.commands.parser import CommandParser, output_file
from mal.commands.picture_arguments import add_photo_arguments, photos_asked_for
from mal.commands.spec_flags import add_spec_flags, spec_of_flags, values_given
from mal.errors import UserError

_EXAMPLES = """
examples:
  mal label --image cat.jpg --box 40,30,200,180 --overlay cat_masks.png
  mal label --ann boxes.json --images photos/ --checkpoint mal_model_latest.pth --out masks.json
  mal label --data yolo/data.yaml --checkpoint mal_model_latest.pth --out masks.json
  mal label --data 'voc/Annotations/*.xml' --images voc/JPEGImages --checkpoint model.pth --out masks.json
  mal label --image cat.jpg --box 40,30,200,180 --checkpoint mal_model_latest.pth --overlay cat_masks.png
  mal label --image a.jpg --box 40,30,200,180 --image b.jpg --box 5,5,60,40 --checkpoint model.pth --out ab.json
"""
_CHECKPOINT = ("inference.checkpoint",)
_OF_A_FILE = ("inference.ann_path", "inference.img_dir", "inference.ann_format", "inference.keep_existing_masks")
_PATHS = {"inference.checkpoint": "--checkpoint", "inference.ann_path": "--ann", "inference.img_dir": "--images"}


def make_parser(summary: str) -> CommandParser:
    """The parser of ``mal label``."""
    parser = CommandParser("label", summary)
    parser.epilog = _EXAMPLES
    parser.set_defaults(parser=parser)
    add_spec_flags(parser, _CHECKPOINT)
    file_mode = parser.add_argument_group("a COCO file, or annotations in another format")
    add_spec_flags(file_mode, _OF_A_FILE)
    file_mode.add_argument("--out", type=output_file, metavar="FILE", help="COCO JSON file to write")
    file_mode.add_argument(
        "--restart", action="store_true", help="throw away what an unfinished run has done, and begin anew"
    )
    add_photo_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace what is at --out already")
    how = parser.add_argument_group("how (fields of the spec; docs/spec.md says more)")
    how.add_argument(
        "--network",
        choices=("student", "teacher", "mixed"),
        help="which of the two networks, or the mean of both (default: the checkpoint's)",
    )
    add_spec_flags(how, leave_out=(*_CHECKPOINT, *_OF_A_FILE))
    how.add_argument(
        "--device", type=parse_device, default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: %(default)s)"
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Check the options and that the inputs exist, then import and run the task."""
    values = values_given(arguments) | _network_fields(arguments.network)
    _take_starter(arguments, values)
    photos = photos_asked_for(arguments)
    spec = spec_of_flags(arguments.parser, values)
    _check_usage(arguments, values, has_photos=bool(photos))
    _check_paths(values)
    for photo in photos:
        _check_path("--image", photo.path, is_folder=False)
    from mal.tasks import label

    return label.run(
        spec,
        out=arguments.out,
        photos=photos,
        device=arguments.device,
        overwrite=arguments.overwrite,
        restart=arguments.restart,
    )


def _take_starter(arguments: argparse.Namespace, values: dict[str, Any]) -> None:
    """Without a checkpoint the starter labels."""
    from mal.starter.files import CALLED, starter_for

    if "inference.checkpoint" not in values:
        values["inference.checkpoint"] = str(starter_for(arguments.device))
        print(f"labelling with {CALLED}; train on your own boxes for better masks", file=sys.stderr)


def _network_fields(network: str | None) -> dict[str, Any]:
    if network is None:
        return {}
    return {"inference.use_mixed_model_test": network == "mixed", "inference.use_teacher_test": network == "teacher"}


def _check_usage(arguments: argparse.Namespace, values: Mapping[str, Any], *, has_photos: bool) -> None:
    """Exit with a usage error unless the options give either a COCO file or photos."""
    parser: CommandParser = arguments.parser
    absent = [flag for key, flag in _PATHS.items() if key not in values]
    if has_photos:
        if len(absent) < 2:
            parser.error("--image goes without --ann and --images")
        return
    absent += ["--out"] if arguments.out is None else []
    if len(absent) == 3:
        parser.error("nothing to label: give --ann, --images and --out, or --image and --box")
    if "--images" in absent and "inference.ann_path" in values and _may_tell_images(values):
        absent.remove("--images")
    if absent:
        parser.error(f"a COCO file also needs {' and '.join(absent)}")


def _may_tell_images(values: Mapping[str, Any]) -> bool:
    from mal.formats.recognize import tells_pictures

    return tells_pictures(values["inference.ann_path"], values.get("inference.ann_format"))


def _check_paths(values: Mapping[str, Any]) -> None:
    for key, flag in _PATHS.items():
        if key == "inference.ann_path" and key in values:
            _check_source(flag, values[key], values.get("inference.ann_format"))
        elif key in values and "://" not in values[key]:
            _check_path(flag, Path(values[key]), is_folder=key.endswith("_dir"))


def _check_source(flag: str, source: str, name: str | None) -> None:
    from mal.formats.recognize import is_there, source_format

    if not is_there(source):
        raise UserError(f"{flag} {source}: no such file")
    source_format(source, name)


def _check_path(flag: str, path: Path, *, is_folder: bool) -> None:
    wanted, other = ("folder", "file") if is_folder else ("file", "folder")
    if not path.exists():
        raise UserError(f"{flag} {path}: no such {wanted}")
    if path.is_dir() != is_folder:
        raise UserError(f"{flag} {path}: is a {other}; must be a {wanted}")


def parse_device(text: str) -> str:
    """Parse the name of a device, for argparse."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a device; must be auto, cpu, cuda, cuda:<index> or mps")
    return text
