"""What ``mal compare`` was asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mal.config.schema import ExperimentSpec

Kind = Literal["results", "labels", "checkpoint"]


@dataclass(frozen=True, slots=True)
class Contender:
    """One of the things that are compared.

    Attributes:
        name: what it is called in all tables.
        path: a results folder of ``mal evaluate``, a label file or a checkpoint.
        kind: which of these.
    """

    name: str
    path: Path
    kind: Kind


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """Options of ``mal compare``.

    Attributes:
        contenders: at least two, of different names; the others are compared with the first.
        spec: how checkpoints are evaluated, and on what; None without a checkpoint.
        truth: path or URL of the annotation file with the true masks; None takes the one of each results folder.
        images: path or URL of its pictures; likewise.
        out: folder of what is written.
        pictures: boxes shown on the page for each run but the first, half of them gains and half losses.
    """

    contenders: tuple[Contender, ...]
    spec: ExperimentSpec | None
    truth: str | None
    images: str | None
    out: Path
    pictures: int = 48
