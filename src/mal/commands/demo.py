"""``mal demo``: the whole tool on the generated data set."""

from __future__ import annotations

import argparse
from pathlib import Path

from mal.commands.parser import CommandParser


def make_parser(summary: str) -> CommandParser:
    """The parser of ``mal demo``."""
    parser = CommandParser("demo", summary)
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), metavar="DIR", help="folder of the results (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="train for a moment only, to see that everything works")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Trains, evaluates, labels and writes a page of pictures."""
    from mal.tasks import demo

    return demo.run(arguments.out, quick=arguments.quick)
