"""``mal train``, ``mal evaluate`` and ``mal inference``: a spec file and overrides."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mal.commands.parser import CommandParser, positive_int
from mal.commands.tao_flags import add_tao_flags, tao_overrides
from mal.errors import UserError

if TYPE_CHECKING:
    from mal.config.fields import Task

_DATA = {
    "train": "dataset.train_ann_path (and of val_ann_path, where the data set has a split val)",
    "evaluate": "dataset.val_ann_path",
    "inference": "inference.ann_path",
}
_FLAGS = {
    "inference": ("overwrite", "restart"),
    "evaluate": ("agreement", "box_noise", "box_noise_boxes", "thresholds"),
}


class SpecTaskParser(CommandParser):
    """Appends the fields of the spec to its help."""

    def __init__(self, task: Task, summary: str) -> None:
        super().__init__(task, summary)
        self.task = task
        self.hint = "fields of the spec are set without dashes: train.lr=1e-4"

    def format_help(self) -> str:
        """The usual help and the fields that the task reads."""
        from mal.config.docs import task_fields_help

        return f"{super().format_help()}\n{task_fields_help(self.task)}"

    def parse_intermixed_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """Parse as argparse does, and require overrides of the form key=value."""
        words = list(sys.argv[1:] if args is None else args)
        parsed = super().parse_intermixed_args(words, namespace)
        for text in parsed.overrides:
            if "=" not in text:
                self.error(_no_override(text, words.index(text) + 1))
        return parsed


def make_parser(task: Task, summary: str) -> CommandParser:
    """The parser of one of the three tasks."""
    parser = SpecTaskParser(task, summary)
    parser.set_defaults(task=task, dry_run=False)
    parser.add_argument(
        "-e",
        "--experiment_spec",
        "--experiment_spec_file",
        type=Path,
        required=True,
        metavar="SPEC.yaml",
        help=f"the spec file; `mal spec {task}` prints one to start from",
    )
    parser.add_argument(
        "--data",
        metavar="DATA",
        help=f"the annotations, in place of {_DATA[task]}: a COCO file, or a file or folder in another format that"
        " `mal convert` reads, with its pictures",
    )
    if task == "train":
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="read everything, try two steps, show counts, time and memory, and stop; no results are written",
        )
    if task == "inference":
        parser.add_argument("--overwrite", action="store_true", help="replace the label file of a run that is finished")
        parser.add_argument(
            "--restart", action="store_true", help="throw away what an unfinished run has done, and begin anew"
        )
    if task == "evaluate":
        parser.add_argument(
            "--agreement",
            action="store_true",
            help="also ask the other network, and say how far student and teacher agree on each box",
        )
        parser.add_argument(
            "--box-noise",
            action="store_true",
            help="also measure how masks suffer from boxes that are drawn carelessly",
        )
        parser.add_argument(
            "--box-noise-boxes",
            type=positive_int,
            default=500,
            metavar="N",
            help="how many boxes, chosen evenly, --box-noise labels 15 times (default: 500)",
        )
        parser.add_argument(
            "--thresholds",
            action="store_true",
            help="also compare thresholds from 0.3 to 0.6, and name the best one: for masks held out of the training",
        )
    add_tao_flags(parser, task)
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="key=value",
        help="sets a field of the spec, whatever the file says",
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Validate the whole spec, then import and run the task."""
    from mal.config.load import load_spec

    data = _data_overrides(arguments.task, arguments.data) if arguments.data else []
    overrides = [*tao_overrides(arguments, arguments.task), *data, *arguments.overrides]
    spec = load_spec(arguments.experiment_spec, overrides, task=arguments.task)
    module = "dry_run" if arguments.dry_run else arguments.task
    task = importlib.import_module(f"mal.tasks.{module}")
    exit_code: int = task.run(spec, **{flag: getattr(arguments, flag) for flag in _FLAGS.get(arguments.task, ())})
    return exit_code


def _data_overrides(task: Task, data: str) -> list[str]:
    """Fields of the spec for ``--data``; where the data says where its pictures are, the spec's folder does not count.

    Raises:
        UserError: the format of the data is not clear.
    """
    from mal.formats.recognize import is_there, tells_pictures
    from mal.formats.source import has_split

    if not is_there(data):
        raise UserError(f"--data {data}: no such file or folder")
    keys = {"train": ["dataset.train_"], "evaluate": ["dataset.val_"], "inference": ["inference."]}[task]
    if task == "train" and has_split(data, "val"):
        keys.append("dataset.val_")
    fields = [f"{key}ann_path={data}" for key in keys]
    return [*fields, *(f"{key}img_dir=" for key in keys)] if tells_pictures(data) else fields


def _no_override(text: str, place: int) -> str:
    from mal.config.catalog import spec_fields

    # A word that names neither a field nor a file may be a password, as in `--password hunter2`: show its position.
    is_known = any(text in (entry.key, entry.name) for entry in spec_fields()) or Path(text).exists()
    shown = repr(text) if is_known else "an argument"
    where = "" if is_known else f": it is word {place} after the command"
    return f"{shown} is not of the form key=value, as in train.lr=1e-4{where}"
