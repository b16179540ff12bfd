"""``mal check``: check annotation files and images as a run would read them, before the run."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from mal.commands.parser import CommandParser, IntermixedParser, output_file, positive_int
from mal.commands.picture_arguments import add_picture_arguments, reading_asked_for
from mal.errors import UserError
from mal.tasks.check import CheckOptions, CheckSource, Use

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
  mal check -e spec.yaml inference.ann_path=boxes.json
"""


def make_parser(summary: str) -> CommandParser:
    """The parser of ``mal check``."""
    parser = IntermixedParser("check", summary)
    parser.usage = "mal check [options] (ANN.json IMAGES | -e SPEC.yaml [key=value ...])"
    parser.epilog = _MORE
    parser.hint = "fields of the spec are set without dashes: inference.ann_path=boxes.json"
    parser.set_defaults(parser=parser)
    parser.add_argument(
        "inputs",
        nargs="*",
        default=[],
        metavar="ANN.json IMAGES",
        help="a COCO file and the folder of its images; with -e fields of the spec, as key=value",
    )
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
    sources = _sources(arguments.parser, arguments.experiment_spec, arguments.inputs)
    sources = tuple(replace(source, reading=reading_asked_for(arguments, source.reading)) for source in sources)
    from mal.tasks import check

    return check.run(
        CheckOptions(sources, deep=arguments.deep, as_json=arguments.json, out=arguments.out, limit=arguments.limit)
    )


def _sources(parser: CommandParser, spec_path: Path | None, inputs: list[str]) -> tuple[CheckSource, ...]:
    if spec_path is None:
        if len(inputs) != 2:
            parser.error("give a COCO file and the folder of its images, or a spec with -e")
        return (CheckSource(inputs[0], inputs[1], ("labelling",)),)
    if not all("=" in text for text in inputs):  # its value may be a password, as in `-k password`
        parser.error("with -e all other arguments are of the form key=value, as in inference.ann_path=boxes.json")
    return _sources_of_spec(spec_path, inputs)


def _sources_of_spec(spec_path: Path, overrides: list[str]) -> tuple[CheckSource, ...]:
    """Collect the files of all tasks; a file of several tasks is checked once."""
    from mal.config.load import load_spec

    spec = load_spec(spec_path, overrides)
    dataset, inference = spec.dataset, spec.inference
    sizes = (dataset.min_obj_size, dataset.max_obj_size)
    named: list[tuple[Use, str, str | None, str, str | None]] = [
        ("training", "dataset.train_ann_path", dataset.train_ann_path, "train_img_dir", dataset.train_img_dir),
        ("validation", "dataset.val_ann_path", dataset.val_ann_path, "val_img_dir", dataset.val_img_dir),
        ("labelling", "inference.ann_path", inference.ann_path, "img_dir", inference.img_dir),
    ]
    sources: dict[tuple[str, str], CheckSource] = {}
    for use, key, ann_path, folder_key, img_dir in named:
        if not ann_path and not img_dir:
            continue
        if not ann_path or not img_dir:
            raise UserError(f"{spec_path}: give {key} and {folder_key} together, or neither")
        known = sources.get((ann_path, img_dir), CheckSource(ann_path, img_dir, (), reading=dataset.reading))
        trained = sizes if use == "training" else known.training_sizes
        kept = inference.keep_existing_masks and use == "labelling"
        sources[ann_path, img_dir] = replace(
            known, uses=(*known.uses, use), training_sizes=trained, keep_existing_masks=kept
        )
    if not sources:
        raise UserError(f"{spec_path} names no annotation file: set {named[0][1]}, {named[1][1]} or {named[2][1]}")
    return tuple(sources.values())
