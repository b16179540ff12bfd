"""Which model is in use: the checkpoint of the command line, or one of a training round that was taken since."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mal.errors import UserError, one_line
from mal.files import write_json
from mal.formats.text_files import read_text_file
from mal.labeler import MaskAutoLabeler
from mal.reading import Reading
from mal.serve.engine import Engine, Model, file_version
from mal.starter.files import called


class _InUse(BaseModel):
    """What `in_use.json` holds: the checkpoint that was taken into use, of the one that the server was started with."""

    model_config = ConfigDict(extra="forbid")

    started_with: str
    checkpoint: str


Load = Callable[[Path], tuple[MaskAutoLabeler, Reading]]
"""Loads a checkpoint; returns the labeler, and how pictures are decoded for it."""


class Models:
    """Loads models, and remembers the one in use in a folder.

    Args:
        load: loads a checkpoint.
        checkpoint: of the command line.
        folder: of the training rounds; None remembers nothing.
        suffix: of the versions: changes with the settings of the server. Label Studio asks for no new masks where it
            has some of the same version.
    """

    def __init__(
        self,
        load: Load,
        checkpoint: Path,
        folder: Path | None,
        suffix: str = "",
    ) -> None:
        self.suffix = suffix
        self._load = load
        self._first = checkpoint
        self._state = None if folder is None else folder / "in_use.json"
        self._lock = threading.Lock()
        self.checkpoint = self._remembered() or checkpoint
        self.engine: Engine | None = None

    @property
    def first_version(self) -> str:
        """The version of the checkpoint of the command line."""
        return file_version(self._first) + self.suffix

    def load(self) -> Model:
        """Load the checkpoint in use."""
        return self._model(self.checkpoint)

    def in_use(self) -> str:
        """The model in use in words: its file, version and device."""
        assert self.engine is not None
        model = self.engine.model
        return f"{called(self.checkpoint)}, {model.version} on {model.labeler.device}"

    def use(self, checkpoint: Path) -> str:
        """Take a checkpoint into use, from the next request on; returns its version.

        Raises:
            UserError: it cannot be loaded; the one in use stays.
        """
        with self._lock:
            model = self._model(checkpoint)
            if self._state is not None:
                state = _InUse(started_with=str(self._first.absolute()), checkpoint=str(checkpoint.absolute()))
                write_json(state.model_dump(), self._state)
            self.checkpoint = checkpoint
            if self.engine is not None:
                self.engine.model = model
            return model.version

    def use_first(self) -> str:
        """Go back to the checkpoint of the command line."""
        return self.use(self._first)

    def _model(self, checkpoint: Path) -> Model:
        labeler, reading = self._load(checkpoint)
        return Model(labeler, file_version(checkpoint) + self.suffix, reading)

    def _remembered(self) -> Path | None:
        """The checkpoint of `in_use.json`, where the server was started with the same one then.

        Raises:
            UserError: the file is damaged, or the checkpoint is gone.
        """
        if self._state is None or not self._state.is_file():
            return None
        try:
            state = _InUse.model_validate_json(read_text_file(self._state))
        except ValidationError as error:
            raise UserError(f"{self._state} is damaged, remove it: {one_line(error)}") from None
        if state.started_with != str(self._first.absolute()):
            return None
        if not Path(state.checkpoint).is_file():
            raise UserError(f"{self._state} names {state.checkpoint}, which is gone: remove {self._state}")
        return Path(state.checkpoint)
