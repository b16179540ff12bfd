"""The command line: find the command, run it, turn errors into one line and an exit code."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
import time
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from mal.commands.parser import CommandParser
from mal.errors import SpecError, StoppedBySignal, UserError, at_fault
from mal.extras import explain_missing_package
from mal.printable import printable

if TYPE_CHECKING:
    from mal.config.fields import Task

COMPLETE, USER_MISTAKE, WRONG_USAGE, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 130, 141
_SECONDS_FOR_THE_FIRST_PROCESS = 3.0

_SPEC_TASKS = {
    "train": "Train a network on the boxes of a COCO file.",
    "evaluate": "Compare a trained network's masks with true ones.",
    "inference": "Write masks for the boxes of a COCO file, as a spec says.",
}
_OTHER_COMMANDS = {
    "auto": "Write masks for a data set in any format, trained on its boxes.",
    "label": "Write masks for a COCO file or one photo, without a spec.",
    "serve": "Serve masks to programs in which people label, such as Label Studio.",
    "cvat": "Write masks for the rectangles of a task on a CVAT server.",
    "check": "Tell what a run would make of a COCO file and its pictures.",
    "report": "Write a page that shows which masks to trust.",
    "review": "Accept, reject and mend masks on a page in the browser.",
    "compare": "Hold checkpoints, evaluations or label files against each other.",
    "checkpoint": "Look into a checkpoint file, or write it in another format.",
    "export": "Write a trained network as a file for other runtimes.",
    "spec": "Print a complete spec to start from.",
    "convert": "Bring boxes and masks from one annotation format into another.",
    "sample": "Write a small generated data set and a few real photos.",
    "demo": "Show the whole tool on the generated data set and on real photos.",
}
_COMMANDS = {**_SPEC_TASKS, **_OTHER_COMMANDS}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mal`` and return its exit code: 0 complete, 1 a mistake in the input, 2 wrong usage, 130 interrupted.

    Args:
        argv: arguments without the program's name; None takes those of the process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    is_debug = "--debug" in arguments or os.environ.get("MAL_DEBUG", "0") not in ("", "0")
    try:
        exit_code = _dispatch([argument for argument in arguments if argument != "--debug"])
        sys.stdout.flush()
    except SystemExit as exit_request:  # argparse, after help or a usage error
        return exit_request.code if isinstance(exit_request.code, int) else WRONG_USAGE
    except KeyboardInterrupt:
        _say(["mal: interrupted"], is_debug, by_first_only=True)
        return INTERRUPTED
    except StoppedBySignal as stop:
        _say([f"mal: {stop}"], is_debug, by_first_only=True)
        return 128 + stop.number  # the shell's exit code for a process ended by a signal
    except BrokenPipeError:
        # The reader of the pipe is gone; Python would report it again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except UserError as error:
        _say(_user_error_lines(error), is_debug)
        return USER_MISTAKE
    except ImportError as error:
        _say([f"mal: error: {explain_missing_package(error, f'mal {arguments[0]}') or _unexpected(error)}"], is_debug)
        return USER_MISTAKE
    except Exception as error:  # noqa: BLE001 -- any unexpected error is reported as one line
        _say([f"mal: error: {_unexpected(error)}"], is_debug)
        return USER_MISTAKE
    return exit_code


def _unexpected(error: Exception) -> str:
    reason = " ".join(str(error).split()) or "no message"
    return f"{at_fault(error)}unexpected {type(error).__name__}: {reason} (--debug shows the traceback)"


def tao_main() -> int:
    """Run ``tao model mal ...`` and ``tao mal ...``, the spellings of the TAO launcher."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["model"]:
        arguments = arguments[1:]
    if arguments[:1] != ["mal"]:
        print("usage: tao [model] mal {train,evaluate,inference} -e SPEC.yaml [key=value ...]", file=sys.stderr)
        print("tao: error: this tao knows only mal", file=sys.stderr)
        return WRONG_USAGE
    return main(arguments[1:])


def _dispatch(arguments: list[str]) -> int:
    if not arguments:
        _top_parser().print_help(sys.stderr)
        return WRONG_USAGE
    command, *rest = arguments
    if command.startswith("-"):
        _top_parser().parse_args(arguments)
    if command not in _COMMANDS:
        near = difflib.get_close_matches(command, _COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else "`mal --help` lists the commands"
        _top_parser().error(f"no such command: {command}; {hint}")
    if command in _SPEC_TASKS:
        from mal.commands import spec_task

        parsed = spec_task.make_parser(cast("Task", command), _COMMANDS[command]).parse_intermixed_args(rest)
        return spec_task.run(parsed)
    module = importlib.import_module(f"mal.commands.{command}")
    parser: CommandParser = module.make_parser(_COMMANDS[command])
    exit_code: int = module.run(parser.parse_args(rest))
    return exit_code


def _top_parser() -> argparse.ArgumentParser:
    width = max(map(len, _COMMANDS)) + 2
    listed = "\n".join(f"  {name.ljust(width)}{summary}" for name, summary in _COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="mal",
        usage="mal [-h] [--version] [--debug] COMMAND ...",
        description="Masks from boxes: train on the boxes of a COCO file, then write a mask for each of them.",
        epilog=f"commands:\n{listed}\n\n`mal COMMAND -h` tells more about one of them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    from mal import __version__

    parser.add_argument("--version", action="version", version=f"mal {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error (also: MAL_DEBUG=1)")
    return parser


def _user_error_lines(error: UserError) -> list[str]:
    if isinstance(error, SpecError):
        count = len(error.problems)
        heading = f"mal: error: {count} problem{'s' if count != 1 else ''} in the spec"
        return [heading, *(f"  {problem}" for problem in error.problems)]
    return [f"mal: error: {error}"]


def _say(lines: Sequence[str], is_debug: bool, *, by_first_only: bool = False) -> None:
    """Print to stderr; rank 0 prints first, since all ranks usually report the same.

    The launcher then ends the other ranks. One that is still alive prints its own message.
    """
    from mal.runtime.launch import this_launch

    if this_launch().rank:
        if by_first_only:
            return
        time.sleep(_SECONDS_FOR_THE_FIRST_PROCESS)
    trace = traceback.format_exc().splitlines() if is_debug else []
    print("\n".join(map(printable, [*trace, *lines])), file=sys.stderr)
