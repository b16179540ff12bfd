"""``mal export``: a trained network as a file for other runtimes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mal.commands.parser import CommandParser, positive_int
from mal.errors import UserError

_LEAST_OPSET = 18  # as in mal.export.onnx_write, which would import torch
_ONNX = "Write the network of a checkpoint as an ONNX file, and check that it labels as before."


class _FormatParser(CommandParser):
    """The parser of one format; argparse creates it and passes only the program's name."""

    def __init__(self, *, prog: str, **_: Any) -> None:
        super().__init__(prog.removeprefix("mal "), _ONNX)


def make_parser(summary: str) -> CommandParser:
    """The parser of ``mal export``."""
    parser = CommandParser("export", summary)
    formats = parser.add_subparsers(dest="format", required=True, metavar="FORMAT", parser_class=_FormatParser)
    onnx = formats.add_parser("onnx", help=_ONNX)
    onnx.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="the trained model (.pth)")
    onnx.add_argument("--out", type=_onnx_path, required=True, metavar="FILE", help="file to write (.onnx)")
    onnx.add_argument(
        "--network",
        choices=("student", "teacher", "mixed"),
        default="student",
        help="which of the two networks, or the mean of both (default: %(default)s)",
    )
    onnx.add_argument(
        "--opset",
        type=_opset,
        default=_LEAST_OPSET,
        metavar="N",
        help="version of the ONNX operators, from %(default)s on (default: %(default)s)",
    )
    onnx.add_argument(
        "--decrypt",
        action="store_true",
        help="write although there is a key (MAL_ENCRYPTION_KEY): an ONNX file holds its weights in clear",
    )
    onnx.add_argument(
        "--int8",
        type=Path,
        metavar="BOXES",
        help="compute in whole numbers of 8 bits, in half the time for nearly the same masks; ranges are taken from"
        " crops of this COCO file's boxes (decoder fpn only)",
    )
    onnx.add_argument("--images", type=Path, metavar="DIR", help="folder of the images of --int8")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Check that the checkpoint exists, then import and run the task."""
    checkpoint: Path = arguments.checkpoint
    if not checkpoint.is_file():
        reason = "is a folder; must be a file" if checkpoint.is_dir() else "no such file"
        raise UserError(f"--checkpoint {checkpoint}: {reason}")
    if (arguments.int8 is None) != (arguments.images is None):
        raise UserError("--int8 and --images go together: a COCO file of boxes, and the folder of its images")
    from mal.tasks import export_onnx

    return export_onnx.run(
        checkpoint,
        arguments.out,
        network=arguments.network,
        opset=arguments.opset,
        decrypt=arguments.decrypt,
        calibration=None if arguments.int8 is None else (arguments.int8, arguments.images),
    )


def _onnx_path(text: str) -> Path:
    if not text.endswith(".onnx"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .onnx")
    return Path(text)


def _opset(text: str) -> int:
    number = positive_int(text)
    if number < _LEAST_OPSET:
        raise argparse.ArgumentTypeError(f"{number} is too small; must be at least {_LEAST_OPSET}")
    return number
