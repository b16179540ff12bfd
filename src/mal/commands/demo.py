"""``mal demo``: the whole workflow on a generated data set, and real photos labeled at once."""

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
    """Train, evaluate, label and write a page of results."""
    from mal.tasks import demo

    return demo.run(arguments.out, quick=arguments.quick)
