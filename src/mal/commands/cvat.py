"""``mal cvat``: masks for the rectangles of a task on a CVAT server."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mal.commands.label import parse_device
from mal.commands.parser import CommandParser, first_line_of, positive_int
from mal.commands.spec_flags import OF_FILES, add_spec_flags, spec_of_flags, values_given
from mal.errors import UserError
from mal.extras import is_installed

if TYPE_CHECKING:
    from mal.integrations.cvat_server import Credentials

_LABEL = "Add a mask for each rectangle of a CVAT task that has none."
_EXAMPLES = """
examples:
  CVAT_ACCESS_TOKEN=... mal cvat label 42 --url https://app.cvat.ai --dry-run
  CVAT_PASSWORD=... mal cvat label 42 --url http://localhost:8080 --user ann --checkpoint mal_model_latest.pth

Without --checkpoint the starter that comes with mal makes the masks. docs/integrations.md says more.
"""
_CHECKPOINT = ("inference.checkpoint",)
_TOKEN, _USER, _PASSWORD = "CVAT_ACCESS_TOKEN", "CVAT_USER", "CVAT_PASSWORD"


class _LabelParser(CommandParser):
    """The parser of ``mal cvat label``; argparse creates it and passes only the program's name."""

    def __init__(self, **_: Any) -> None:
        super().__init__("cvat label", _LABEL)


def make_parser(summary: str) -> CommandParser:
    """The parser of ``mal cvat``."""
    parser = CommandParser("cvat", summary)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=_LabelParser)
    label = actions.add_parser("label", help=_LABEL)
    label.epilog = _EXAMPLES
    label.set_defaults(parser=label)
    label.add_argument("task", type=positive_int, metavar="TASK", help="number of the task, as in its address")
    label.add_argument("--url", required=True, help="address of the CVAT server")
    label.add_argument("--dry-run", action="store_true", help="tell what would be done, and change nothing")
    label.add_argument(
        "--replace", action="store_true", help="remove rectangles that have a mask; without it nothing is removed"
    )
    add_spec_flags(label, _CHECKPOINT)
    who = label.add_argument_group("who asks: a token, or a user with a password")
    who.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"file whose first line is a personal access token (also: {_TOKEN})",
    )
    who.add_argument("--user", metavar="NAME", help=f"user name (also: {_USER})")
    who.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help=f"file whose first line is the password (also: {_PASSWORD})",
    )
    who.add_argument("--org", metavar="NAME", help="short name of the organization that the task belongs to")
    how = label.add_argument_group("how (fields of the spec; docs/spec.md says more)")
    add_spec_flags(how, leave_out=(*_CHECKPOINT, *OF_FILES))
    how.add_argument(
        "--device", type=parse_device, default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: %(default)s)"
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Check the options, then import and run the task."""
    from mal.starter.files import starter_for

    values = values_given(arguments)
    checkpoint = Path(values.get("inference.checkpoint") or starter_for(arguments.device))
    if not checkpoint.is_file():
        raise UserError(f"--checkpoint {checkpoint}: no such file")
    spec = spec_of_flags(arguments.parser, values | {"inference.checkpoint": str(checkpoint)})
    if not is_installed("cvat_sdk"):
        raise UserError(
            "mal cvat needs cvat-sdk, which takes Python 3.11 or newer: pip install 'mask-auto-labeler[cvat]'"
        )
    if "@" in urlsplit(arguments.url).netloc:
        raise UserError("--url: give the user with --user, and the password with --password-file or CVAT_PASSWORD")
    credentials = _credentials(arguments)
    from mal.tasks import cvat_label

    return cvat_label.run(
        cvat_label.CvatLabelOptions(
            spec=spec,
            device=arguments.device,
            url=arguments.url,
            credentials=credentials,
            number=arguments.task,
            organization=arguments.org,
            replace=arguments.replace,
            dry_run=arguments.dry_run,
        )
    )


def _credentials(arguments: argparse.Namespace) -> Credentials:
    """What the options give, or else the environment; a token goes before a password.

    Raises:
        UserError: there is neither.
    """
    from cvat_sdk.core.client import AccessTokenCredentials, PasswordCredentials

    user = arguments.user or os.environ.get(_USER)
    token = _secret(arguments.token_file, _TOKEN if arguments.user is None else None)
    if token:
        return AccessTokenCredentials(token)
    password = _secret(arguments.password_file, _PASSWORD)
    if user and password:
        return PasswordCredentials(user, password)
    raise UserError(
        f"mal cvat needs a personal access token (--token-file, or {_TOKEN} in the environment), or a user with a"
        f" password (--user, and --password-file or {_PASSWORD})"
    )


def _secret(file: Path | None, variable: str | None) -> str | None:
    if file is not None:
        return first_line_of(file)
    return os.environ.get(variable) if variable else None
