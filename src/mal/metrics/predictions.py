"""Read and write predicted masks as COCO results, one record per line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import orjson

from mal.coco.boxes import Box
from mal.errors import UserError
from mal.files import atomic_file, cannot_write, dumps
from mal.masks.rle import Rle


@dataclass(frozen=True, slots=True)
class Prediction:
    """A record of ``predictions.json``.

    Attributes:
        annotation_index: position in the list of annotations of the evaluated file.
        annotation_id, image_id, category_id: as in the file.
        rle: the mask.
        score: 0..1.
    """

    annotation_index: int
    annotation_id: Any
    image_id: Any
    category_id: Any
    rle: Rle
    score: float


class PredictionsPart:
    """Masks of one rank, in a temporary file next to the complete one; removed when that is written.

    Args:
        path: of the complete file.
        rank: number of the process.

    Raises:
        UserError: it cannot be written.
    """

    def __init__(self, path: Path, rank: int) -> None:
        self.path = path.with_name(f".{path.stem}.part_{rank}.jsonl")
        self._places: list[tuple[int, int, int]] = []
        try:
            self._file = self.path.open("wb")
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def add(self, box: Box, rle: Rle, score: float) -> None:
        """Write a mask."""
        record = {
            "image_id": box.image.id,
            "category_id": box.category_id,
            "segmentation": rle,
            "score": score,
            "annotation_index": box.position,
            "annotation_id": box.annotation_id,
        }
        line = dumps(record)
        try:
            self._places.append((box.position, self._file.tell(), len(line)))
            self._file.write(line)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def __enter__(self) -> PredictionsPart:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Remove the part if something went wrong: what is complete is closed before."""
        if kind is not None:
            with suppress(OSError):  # of a full disk, once more: the first error is on its way
                self._file.close()
            self.path.unlink(missing_ok=True)

    def close(self) -> WrittenPart:
        """Close the part; returns where its masks are, for any rank."""
        try:
            self._file.close()
        except OSError as error:
            raise cannot_write(self.path, error) from error
        return WrittenPart(self.path, np.array(self._places, np.int64).reshape(-1, 3))


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """A part that is complete.

    Attributes:
        path: of its file.
        places: (N, 3), of each mask the annotation's position, and where its record starts in the file and its length.
    """

    path: Path
    places: npt.NDArray[np.int64]


def write_predictions(parts: Sequence[WrittenPart], path: Path) -> None:
    """Merge the parts of all ranks, sorted by annotation, atomically, and remove them.

    Raises:
        UserError: a part cannot be read, as where machines do not share the folder; or the disk is full.
    """
    part_numbers = np.repeat(np.arange(len(parts)), [len(part.places) for part in parts])
    places = np.concatenate([part.places for part in parts])
    with ExitStack() as stack:
        files = [stack.enter_context(_opened(part.path)) for part in parts]
        output = stack.enter_context(atomic_file(path))
        output.write(b"[")
        for number, row in enumerate(np.argsort(places[:, 0]).tolist()):
            file, (_, start, length) = files[part_numbers[row]], places[row].tolist()
            file.seek(start)
            output.write((b",\n" if number else b"\n") + file.read(length))
        output.write(b"\n]\n")
    for part in parts:
        part.path.unlink()


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise UserError(
            f"{path}: the masks of another process of this run are not there ({error.strerror}); results_dir must be a"
            " folder that all machines share"
        ) from error


def read_predictions(path: Path) -> Iterator[Prediction]:
    """The masks in a file that :func:`write_predictions` wrote, one at a time.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            for line in file:
                if len(line) > 2:  # not a bracket
                    yield _prediction(orjson.loads(line.rstrip(b",\n")))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: is not a file of predictions that mal evaluate wrote: {error}") from error


def _prediction(record: dict[str, Any]) -> Prediction:
    return Prediction(
        annotation_index=record["annotation_index"],
        annotation_id=record["annotation_id"],
        image_id=record["image_id"],
        category_id=record["category_id"],
        rle=record["segmentation"],
        score=record["score"],
    )
