"""The results folder of a task: its spec, its log, its status file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mal.coco.notes import RecordNote
from mal.config.fields import Task
from mal.config.load import save_spec
from mal.config.schema import ExperimentSpec, task_results_dir
from mal.console import console
from mal.errors import UserError
from mal.runtime.child_processes import end_together, is_lost_process_error
from mal.runtime.launch import this_launch
from mal.runtime.status import StatusLog

NOTES_SHOWN = 5


@contextmanager
def run_folder(spec: ExperimentSpec, task: Task, *, keep_spec: bool = True) -> Iterator[tuple[Path, StatusLog]]:
    """Create the results folder of a task, save the resolved spec there, and log how the task ends.

    Only rank 0 logs, except that any rank may log why it stops.

    Args:
        spec: the run's spec.
        task: the task.
        keep_spec: whether to save the spec at once; otherwise the task saves it when it is certain to replace results.

    Raises:
        UserError: the folder cannot be created or written.
    """
    quiet_libraries()
    rank = this_launch().rank
    if rank:
        console.quiet = True
        warnings.simplefilter("ignore")
    end_together()
    folder = task_results_dir(spec, task)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        status = StatusLog(folder, enabled=not rank)
        status.write(f"{task} started")
    except OSError as error:
        raise UserError(f"{folder}: results cannot be written there ({error.strerror}); set results_dir") from error
    if keep_spec and not rank:
        save_spec(spec, folder / "spec.yaml")
    try:
        yield folder, status
    except BaseException as error:
        if is_lost_process_error(error):
            error = UserError("another process of this run has stopped; its own message says why")
        who = f"{task}, process {rank}," if rank else task
        StatusLog(folder).write(f"{who} stopped: {str(error) or type(error).__name__}", level="error")
        raise error
    status.write(f"{task} finished")


def show_notes(notes: Sequence[RecordNote], status: StatusLog) -> None:
    """Print the first records that need attention, notes on whole files first; log all to the status file."""
    notes = sorted(notes, key=lambda note: not note.is_on_file)
    for note in notes:
        status.write(_line(note), level="warning")
    for note in notes[:NOTES_SHOWN]:
        console.print(f"  {_line(note)}")
    if len(notes) > NOTES_SHOWN:
        console.print(f"  ... and {len(notes) - NOTES_SHOWN} more, all in {status.path}")


def _line(note: RecordNote) -> str:
    who = f"annotation {note.annotation_id}: " if note.position is not None else ""
    return f"{note.action}: {who}{note.reason}"


def quiet_libraries() -> None:
    """Silence Lightning's tips and developer warnings."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*")
