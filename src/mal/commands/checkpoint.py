"""``mal checkpoint``: show a checkpoint file, or write it in another format."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mal.commands.parser import CommandParser
from mal.errors import UserError

_SUFFIXES = (".safetensors", ".pth")
_INFO = "Show what a checkpoint file holds, and where it comes from."
_CONVERT = "Write the network of a checkpoint as .safetensors or .pth, and check that it labels as before."


class _ActionParser(CommandParser):
    """The parser of one action; argparse creates it and passes only the program's name."""

    def __init__(self, *, prog: str, **_: Any) -> None:
        super().__init__(prog.removeprefix("mal "), _INFO if prog.endswith("info") else _CONVERT)


def make_parser(summary: str) -> CommandParser:
    """The parser of ``mal checkpoint``."""
    parser = CommandParser("checkpoint", summary)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=_ActionParser)
    info = actions.add_parser("info", help=_INFO)
    info.add_argument("file", type=Path, metavar="FILE", help="a checkpoint or a released backbone, of any origin")
    info.add_argument("--json", action="store_true", help="print JSON")
    convert = actions.add_parser("convert", help=_CONVERT)
    convert.add_argument("source", type=Path, metavar="IN", help="a checkpoint, of any origin")
    convert.add_argument(
        "target", type=_target, metavar="OUT", help="file to write: .safetensors, or .pth (public layout)"
    )
    convert.add_argument(
        "--network",
        choices=("student", "teacher", "both"),
        default="both",
        help="which of the two networks (default: %(default)s)",
    )
    convert.add_argument("--half", action="store_true", help="round the weights to 16 bit: half the size")
    convert.add_argument(
        "--decrypt",
        action="store_true",
        help="write in clear although there is a key (MAL_ENCRYPTION_KEY); without it a .pth is written encrypted",
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Check that the file exists, then import and run the task."""
    source: Path = arguments.file if arguments.action == "info" else arguments.source
    if not source.is_file():
        raise UserError(f"{source}: {'is a folder; must be a file' if source.is_dir() else 'no such checkpoint file'}")
    if arguments.action == "info":
        from mal.tasks import checkpoint_info

        return checkpoint_info.run(source, as_json=arguments.json)
    if arguments.target.exists() and arguments.target.samefile(source):
        raise UserError(f"{source}: IN and OUT are the same file; give OUT another name")
    from mal.tasks import checkpoint_convert

    return checkpoint_convert.run(
        source, arguments.target, networks=arguments.network, half=arguments.half, decrypt=arguments.decrypt
    )


def _target(text: str) -> Path:
    path = Path(text)
    if path.suffix not in _SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text!r} does not end in {' or '.join(_SUFFIXES)}, which says the format")
    return path
