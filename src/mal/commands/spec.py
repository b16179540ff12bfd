"""``mal spec``: print a complete spec to start from, or the schema in other forms."""

from __future__ import annotations

import argparse
import json

from mal.commands.parser import CommandParser


def make_parser(summary: str) -> CommandParser:
    """The parser of ``mal spec``."""
    from mal.config.recipes import RECIPES

    parser = CommandParser("spec", summary)
    parser.add_argument(
        "task",
        nargs="?",
        choices=("train", "evaluate", "inference"),
        help="only the fields that this task reads; without it, all fields",
    )
    parser.add_argument(
        "--recipe", choices=list(RECIPES), help="values measured to work together, in place of the defaults"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json-schema", action="store_true", help="print a JSON Schema, for editors")
    form.add_argument("--tables", action="store_true", help="print Markdown tables, for the documentation")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print the requested form."""
    from mal.config.docs import field_tables, json_schema, spec_yaml

    if arguments.json_schema:
        print(json.dumps(json_schema(), indent=2))
    elif arguments.tables:
        print(field_tables(), end="")
    else:
        print(spec_yaml(arguments.task, arguments.recipe), end="")
    return 0
