"""``mal check``: check annotation files and images as a run would read them, before the run."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from mal.commands.format_arguments import add_source_format
from mal.commands.parser import CommandParser, IntermixedParser, output_file, positive_int
from mal.commands.picture_arguments import add_picture_arguments, reading_asked_for
from mal.errors import UserError
from mal.tasks.check import CheckOptions, CheckSource

_MORE = """
Reads the annotations as training and labelling do, and the header of every picture. Tells how many annotations
would be labelled, and of the others why not and what to do.

exit code:
  0  every annotation would be labelled (group regions, iscrowd 1, are copied)
  1  some would not, or a file cannot be read
  2  wrong usage

examples:
  mal check boxes.json photos/
  mal check boxes.json photos/ --deep --out check.json
  mal check yolo/data.yaml
  mal check -e spec.yaml inference.ann_path=boxes.json
"""


def make_parser(summary: str) -> CommandParser:
    """The parser of ``mal check``."""
    parser = IntermixedParser("check", summary)
    parser.usage = "mal check [options] (ANN.json IMAGES | --data DATA [--images DIR] | -e SPEC.yaml [key=value ...])"
    parser.epilog = _MORE
    parser.hint = "fields of the spec are set without dashes: inference.ann_path=boxes.json"
    parser.set_defaults(parser=parser)
    parser.add_argument(
        "inputs",
        nargs="*",
        default=[],
        metavar="ANN.json IMAGES",
        help="a COCO file and the folder of its images, or a file or folder in another format that `mal convert`"
        " reads; with -e fields of the spec, as key=value",
    )
    parser.add_argument("--data", metavar="DATA", help="the annotations, in place of ANN.json")
    parser.add_argument("--images", metavar="DIR", help="the folder of the images, in place of IMAGES")
    add_source_format(parser, "DATA")
    parser.add_argument(
        "-e",
        "--experiment_spec",
        "--experiment_spec_file",
        type=Path,
        metavar="SPEC.yaml",
        help="check all annotation files and image folders that the spec names, for the tasks that read them",
    )
    parser.add_argument(
        "--deep", action="store_true", help="decode every picture and every mask: finds all damage, takes far longer"
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    parser.add_argument("--out", type=output_file, metavar="FILE", help="also write the JSON to a file")
    parser.add_argument(
        "--limit",
        type=positive_int,
        default=5,
        metavar="N",
        help="annotations or images to name for each kind of finding; JSON has them all (default: %(default)s)",
    )
    add_picture_arguments(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Collect the files to check, then import and run the task."""
    sources = _sources(arguments)
    sources = tuple(replace(source, reading=reading_asked_for(arguments, source.reading)) for source in sources)
    from mal.tasks import check

    return check.run(
        CheckOptions(sources, deep=arguments.deep, as_json=arguments.json, out=arguments.out, limit=arguments.limit)
    )


def _sources(arguments: argparse.Namespace) -> tuple[CheckSource, ...]:
    parser: CommandParser = arguments.parser
    spec_path, inputs = arguments.experiment_spec, arguments.inputs
    if spec_path is None:
        return (_source_given(parser, [*filter(None, (arguments.data, arguments.images)), *inputs], arguments),)
    if arguments.data or arguments.images or arguments.source_format:
        parser.error("--data, --images and --from go without -e: set the fields of the spec")
    if not all("=" in text for text in inputs):  # its value may be a password, as in `-k password`
        parser.error("with -e all other arguments are of the form key=value, as in inference.ann_path=boxes.json")
    return _sources_of_spec(spec_path, inputs)


def _source_given(parser: CommandParser, inputs: list[str], arguments: argparse.Namespace) -> CheckSource:
    from mal.formats.recognize import is_there, tells_pictures

    named = inputs[0] if inputs else ""
    is_alone = len(inputs) == 1 and arguments.images is None and is_there(named)
    if len(inputs) != 2 and not (is_alone and tells_pictures(named, arguments.source_format)):
        parser.error("give a COCO file and the folder of its images, or a spec with -e")
    images = inputs[1] if len(inputs) == 2 else None
    return CheckSource(named, images, ("labelling",), format=arguments.source_format)


def _sources_of_spec(spec_path: Path, overrides: list[str]) -> tuple[CheckSource, ...]:
    """Collect the files of all tasks; a file of several tasks is checked once."""
    from mal.config.load import load_spec
    from mal.formats.recognize import tells_pictures
    from mal.tasks.sources import KEYS, request_of

    spec = load_spec(spec_path, overrides)
    sizes = (spec.dataset.min_obj_size, spec.dataset.max_obj_size)
    sources: dict[tuple[str, str | None, str | None], CheckSource] = {}
    for use, keys in KEYS.items():
        request = request_of(spec, keys)
        if request is None and getattr(getattr(spec, keys.section), f"{keys.prefix}img_dir") is None:
            continue
        if request is None or (request.images is None and not tells_pictures(request.annotations, request.format)):
            raise UserError(f"{spec_path}: give {keys.key('ann_path')} and {keys.prefix}img_dir together, or neither")
        one = (request.annotations, request.images, request.split)
        new = CheckSource(
            request.annotations,
            request.images,
            (),
            reading=spec.dataset.reading,
            format=request.format,
            split=request.split,
        )
        known = sources.get(one, new)
        sources[one] = replace(
            known,
            uses=(*known.uses, use),
            training_sizes=sizes if use == "training" else known.training_sizes,
            keep_existing_masks=spec.inference.keep_existing_masks and use == "labelling",
        )
    if not sources:
        named = [keys.key("ann_path") for keys in KEYS.values()]
        raise UserError(f"{spec_path} names no annotation file: set {named[0]}, {named[1]} or {named[2]}")
    return tuple(sources.values())
