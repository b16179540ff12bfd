"""Training rounds: `mal train` in a child process at low priority, one at a time, in a folder that survives any kill.

A round is a folder with its state in `round.json`. Its child inherits an open lock file, so that the lock tells whether
a child is alive, also after this process was killed and started again. A round that was under way then goes on with the
same command: `mal train` resumes by itself, and does nothing where all is done.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mal.auto.choose import Choice
from mal.config.load import save_spec
from mal.config.recipes import RECIPES
from mal.errors import UserError, one_line
from mal.files import cannot_write, write_json
from mal.formats.text_files import read_text_file
from mal.serve.app import LOG
from mal.serve.fetch import StoppedEarly

State = Literal["collecting", "training", "finished", "failed", "cancelled"]
UNDER_WAY = ("collecting", "training")
LOWEST_PRIORITY = 19
BOXES, TRAINING_BOXES, PICTURES = "boxes.json", "training_boxes.json", "images"
_SECONDS_BETWEEN_LOOKS = 0.5
_LATEST = Path("train/mal_model_latest.pth")
_LOG_BYTES = 4096


class Round(BaseModel):
    """The state of a round, as `round.json` holds it.

    Attributes:
        name: of its folder.
        state: a round that is collecting or training is under way.
        project: id of the project whose rectangles it learns from.
        start: the checkpoint that it starts from.
        process: id of its child; None before there is one.
        boxes: how many the project has; some may be held out, for the choice.
        version: of its checkpoint, once it is finished.
        is_better: what the choice said, and so whether its checkpoint was taken into use; None where nothing chooses.
        reason: of the choice, or why there is none.
        message: why it failed.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    state: State
    project: int
    start: str
    process: int | None = None
    boxes: int | None = None
    version: str | None = None
    is_better: bool | None = None
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a choice between two checkpoints is made on.

    Attributes:
        trained: the checkpoint of the round.
        start: the one that it started from.
        ann_path, img_dir: the boxes and the pictures of the project, those held out included.
    """

    trained: Path
    start: Path
    ann_path: Path
    img_dir: Path


Command = Callable[[Path, str], Sequence[str]]
Choose = Callable[[Candidate, Callable[[], bool]], Choice]
"""Chooses between the trained checkpoint and the one that it started from, without any mask.

It is passed a function that tells whether that is still wanted, and raises StoppedEarly where it is not.
"""


class TrainingRounds:
    """Runs the rounds of a folder; `close` leaves a round under way, to go on at the next start.

    Args:
        folder: of the rounds; created if needed.
        command: makes the command line of a training from the folder of its round and the checkpoint to start from; run
            again after a stop, it resumes.
        collect: writes the boxes and pictures of a project into a folder, and returns the number of boxes; it is
            passed a function that tells whether that is still wanted, and raises StoppedEarly where it is not.
        version: the version of a checkpoint file.
        choose: where it chooses the trained checkpoint, ``use`` is called; None leaves that to people.
        use: takes a checkpoint into use.

    Raises:
        UserError: the folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        command: Command,
        *,
        collect: Callable[[int, Path, Callable[[], bool]], int],
        version: Callable[[Path], str],
        choose: Choose | None = None,
        use: Callable[[Path], object],
    ) -> None:
        if os.name != "posix":
            raise UserError("training rounds need a POSIX system: the lock of a round is handed to its process")
        self.folder = folder
        self._command = command
        self._collect = collect
        self._version = version
        self._choose = choose
        self._use = use
        self._lock = threading.Lock()
        self._is_closing = threading.Event()
        self._is_cancelled = threading.Event()
        self._thread: threading.Thread | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error
        self._own = _only_server_of(folder)
        try:
            known = self.rounds()
        except UserError:
            self._own.close()
            raise
        for unfinished in [found for found in known if found.state in UNDER_WAY][-1:]:
            self._begin(unfinished)

    def close(self) -> None:
        """Stop the child, which saves its state, and leave its round under way."""
        self._is_closing.set()
        if self._thread is not None:
            self._thread.join()
        self._own.close()

    def rounds(self) -> list[Round]:
        """All rounds, the first one first.

        Raises:
            UserError: a state file is damaged.
        """
        return [_read(path) for path in sorted(self.folder.glob("round-*/round.json"))]

    def start(self, project: int, checkpoint: Path) -> Round:
        """Start a round from a checkpoint.

        Raises:
            UserError: one is under way, or its folder cannot be written.
        """
        with self._lock:
            known = self.rounds()
            under_way = [found.name for found in known if found.state in UNDER_WAY]
            if under_way:
                raise UserError(f"{under_way[0]} is under way: wait for it, or cancel it with POST /v1/training/cancel")
            number = max((int(found.name.rpartition("-")[2]) for found in known), default=0) + 1
            made = Round(name=f"round-{number:04}", state="collecting", project=project, start=str(checkpoint))
            self._write(made)
            self._begin(made)
            return made

    def cancel(self) -> Round:
        """Cancel the round under way; its child saves its state and ends.

        Raises:
            UserError: none is under way.
        """
        under_way = [found for found in self.rounds() if found.state in UNDER_WAY]
        if not under_way:
            raise UserError("no training round is under way")
        self._is_cancelled.set()
        return under_way[-1]

    def checkpoint(self, version: str) -> Path | None:
        """The checkpoint of a finished round by its version."""
        for found in self.rounds():
            if found.version == version:
                return self.folder / found.name / _LATEST
        return None

    def _begin(self, this: Round) -> None:
        self._is_cancelled.clear()
        self._thread = threading.Thread(target=self._run, args=(this,), name=this.name)
        self._thread.start()

    def _run(self, this: Round) -> None:
        try:
            self._write(self._finish(this))
        except Exception as error:  # noqa: BLE001 -- the state tells it, and the server goes on
            LOG.exception("%s: unexpected %s", this.name, type(error).__name__)
            self._write(this.model_copy(update={"state": "failed", "message": one_line(error)}))

    def _finish(self, this: Round) -> Round:
        """Take a round to its end; returned as it is where the server closes meanwhile."""
        folder = self.folder / this.name
        try:
            with self._locked(folder) as lock:
                if this.state == "collecting":
                    boxes = self._collect(this.project, folder, self._is_wanted)
                    this = this.model_copy(update={"state": "training", "boxes": boxes})
                    self._write(this)
                exit_code, this = self._train(this, lock)
                if self._is_cancelled.is_set():
                    return this.model_copy(update={"state": "cancelled"})
                if self._is_closing.is_set() and exit_code:
                    return this
                if exit_code:
                    raise UserError(_last_line(folder / "train.log") or f"mal train ended with {exit_code}")
                return self._judge(this)
        except StoppedEarly:
            return this.model_copy(update={"state": "cancelled"}) if self._is_cancelled.is_set() else this
        except UserError as error:
            return this.model_copy(update={"state": "failed", "message": str(error)})

    def _train(self, this: Round, lock: IO[bytes]) -> tuple[int, Round]:
        """Run the child to its end; returns its exit code and the state with its id."""
        folder = (self.folder / this.name).absolute()
        with (folder / "train.log").open("ab") as log:
            child = subprocess.Popen(
                self._command(folder, this.start),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[lock.fileno()],
            )
        with suppress(ProcessLookupError):  # ended already, with a mistake in its spec
            os.setpriority(os.PRIO_PROCESS, child.pid, LOWEST_PRIORITY)
        this = this.model_copy(update={"process": child.pid})
        self._write(this)
        while True:
            try:
                return child.wait(_SECONDS_BETWEEN_LOOKS), this
            except subprocess.TimeoutExpired:
                if not self._is_wanted():
                    child.terminate()
                    return child.wait(), this

    def _judge(self, this: Round) -> Round:
        """Take the trained checkpoint into use where it is chosen; returned as it is where the server closes."""
        trained = self.folder / this.name / _LATEST
        is_better, reason = None, None
        try:
            if self._choose is not None:
                choice = self._choose(self._candidate(this), self._is_wanted)
                is_better, reason = choice.network == "trained", choice.reason
            if is_better:
                self._use(trained)
        except UserError as error:  # the checkpoint stays, for people to take
            is_better, reason = None, f"no choice was made: {error}"
        LOG.info("%s is finished%s", this.name, f": {reason}" if reason else "")
        done = {"state": "finished", "version": self._version(trained), "process": None}
        return this.model_copy(update={**done, "is_better": is_better, "reason": reason})

    def _candidate(self, this: Round) -> Candidate:
        folder = self.folder / this.name
        return Candidate(folder / _LATEST, Path(this.start), folder / BOXES, folder / PICTURES)

    @contextmanager
    def _locked(self, folder: Path) -> Iterator[IO[bytes]]:
        """Hold the lock of a round, waiting for a child that an earlier server left; `cancel` ends that too.

        Raises:
            StoppedEarly: the server closes, or the round was cancelled.
        """
        import fcntl

        with (folder / "lock").open("ab") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if self._is_cancelled.is_set():
                        _end_orphan(_read(folder / "round.json").process)
                    if self._is_closing.wait(_SECONDS_BETWEEN_LOOKS):
                        raise StoppedEarly from None
            if not self._is_wanted():
                raise StoppedEarly
            yield lock

    def _is_wanted(self) -> bool:
        return not (self._is_cancelled.is_set() or self._is_closing.is_set())

    def _write(self, this: Round) -> None:
        write_json(this.model_dump(), self.folder / this.name / "round.json")


def _only_server_of(folder: Path) -> IO[bytes]:
    """Lock a folder of rounds until the file is closed or the process ends; children do not inherit it.

    Raises:
        UserError: another server has it.
    """
    import fcntl

    lock = (folder / "lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise UserError(f"{folder}: another server trains there; give this one another folder with --runs") from None
    return lock


def recipe_spec(folder: Path) -> Path:
    """The spec of rounds that begin with the starter: written once, so that people may change it.

    Args:
        folder: of the rounds; created if needed.

    Raises:
        UserError: it cannot be written.
    """
    path = folder / "spec.yaml"
    if not path.exists():
        save_spec(RECIPES["from-starter"].spec(), path)
    return path


def train_command(spec: Path) -> Command:
    """The command line of `mal train` for rounds.

    Args:
        spec: spec file, without data sets and results folder.
    """

    def command(folder: Path, start: str) -> Sequence[str]:
        return (
            *(sys.executable, "-m", "mal", "train", "-e", str(spec.absolute())),
            f"results_dir={folder}",
            f"dataset.train_ann_path={folder / TRAINING_BOXES}",
            f"dataset.train_img_dir={folder / PICTURES}",
            "dataset.exif=upright",  # as Label Studio shows pictures
            "model.pretrained=false",  # the round says what it starts from
            f"train.pretrained_model_path={start}",
        )

    return command


def _end_orphan(process: int | None) -> None:
    """Ask a child of an earlier server to end; the lock that it holds shows that the id is still its own."""
    if process is not None:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGTERM)


def _read(path: Path) -> Round:
    try:
        return Round.model_validate_json(read_text_file(path))
    except ValidationError as error:
        raise UserError(f"{path} is damaged, remove its folder: {one_line(error)}") from None


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LOG_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return next((line for line in reversed(lines) if line.strip()), "")
