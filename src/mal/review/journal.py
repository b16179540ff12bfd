"""The journal of a review: an append-only file of decisions beside the label file, and its reader.

The first line says to which label file the journal belongs, by SHA-256. Each further line is the whole state of one
annotation after one act, so the last line of an annotation is what counts. Every line ends with a checksum: a program
that is killed while it writes leaves half a line at the end, which was never confirmed and does not count.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import orjson

from mal.errors import UserError
from mal.files import sha256
from mal.masks.rle import Rle

State = Literal["undecided", "draft", "skipped", "accepted", "edited", "rejected"]
"""What a person has said of an annotation.

``accepted``: the mask of the label file is right. ``edited``: the mask that the journal holds is right. ``rejected``:
the mask is wrong. ``skipped``: looked at, left to others. ``draft``: a mask that is being drawn. ``undecided``: a
decision that was taken back.
"""
STATES: tuple[State, ...] = get_args(State)
DRAWN_STATES: frozenset[State] = frozenset(("draft", "edited"))
"""States with a mask of their own."""
DECIDED_STATES: frozenset[State] = frozenset(("accepted", "edited", "rejected"))
RIGHT_STATES: frozenset[State] = frozenset(("accepted", "edited"))
"""States of masks that a person takes for true."""

FORMAT, FORMAT_VERSION = "mal.review", 1
SUFFIX = ".review.jsonl"
_CHECKSUM = b',"crc":"%08x"}'
_CHECKSUM_LENGTH = len(_CHECKSUM % 0)


@dataclass(frozen=True, slots=True)
class Decision:
    """The state of one annotation after an act.

    Attributes:
        position: index in the label file's ``annotations``; ids may be missing or doubled.
        version: 1 for the first act on the annotation, and one more for each further one.
        state: what was decided.
        time: UTC, ISO 8601.
        by: who decided.
        number: of the act in the journal, from 1.
        operation: name of the act, so that one that is sent twice counts once.
        segmentation: the drawn mask, in states `DRAWN_STATES`; None where the label file's counts.
        bbox: x, y, width, height of a redrawn box; None where the label file's counts.
    """

    position: int
    version: int
    state: State
    time: str
    by: str
    number: int
    operation: str
    segmentation: Rle | None = None
    bbox: list[float] | None = None

    @property
    def is_right(self) -> bool:
        """Whether a person takes the mask for true: the drawn one, or else that of the label file."""
        return self.state in RIGHT_STATES


@dataclass(slots=True)
class Journal:
    """What a journal holds.

    Attributes:
        path: of the journal.
        digest: SHA-256 of the label file that it belongs to.
        decisions: the last one of each annotation, by position.
        operations: the decision of each act, by its name.
        size: bytes of the complete lines.
        torn_bytes: bytes of an incomplete last line, which does not count.
    """

    path: Path
    digest: str
    decisions: dict[int, Decision] = field(default_factory=dict)
    operations: dict[str, Decision] = field(default_factory=dict)
    size: int = 0
    torn_bytes: int = 0

    def version(self, position: int) -> int:
        """The version of an annotation; 0 where nothing was decided yet."""
        found = self.decisions.get(position)
        return 0 if found is None else found.version

    def add(self, decision: Decision) -> None:
        """Take in the next decision."""
        self.decisions[decision.position] = decision
        self.operations[decision.operation] = decision

    def right(self) -> dict[int, Decision]:
        """The annotations whose mask a person takes for true (accepted or edited), by position."""
        return {position: found for position, found in sorted(self.decisions.items()) if found.is_right}


def journal_path(labels: Path) -> Path:
    """Where the journal of a label file is, unless the user says otherwise."""
    return labels.with_name(labels.stem + SUFFIX)


def read_review(labels: Path, journal: Path | None = None) -> Journal:
    """Read the decisions on a label file.

    Args:
        labels: the label file, a COCO file.
        journal: None takes the one beside it.

    Raises:
        UserError: there is no journal, it is damaged, or it belongs to another label file.
    """
    path = journal or journal_path(labels)
    found = read_journal(path)
    require_same_file(found, labels, sha256(labels))
    return found


def require_same_file(journal: Journal, labels: Path, digest: str) -> None:
    """Check that a journal belongs to a label file.

    Raises:
        UserError: it belongs to another, or the file was changed since.
    """
    if journal.digest != digest:
        raise UserError(
            f"{journal.path} holds decisions on another file than {labels} is now (it was changed or written anew"
            " since): bring the reviewed file back, or review the new one with a journal of its own, --journal FILE"
        )


def read_journal(path: Path) -> Journal:
    """Read a journal, also one that another process is writing.

    Raises:
        UserError: it cannot be read, is no journal, or a line before the last one is damaged.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: no mask was reviewed yet; `mal review` writes it") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    journal: Journal | None = None
    for number, (end, record) in enumerate(_lines(path, content), start=1):
        if journal is None:
            journal = Journal(path, _digest_of_header(path, record))
        else:
            journal.add(_decision(path, number, record))
        journal.size = end
    if journal is None:
        raise UserError(f"{path} is no journal of a review: its first line is missing or damaged")
    journal.torn_bytes = len(content) - journal.size
    return journal


def header_line(labels: Path, digest: str, time: str) -> bytes:
    """The first line of a journal."""
    return encoded_line(
        {"format": FORMAT, "version": FORMAT_VERSION, "labels": labels.name, "sha256": digest, "time": time}
    )


def decision_line(decision: Decision, annotation_id: Any) -> bytes:
    """The line of a decision; the id is for people who read the journal."""
    record: dict[str, Any] = {
        "number": decision.number,
        "time": decision.time,
        "by": decision.by,
        "operation": decision.operation,
        "annotation": decision.position,
        "id": annotation_id,
        "version": decision.version,
        "state": decision.state,
    }
    if decision.bbox is not None:
        record["bbox"] = decision.bbox
    if decision.segmentation is not None:
        record["segmentation"] = decision.segmentation
    return encoded_line(record)


def encoded_line(record: Mapping[str, Any]) -> bytes:
    """A line with its checksum."""
    text = orjson.dumps(record)
    return text[:-1] + _CHECKSUM % zlib.crc32(text) + b"\n"


def _lines(path: Path, content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """The complete lines, each with the place where it ends.

    Raises:
        UserError: a line before the last one is damaged.
    """
    start, number = 0, 0
    while start < len(content):
        number += 1
        end = content.find(b"\n", start) + 1
        record = _record(content[start : end - 1]) if end else None
        if record is None:
            if end and end < len(content):
                raise UserError(
                    f"{path}, line {number} is damaged, and later lines are not: bring the file back from a copy, or"
                    " remove this line to go on without that decision"
                )
            return
        yield end, record
        start = end


def _record(line: bytes) -> dict[str, Any] | None:
    text = line[:-_CHECKSUM_LENGTH] + b"}"
    if line[-_CHECKSUM_LENGTH:] != _CHECKSUM % zlib.crc32(text):
        return None
    record = orjson.loads(text)
    return record if isinstance(record, dict) else None


def _digest_of_header(path: Path, record: Mapping[str, Any]) -> str:
    if record.get("format") != FORMAT or not isinstance(record.get("sha256"), str):
        raise UserError(f"{path} is no journal of a review: give the .review.jsonl that `mal review` has written")
    if record.get("version") != FORMAT_VERSION:
        raise UserError(f"{path} was written by a newer mal (format {record.get('version')}): update mal")
    return str(record["sha256"])


def _decision(path: Path, line: int, record: Mapping[str, Any]) -> Decision:
    try:
        state = record["state"]
        if state not in STATES:
            raise ValueError(state)
        return Decision(
            position=record["annotation"],
            version=record["version"],
            state=state,
            time=record["time"],
            by=record["by"],
            number=record["number"],
            operation=record["operation"],
            segmentation=record.get("segmentation"),
            bbox=record.get("bbox"),
        )
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}, line {line}: {error} is unknown or missing; was it written by a newer mal?") from None
