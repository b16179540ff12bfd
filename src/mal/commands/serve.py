"""``mal serve``: a server that makes masks of boxes, for programs in which people label."""

from __future__ import annotations

import argparse
import importlib.util
import os
from pathlib import Path
from typing import Any

from mal.commands.label import parse_device
from mal.commands.parser import CommandParser, first_line_of, positive_int
from mal.commands.spec_flags import OF_FILES, add_spec_flags, spec_of_flags, values_given
from mal.errors import UserError

_EXAMPLES = """
examples:
  mal serve
  mal serve --checkpoint mal_model_latest.pth --images photos/
  curl --data-binary @cat.jpg -H 'Content-Type: image/jpeg' 'http://127.0.0.1:9090/v1/masks?box=40,30,240,210'

Without --checkpoint the starter that comes with mal makes the masks. docs/integrations.md walks through Label Studio.
"""
_CHECKPOINT = ("inference.checkpoint",)
_BATCHES = ("inference.batch_size",)
_TOKEN = "MAL_SERVE_TOKEN"
_LABEL_STUDIO_TOKEN = "LABEL_STUDIO_API_KEY"


def make_parser(summary: str) -> CommandParser:
    """The parser of ``mal serve``."""
    parser = CommandParser("serve", summary)
    parser.epilog = _EXAMPLES
    parser.set_defaults(parser=parser)
    add_spec_flags(parser, _CHECKPOINT)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=parse_port, default=9090, help="0 takes a free one (default: %(default)s)")
    parser.add_argument(
        "--images",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder from which pictures may be read; may be given several times",
    )
    who = parser.add_argument_group("who may ask, and what is fetched")
    who.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"file whose first line callers must send as token (also: {_TOKEN}); needed where --host is not this"
        " machine alone",
    )
    who.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name by which callers reach the server, such as host.docker.internal",
    )
    who.add_argument(
        "--allow-url",
        action="append",
        default=[],
        metavar="PREFIX",
        help="a prefix of URLs below which pictures may be fetched (default: none)",
    )
    who.add_argument(
        "--label-studio",
        metavar="URL",
        help="where Label Studio is, so that pictures of its own storage are read; a token of its own may be set as"
        f" {_LABEL_STUDIO_TOKEN}, else the one is taken that it sends when it connects",
    )
    train = parser.add_argument_group("training, which Label Studio starts")
    train.add_argument(
        "--runs", type=Path, metavar="DIR", help="folder of the training rounds (default: the server does not train)"
    )
    train.add_argument(
        "--train-spec",
        type=Path,
        metavar="SPEC.yaml",
        help="spec of the training; its data sets, results folder and initial weights are set for each round (default:"
        " the recipe small-data for the starter)",
    )
    load = parser.add_argument_group("load")
    load.add_argument(
        "--queue",
        type=positive_int,
        default=64,
        metavar="N",
        help="requests in the server at once; further ones are answered 503 (default: %(default)s)",
    )
    load.add_argument(
        "--timeout",
        type=positive_int,
        default=90,
        metavar="SECONDS",
        help="a request that takes longer is answered 503 (default: %(default)s)",
    )
    add_spec_flags(load, _BATCHES)
    how = parser.add_argument_group("how (fields of the spec; docs/spec.md says more)")
    add_spec_flags(how, leave_out=(*_CHECKPOINT, *_BATCHES, *OF_FILES))
    how.add_argument(
        "--device", type=parse_device, default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: %(default)s)"
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Check the options, then import and run the task."""
    given = values_given(arguments)
    if arguments.runs is None and arguments.train_spec is not None:
        arguments.parser.error("--train-spec goes with --runs")
    if arguments.runs is not None and arguments.train_spec is None and "inference.checkpoint" in given:
        arguments.parser.error("--runs with a --checkpoint goes with --train-spec, which says its network")
    spec = spec_of_flags(arguments.parser, _with_starter(given, arguments))
    checkpoint = Path(spec.inference.checkpoint or "")
    if not checkpoint.is_file():
        raise UserError(f"--checkpoint {checkpoint}: no such file")
    for folder in arguments.images:
        if not folder.is_dir():
            raise UserError(f"--images {folder}: no such folder")
    if arguments.train_spec is not None and not arguments.train_spec.is_file():
        raise UserError(f"--train-spec {arguments.train_spec}: no such file")
    token = token_of(arguments.token_file)
    for package in ("starlette", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"mal serve needs {package}: pip install 'mask-auto-labeler[serve]'")
    from mal.tasks import serve

    return serve.run(
        serve.ServeOptions(
            spec=spec,
            device=arguments.device,
            host=arguments.host,
            port=arguments.port,
            token=token,
            allow_hosts=arguments.allow_host,
            images=arguments.images,
            allow_urls=arguments.allow_url,
            label_studio=arguments.label_studio,
            label_studio_token=os.environ.get(_LABEL_STUDIO_TOKEN) or None,
            runs=arguments.runs,
            train_spec=arguments.train_spec,
            queue=arguments.queue,
            seconds=arguments.timeout,
        )
    )


def _with_starter(values: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Without a checkpoint the starter makes the masks."""
    from mal.starter.files import starter_for

    if "inference.checkpoint" in values:
        return values
    starter = starter_for(arguments.device, trains=arguments.runs is not None)
    return values | {"inference.checkpoint": str(starter)}


def token_of(file: Path | None) -> str | None:
    """The token of a file, or else of the environment; None without either."""
    if file is None:
        return os.environ.get(_TOKEN) or None
    return first_line_of(file)


def parse_port(text: str) -> int:
    """Parse a port, for argparse; 0 takes a free one."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; must be 0 to 65535")
    return int(text)
