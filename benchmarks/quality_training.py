"""Train and evaluate for the table of mask quality, by the product's own commands, each in a process of its own."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from benchmarks.quality_cells import Boxes
from benchmarks.quality_columns import TRAININGS
from benchmarks.quality_sets import Part
from mal.auto.refinement import choose_refinement, cut_agreement
from mal.config.load import save_spec
from mal.config.recipes import RECIPES
from mal.data.loaders import AnnotatedImages
from mal.files import write_json
from mal.labeler import MaskAutoLabeler
from mal.metrics.instance_file import read_instances
from mal.tasks.evaluate import INSTANCES, TIMING

RECIPE = "small-data"
ROOT = Path(__file__).parents[1]
Refine = Literal["none", "graph_cut"]
# Values of the recipe for one epoch, which train.min_steps stretches to the length of the run.
NUM_EPOCHS = "train.num_epochs"
COUNTED_IN_EPOCHS = ("train.ellipse_epochs", "train.warmup_epochs")
STARTS_FROM = "train.pretrained_model_path"
EVALUATED_WITH = ("evaluate.batch_size", "evaluate.use_teacher_test")


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        checkpoint: its file.
        command: by which it was made.
        minutes: wall clock of the whole command.
        steps: optimizer steps asked for; whole epochs, so there may be some more.
    """

    checkpoint: str
    command: str
    minutes: float
    steps: int


@dataclass(frozen=True)
class Runs:
    """Trains and evaluates.

    Args:
        out: folder of the runs; a training that is finished there is not repeated, one that is not begins anew.
        overrides: fields of the spec for all trainings.
        starter: checkpoint that some of them start from.
    """

    out: Path
    overrides: Mapping[str, str]
    starter: Path

    def trained(self, place: Path, name: str, part: Part, seed: int, steps: int) -> Trained:
        """The training of a name in ``TRAININGS``; ``place`` is its folder under ``out``."""
        folder = self.out / place
        record = folder / "trained.json"
        if record.exists():
            return Trained(**json.loads(record.read_text(encoding="utf-8")))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        training = TRAININGS[name]
        recipe = RECIPES[training.recipe]
        values = {
            **one_epoch(recipe.values),
            "train.min_steps": str(steps),
            "train.seed": str(seed),
            "dataset.train_ann_path": str(part.train_masks if training.sees_masks else part.train_boxes),
            "dataset.train_img_dir": str(part.train_images),
            "results_dir": str(folder),
            **({STARTS_FROM: str(self.starter)} if STARTS_FROM in recipe.values else {}),
            **training.overrides,
            **self.overrides,
        }
        spec = folder / f"{training.recipe}.yaml"
        save_spec(recipe.spec(), spec)
        program = ["benchmarks.quality_ceiling"] if training.sees_masks else ["mal", "train"]
        start = time.monotonic()
        command = _run([*program, "-e", str(spec), *_assignments(values)], folder / "train.log")
        minutes = (time.monotonic() - start) / 60
        trained = Trained(str(folder / "train" / "mal_model_latest.pth"), command, minutes, steps)
        write_json(asdict(trained), record)
        return trained

    def refinement(self, place: Path, part: Part, checkpoint: Path) -> Refine:
        """How `mal auto` refines masks of a network on the boxes of a part that are trained on."""
        record = self.out / place / "refinement.json"
        if not record.exists():
            source = AnnotatedImages(part.train_boxes, part.train_images)
            labeler = MaskAutoLabeler.from_checkpoint(checkpoint)
            agreement = cut_agreement(labeler, source, source.boxes_to_label)
            record.parent.mkdir(parents=True, exist_ok=True)
            write_json({"agreement": agreement, "refine": choose_refinement(agreement).refine}, record)
        found: Refine = json.loads(record.read_text(encoding="utf-8"))["refine"]
        return found

    def evaluated(self, place: Path, part: Part, checkpoint: Path, refine: Refine) -> tuple[Boxes, float, str]:
        """Figures of all boxes of a part, boxes a second, and the command; one that is done is not repeated."""
        folder = self.out / place
        record = folder / "evaluated.json"
        if not record.exists():
            write_json({"command": self._evaluate(folder, part, checkpoint, refine)}, record)
        timing = json.loads((folder / "evaluate" / TIMING).read_text(encoding="utf-8"))
        rows = read_instances(folder / "evaluate" / INSTANCES)
        command = json.loads(record.read_text(encoding="utf-8"))["command"]
        return Boxes.of_rows(rows), timing["boxes"] / timing["seconds"], command

    def _evaluate(self, folder: Path, part: Part, checkpoint: Path, refine: Refine) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        recipe = RECIPES[RECIPE].values
        values = {
            **{key: _text(recipe[key]) for key in EVALUATED_WITH},
            "evaluate.checkpoint": str(checkpoint),
            "evaluate.refine": refine,
            "evaluate.report": "false",
            "dataset.val_ann_path": str(part.val_masks),
            "dataset.val_img_dir": str(part.val_images),
            "dataset.load_mask": "true",
        }
        spec = folder / "evaluate.yaml"  # all that is not said here is of the checkpoint
        spec.write_text(f"results_dir: {json.dumps(str(folder))}\n", encoding="utf-8")
        return _run(["mal", "evaluate", "-e", str(spec), *_assignments(values)], folder / "evaluate.log")


def one_epoch(recipe: Mapping[str, object]) -> dict[str, str]:
    """The values of a recipe that count epochs, for one epoch in place of all."""
    epochs = float(str(recipe[NUM_EPOCHS]))
    scaled = {key: f"{float(str(recipe[key])) / epochs:g}" for key in COUNTED_IN_EPOCHS if recipe.get(key)}
    return {NUM_EPOCHS: "1", "train.validation_interval": "1", "train.checkpoint_interval": "1", **scaled}


def _assignments(values: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in values.items()]


def _text(value: object) -> str:
    return json.dumps(value)


def _run(words: Sequence[str], log: Path) -> str:
    """Run a module of Python from the root of the repository; the command as one types it."""
    command = shlex.join(["python", "-m", *words])
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        raise SystemExit(f"{log}: {_last_line(log)}\nfailed: {command}")
    return command


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "says nothing")
