"""``mal report``: one page that shows which masks to trust."""

from __future__ import annotations

import argparse
from pathlib import Path

from mal.commands.parser import CommandParser, non_negative_int, output_file, positive_int
from mal.commands.picture_arguments import add_picture_arguments, reading_asked_for
from mal.errors import UserError

_EXAMPLES = """
examples:
  mal report results/evaluate
  mal report --ann masks.json --images photos/ --review 500
"""


def make_parser(summary: str) -> CommandParser:
    """The parser of ``mal report``."""
    parser = CommandParser("report", summary)
    parser.epilog = _EXAMPLES
    parser.set_defaults(parser=parser)
    parser.add_argument(
        "results", type=Path, nargs="?", metavar="RESULTS_DIR", help="folder that `mal evaluate` has written"
    )
    parser.add_argument(
        "--ann", type=Path, metavar="FILE", help="a label file; with RESULTS_DIR: the evaluated file, if it has moved"
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of its images")
    parser.add_argument(
        "--out",
        type=output_file,
        metavar="FILE",
        help="the page (default: report.html in RESULTS_DIR or beside the labels)",
    )
    parser.add_argument(
        "--train", type=Path, metavar="DIR", help="results folder of the training, for its curves (default: found)"
    )
    parser.add_argument(
        "--pictures",
        type=positive_int,
        default=400,
        metavar="N",
        help="masks shown as pictures, some 15 kB each (default: %(default)s)",
    )
    parser.add_argument(
        "--review",
        type=non_negative_int,
        default=200,
        metavar="N",
        help="of a label file: masks in review_queue.csv and .json; 0 writes none (default: %(default)s)",
    )
    add_picture_arguments(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Check the options, then import and run the task."""
    results, ann, images = arguments.results, arguments.ann, arguments.images
    if results is None and (ann is None or images is None):
        arguments.parser.error("nothing to show: give the folder of an evaluation, or --ann and --images")
    if results is None and arguments.train is not None:
        arguments.parser.error("--train goes with the folder of an evaluation")
    from mal.formats.recognize import require_coco

    if ann is not None:
        require_coco(ann, "--ann ")
    for name, path, is_right in (
        ("", results, Path.is_dir),
        ("--ann ", ann, Path.is_file),
        ("--images ", images, Path.is_dir),
        ("--train ", arguments.train, Path.is_dir),
    ):
        if path is not None and not is_right(path):
            raise UserError(f"{name}{path}: no such {'file' if is_right is Path.is_file else 'folder'}")
    from mal.tasks import report

    if results is None:
        return report.of_labels(
            ann,
            images,
            out=arguments.out,
            pictures=arguments.pictures,
            review=arguments.review,
            reading=reading_asked_for(arguments),
        )
    return report.of_evaluation(
        results, out=arguments.out, ann=ann, images=images, train=arguments.train, pictures=arguments.pictures
    )
