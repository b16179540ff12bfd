"""Training in `mal auto`, and the choice between the network before and after it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from mal.auto.choose import Choice, choose, measure_signals
from mal.auto.findings import boxes_of
from mal.auto.recipe import epochs_in, training_spec
from mal.auto.subsets import write_subset
from mal.config.schema import ExperimentSpec
from mal.console import console, quiet_console
from mal.files import write_json
from mal.tasks.auto_plan import Plan, labeler_of, minutes_text, reading_fields, rough_duration

LATEST = Path("train", "mal_model_latest.pth")


def choose_network(plan: Plan) -> Choice:
    """Train, and choose the network that labels; a choice that was made is kept.

    Raises:
        UserError: training is not possible.
        StoppedBySignal: training was stopped; it goes on with the next call.
    """
    if plan.why_no_training is not None:
        return Choice("starter", plan.why_no_training)
    file = plan.out.work / "choice.json"
    if file.is_file():
        return Choice(**json.loads(file.read_bytes()))
    _train(plan)
    boxes = boxes_of(plan.source, plan.held_out, inside=True)
    starter = measure_signals(labeler_of(plan.checkpoint), plan.source, boxes, "comparing, before training")
    trained = measure_signals(labeler_of(plan.out.work / LATEST), plan.source, boxes, "comparing, after training")
    found = choose(starter, trained, len(boxes))
    write_json(asdict(found), file)
    return found


def _train(plan: Plan) -> None:
    from mal.tasks import train

    spec = _training_spec(plan, 1)
    assert spec.dataset.train_ann_path
    if not Path(spec.dataset.train_ann_path).is_file():
        wanted = {box.image.id for box in boxes_of(plan.source, plan.held_out, inside=False)}
        write_subset(plan.source.coco, wanted, Path(spec.dataset.train_ann_path))
    train.run(_training_spec(plan, _num_epochs(plan, spec)), is_part=True)


def _num_epochs(plan: Plan, spec: ExperimentSpec) -> int:
    """The length of the schedule, measured once, so that a run that goes on keeps it."""
    from mal.tasks.dry_run import measure_step

    file = plan.out.work / "schedule.json"
    if not file.is_file():
        console.print("timing two steps of training, to plan its length")
        with quiet_console():
            seconds, steps = measure_step(spec)
        epochs = epochs_in(plan.request.minutes, seconds_per_step=seconds, steps_per_epoch=steps)
        write_json({"num_epochs": epochs, "seconds_per_step": seconds, "steps_per_epoch": steps}, file)
    found = json.loads(file.read_bytes())
    needed = found["seconds_per_step"] * found["steps_per_epoch"]
    if needed > 60 * plan.request.minutes:
        console.print(
            f"an epoch takes about {rough_duration(needed)}: training ends within the first one, after"
            f" {minutes_text(plan.request.minutes)}"
        )
    return int(found["num_epochs"])


def _training_spec(plan: Plan, num_epochs: int) -> ExperimentSpec:
    return training_spec(
        settings=plan.held.settings,
        decoder=plan.held.spec.model.decoder,
        crop_size=plan.held.spec.dataset.crop_size,
        boxes=plan.out.work / "training_boxes.json",
        images=plan.opened.images,
        checkpoint=plan.checkpoint,
        results=plan.out.work,
        num_epochs=num_epochs,
        minutes=plan.request.minutes,
        reading=reading_fields(plan),
    )
