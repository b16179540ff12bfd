"""``mal review``: accept, reject and mend masks on a page; write the file with what was decided."""

from __future__ import annotations

import argparse
import getpass
import importlib.util
from pathlib import Path

from mal.commands.label import parse_device
from mal.commands.parser import CommandParser
from mal.commands.picture_arguments import add_picture_arguments, reading_asked_for
from mal.commands.serve import parse_port, token_of
from mal.errors import UserError

_EXAMPLES = """
examples:
  mal review masks.json photos/                    serve the page; `?` in it lists the keys
  mal review masks.json --export reviewed.json     write what was decided
  mal review masks.json photos/ --export yolo/ --to yolo-seg
  mal review masks.json photos/ --choose 20 --chosen first.json   which boxes to draw first

docs/review.md walks through it.
"""


def make_parser(summary: str) -> CommandParser:
    """The parser of ``mal review``."""
    parser = CommandParser("review", summary)
    parser.epilog = _EXAMPLES
    parser.set_defaults(parser=parser)
    parser.add_argument("labels", type=Path, metavar="MASKS.json", help="label file, a COCO file with masks or boxes")
    parser.add_argument("images", type=Path, nargs="?", metavar="IMAGES", help="folder of its pictures")
    parser.add_argument(
        "--journal",
        type=Path,
        metavar="FILE",
        help="file of the decisions (default: MASKS.review.jsonl beside the label file)",
    )
    parser.add_argument("--by", metavar="NAME", help="who decides (default: the user of this machine)")
    model = parser.add_argument_group("masks of redrawn boxes")
    which = model.add_mutually_exclusive_group()
    which.add_argument("--checkpoint", type=Path, metavar="FILE", help="model for them (default: the starter)")
    which.add_argument("--no-model", action="store_true", help="review without a model")
    model.add_argument(
        "--device", type=parse_device, default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: %(default)s)"
    )
    export = parser.add_argument_group("export, in place of the page")
    export.add_argument("--export", type=Path, metavar="OUT", help="write the reviewed file; the label file stays")
    export.add_argument(
        "--to", metavar="FORMAT", help="format of OUT, as of `mal convert` (default: .json coco, .zip cvat)"
    )
    export.add_argument(
        "--rejected",
        choices=("keep", "leave-out"),
        help="rejected annotations (default: kept in COCO, where they are marked, and left out elsewhere)",
    )
    export.add_argument("--overwrite", action="store_true", help="replace files that are there")
    choice = parser.add_argument_group("choice, in place of the page")
    choice.add_argument(
        "--choose", type=_count, metavar="N", help="name N boxes of different kinds to draw first, doubtful before sure"
    )
    choice.add_argument("--chosen", type=Path, metavar="FILE", help="COCO file of these boxes, to review and draw")
    page = parser.add_argument_group("the page")
    page.add_argument("--open", action="store_true", help="start the browser")
    page.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    page.add_argument("--port", type=parse_port, help="0 takes a free one (default: 9095 if it is free, else another)")
    page.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file whose first line opens the page (also: MAL_SERVE_TOKEN; default: a new one at each start)",
    )
    page.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a further name by which the page is opened"
    )
    add_picture_arguments(parser.add_argument_group("pictures"))
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Check the options, then import and run the task."""
    labels: Path = arguments.labels
    if not labels.is_file():
        raise UserError(f"{labels}: no such file; give a label file, as `mal label` writes it")
    if arguments.images is not None and not arguments.images.is_dir():
        raise UserError(f"{arguments.images}: no such folder; give the folder of the pictures")
    if arguments.choose is not None:
        return _choose(arguments)
    if arguments.chosen is not None:
        arguments.parser.error("--chosen goes with --choose N")
    if arguments.export is None:
        return _serve(arguments)
    from mal.tasks import review_export

    return review_export.run(
        labels,
        arguments.export,
        journal=arguments.journal,
        target_format=arguments.to,
        images=arguments.images,
        rejected=arguments.rejected,
        overwrite=arguments.overwrite,
    )


def _choose(arguments: argparse.Namespace) -> int:
    if arguments.images is None:
        arguments.parser.error("--choose needs the folder of the pictures: mal review MASKS.json IMAGES --choose N")
    if arguments.export is not None:
        arguments.parser.error("--choose and --export are two commands: give one of them")
    from mal.tasks import review_choose

    return review_choose.run(
        arguments.labels,
        arguments.images,
        count=arguments.choose,
        out=arguments.chosen,
        journal=arguments.journal,
        reading=reading_asked_for(arguments),
        overwrite=arguments.overwrite,
    )


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of boxes; must be at least 1")
    return int(text)


def _serve(arguments: argparse.Namespace) -> int:
    labels: Path = arguments.labels
    if arguments.images is None:
        arguments.parser.error("the page needs the folder of the pictures: mal review MASKS.json IMAGES")
    if arguments.to is not None or arguments.rejected is not None or arguments.overwrite:
        arguments.parser.error("--to, --rejected and --overwrite go with --export")
    if arguments.checkpoint is not None and not arguments.checkpoint.is_file():
        raise UserError(f"--checkpoint {arguments.checkpoint}: no such file")
    for package in ("starlette", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"mal review needs {package}: pip install 'mask-auto-labeler[serve]'")
    from mal.review.journal import journal_path
    from mal.tasks import review

    return review.run(
        review.ReviewOptions(
            labels=labels,
            images=arguments.images,
            reading=reading_asked_for(arguments),
            journal=arguments.journal or journal_path(labels),
            by=arguments.by or _user(),
            checkpoint=arguments.checkpoint,
            has_model=not arguments.no_model,
            device=arguments.device,
            host=arguments.host,
            port=arguments.port,
            token=token_of(arguments.token_file),
            allow_hosts=arguments.allow_host,
            opens=arguments.open,
        )
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without a name for its user
        return "reviewer"
