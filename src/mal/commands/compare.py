"""``mal compare``: checkpoints, results of evaluations or label files, side by side on the same boxes."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mal.commands.parser import CommandParser, IntermixedParser, positive_int
from mal.errors import UserError
from mal.tasks.compare import Candidate, CompareOptions, Kind

if TYPE_CHECKING:
    from mal.config.schema import ExperimentSpec

_MORE = """
Each A, B, ... is one of
  a results folder of mal evaluate
  a label file (.json), to be held against --truth
  a checkpoint (.pth, .onnx, ...), to be evaluated on the validation set of the spec given with -e
and may have a name: base=runs/a/evaluate. All are compared with the first, on the boxes that all have.

Writes compare.json, classes.csv and compare.html, a page that needs no other file.

examples:
  mal compare runs/a/evaluate runs/b/evaluate
  mal compare old=a.json new=b.json --truth instances_val.json --images photos/
  mal compare epoch1=model_epoch_001.pth last=mal_model_latest.pth -e spec.yaml evaluate.batch_size=16
"""
DEFAULT_OUT = Path("compare")


def make_parser(summary: str) -> CommandParser:
    """The parser of ``mal compare``."""
    parser = IntermixedParser("compare", summary)
    parser.usage = "mal compare [options] A B [...] [-e SPEC.yaml [key=value ...]]"
    parser.epilog = _MORE
    parser.hint = "fields of the spec are set without dashes: evaluate.batch_size=16"
    parser.set_defaults(parser=parser)
    parser.add_argument(
        "inputs", nargs="*", default=[], metavar="[name=]A", help="what to compare; with -e also fields of the spec"
    )
    parser.add_argument(
        "-e",
        "--experiment_spec",
        "--experiment_spec_file",
        type=Path,
        metavar="SPEC.yaml",
        help="the spec that checkpoints are evaluated by, on the first of its GPUs",
    )
    parser.add_argument(
        "--truth",
        metavar="FILE",
        help="COCO file with the true masks that label files are held against; for a results folder, where its file"
        " now lies",
    )
    parser.add_argument("--images", metavar="DIR", help="folder of the pictures; without it the page shows none")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=f"folder to write to (default: {DEFAULT_OUT}, with -e <results_dir>/compare)",
    )
    parser.add_argument(
        "--pictures",
        type=positive_int,
        default=CompareOptions.__dataclass_fields__["pictures"].default,
        metavar="N",
        help="boxes that the page shows for each run after the first (default: %(default)s)",
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Collect the runs to compare and check that they exist, then import and run the task."""
    parser: CommandParser = arguments.parser
    with_spec = arguments.experiment_spec is not None
    overrides = [text for text in arguments.inputs if with_spec and _is_override(text)]
    contenders = _contenders(parser, [text for text in arguments.inputs if text not in overrides])
    kinds = {contender.kind for contender in contenders}
    if "checkpoint" in kinds and not with_spec:
        parser.error("a checkpoint has to be evaluated first: give a spec with -e")
    if "labels" in kinds and not with_spec and arguments.truth is None:
        parser.error("label files are held against true masks: give their file with --truth")
    spec = _spec(arguments.experiment_spec, overrides, contenders) if with_spec else None
    from mal.tasks import compare

    return compare.run(
        CompareOptions(
            contenders,
            spec,
            truth=arguments.truth,
            images=arguments.images,
            out=arguments.out or (Path(spec.results_dir) / "compare" if spec else DEFAULT_OUT),
            pictures=arguments.pictures,
        )
    )


def _contenders(parser: CommandParser, texts: Sequence[str]) -> tuple[Candidate, ...]:
    if len(texts) < 2:
        parser.error("give at least two things to compare")
    found = []
    for text in texts:
        name, equals, rest = text.partition("=")
        is_named = bool(equals) and not Path(text).exists()
        found.append((name if is_named else None, Path(rest if is_named else text)))
    for _, path in found:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder")
    names = _names(found)
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        parser.error(f"two are called {repeated[0]}: tell them apart by names, as in old=PATH new=PATH")
    odd = [name for name in names if not name or name in (".", "..") or "/" in name or "\\" in name]
    if odd:
        parser.error(f"{odd[0]!r} cannot be the name of a folder: give another, as in old=PATH")
    return tuple(Candidate(name, path, _kind(path)) for name, (_, path) in zip(names, found, strict=True))


def _names(found: Sequence[tuple[str | None, Path]]) -> list[str]:
    """The given names, otherwise file and folder names; with the parent folder's name if these are not unique."""
    unnamed = Counter(_short_name(path) for name, path in found if name is None)
    return [_own_name(path, is_clear=unnamed[_short_name(path)] == 1) if name is None else name for name, path in found]


def _own_name(path: Path, *, is_clear: bool) -> str:
    own = _short_name(path)
    return own if is_clear else f"{path.resolve().parent.name}_{own}"


def _short_name(path: Path) -> str:
    if not path.is_dir():
        return path.stem
    folder = path.resolve()
    return folder.parent.name if folder.name == "evaluate" else folder.name


def _kind(path: Path) -> Kind:
    if path.is_dir():
        return "results"
    return "labels" if path.suffix == ".json" else "checkpoint"


def _is_override(text: str) -> bool:
    from mal.config.catalog import spec_fields

    name, equals, value = text.partition("=")
    if not equals or Path(text).exists():
        return False
    is_key = name in [entry.key for entry in spec_fields()]
    return is_key or ("." in name and not Path(value).exists())  # the spec reports a mistyped key


def _spec(path: Path, overrides: list[str], contenders: Sequence[Candidate]) -> ExperimentSpec:
    from mal.config.load import load_spec

    checkpoints = [str(contender.path) for contender in contenders if contender.kind == "checkpoint"]
    if not checkpoints:
        return load_spec(path, overrides)
    # Any one of them, so that the whole spec is validated before hours of evaluation; each is set later.
    return load_spec(path, [*overrides, f"evaluate.checkpoint={checkpoints[0]}"], task="evaluate")
