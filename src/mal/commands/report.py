"""``mal report``: one page that shows which masks to trust."""

from __future__ import annotations

import argparse
from pathlib import Path

from mal.commands.format_arguments import add_source_format
from mal.commands.parser import CommandParser, non_negative_int, output_file, positive_int
from mal.commands.picture_arguments import add_picture_arguments, reading_asked_for
from mal.errors import UserError

_EXAMPLES = """
examples:
  mal report results/evaluate
  mal report --ann masks.json --images photos/ --review 500
  mal report --data yolo-seg/data.yaml --out yolo_report.html
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
        "--ann",
        "--data",
        metavar="FILE",
        help="a label file, also in a format that `mal convert` reads; with RESULTS_DIR: the evaluated file, if it has"
        " moved",
    )
    add_source_format(parser, "--ann")
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
    from mal.formats.recognize import is_there, tells_pictures

    has_images = images is not None or (
        ann is not None and is_there(ann) and tells_pictures(ann, arguments.source_format)
    )
    if results is None and (ann is None or not has_images):
        arguments.parser.error("nothing to show: give the folder of an evaluation, or --ann and --images")
    if results is None and arguments.train is not None:
        arguments.parser.error("--train goes with the folder of an evaluation")
    if ann is not None and not is_there(ann):
        raise UserError(f"--ann {ann}: no such file")
    for name, path, is_right in (
        ("", results, Path.is_dir),
        ("--images ", images, Path.is_dir),
        ("--train ", arguments.train, Path.is_dir),
    ):
        if path is not None and not is_right(path):
            raise UserError(f"{name}{path}: no such {'file' if is_right is Path.is_file else 'folder'}")
    from mal.tasks import report

    out = arguments.out
    if ann is not None:
        ann, images, out = _coco_of(arguments)
    if results is None:
        return report.of_labels(
            ann,
            images,
            out=out,
            pictures=arguments.pictures,
            review=arguments.review,
            reading=reading_asked_for(arguments),
        )
    return report.of_evaluation(
        results, out=out, ann=ann, images=images, train=arguments.train, pictures=arguments.pictures
    )


def _coco_of(arguments: argparse.Namespace) -> tuple[Path, Path | None, Path | None]:
    """The label file as a COCO file, the folder of its images, and the page.

    Raises:
        UserError: it cannot be read, or is in another format, beside which no page is written unasked.
    """
    from mal.console import console
    from mal.formats.recognize import source_format
    from mal.formats.source import SourceRequest, open_source

    ann, out, images = arguments.ann, arguments.out, arguments.images
    is_coco = source_format(ann, arguments.source_format) == "coco"
    if is_coco and not Path(ann).is_dir():
        return Path(ann), images, out
    if out is None and arguments.results is None:
        raise UserError(f"--ann {ann}: nothing is written into a data set: say with --out where the page goes")
    place = out or arguments.results / "report.html"
    request = SourceRequest(
        ann, str(images) if images else None, arguments.source_format, exif=reading_asked_for(arguments).exif
    )
    opened = open_source(request, place.with_name(f"{place.stem}_source") / "labels.json")
    for line in opened.lines:
        console.print(line)
    return Path(opened.annotations), Path(opened.images), out
