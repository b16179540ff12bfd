"""The argument parser that all commands share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from mal.printable import printable

_UNKNOWN = "unrecognized arguments:"  # argparse's words


class CommandParser(argparse.ArgumentParser):
    """Accepts only full option names, and explains overrides if a spec field is given as an option."""

    def __init__(self, command: str, summary: str) -> None:
        super().__init__(
            prog=f"mal {command}",
            description=summary,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.hint = ""
        self.add_argument("--debug", action="store_true", help="show the traceback of an error (also: MAL_DEBUG=1)")

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 after the usage and one line."""
        if message.startswith(_UNKNOWN):
            message = f"{_without_values(message)} ({self.hint})" if self.hint else _without_values(message)
        super().error(printable(message))


class IntermixedParser(CommandParser):
    """Accepts options between positional arguments too."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As :meth:`parse_intermixed_args`."""
        return self.parse_intermixed_args(args, namespace)


def _without_values(message: str) -> str:
    """Keep only the options: the value of an unknown one may be a password, as in `-k password`."""
    options = [word.partition("=")[0] for word in message.removeprefix(_UNKNOWN).split() if word.startswith("-")]
    return f"{_UNKNOWN} {' '.join(options)}" if options else message


def positive_int(text: str) -> int:
    """Parse an integer of at least 1, for argparse."""
    return _whole_number(text, least=1)


def non_negative_int(text: str) -> int:
    """Parse an integer of at least 0, for argparse."""
    return _whole_number(text, least=0)


def output_file(text: str) -> Path:
    """Parse the path of a file to write, for argparse; refuses folders and paths that end like one."""
    if text.endswith(("/", os.sep)) or Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder; give the name of the file to write")
    return Path(text)


def first_line_of(file: Path) -> str:
    """The first line of a small file, as of a secret.

    Raises:
        UserError: it cannot be read.
    """
    from mal.formats.text_files import read_text_file

    return read_text_file(file).partition("\n")[0].strip()


def number(text: str, kind: str = "a number") -> float:
    """Parse a number, for argparse; ``kind`` is what a message says that the text is not."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {kind}") from None


def _whole_number(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < least:
        raise argparse.ArgumentTypeError(f"{number} is too small; must be at least {least}")
    return number
