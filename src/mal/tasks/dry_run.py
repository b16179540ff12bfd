"""`mal train --dry-run`: read all inputs, try two steps, estimate, stop."""

from __future__ import annotations

from pathlib import Path

from mal.checkpoint.store import read_tensors
from mal.coco.boxes import select_boxes
from mal.coco.statistics import left_out_groups
from mal.config.schema import ExperimentSpec, resolve_encryption_key, task_results_dir
from mal.console import console
from mal.runtime.devices import DevicePlan, plan_devices
from mal.runtime.launch import this_launch
from mal.runtime.run_folder import quiet_libraries
from mal.tasks.dry_run_tables import (
    class_counts_table,
    counts_table,
    disk_table,
    estimate_table,
    length_table,
    notes_tables,
    num_readers,
    run_table,
    share_line,
    size_counts_table,
)
from mal.tasks.sources import training_uses, with_coco_files
from mal.training.callbacks import seed_everything
from mal.training.datamodule import TrainingData
from mal.training.initial_weights import FROM_THE_START, StartingPoint, resolve_initial_weights
from mal.training.inputs import TrainingInputs, read_inputs, run_notes
from mal.training.module import MalModule, RunSize
from mal.training.trial_run import Trial, disk_need, try_steps


def run(spec: ExperimentSpec) -> int:
    """Show what training with this spec would do; writes nothing to the results folder.

    Returns:
        Exit code 0: training could start.

    Raises:
        UserError: training could not start; one line says what to do.
    """
    if this_launch().rank:
        return 0
    quiet_libraries()
    folder = task_results_dir(spec, "train")
    plan = plan_devices(
        gpu_ids=spec.train.gpu_ids,
        num_nodes=spec.train.num_nodes,
        strategy=spec.strategy,
        use_amp=spec.train.use_amp,
    )
    console.print(f"dry run: nothing is written into {folder}")
    spec = with_coco_files(spec, training_uses(spec), None)
    inputs = read_inputs(spec, seed_everything(spec.train), plan.world_size)
    spec, boxes = inputs.spec, inputs.training.boxes
    for note in run_notes(spec, inputs.source.coco, boxes, plan.world_size):
        console.print(f"  {note.action}: {note.reason}")
    size = RunSize.of(spec.train, len(boxes), plan.world_size)
    start = resolve_initial_weights(spec, folder)
    _show_plan(start, plan, inputs, size, folder)
    if start.place.epoch >= spec.train.num_epochs:
        console.print(f"nothing to do: all {spec.train.num_epochs} epochs are done; raise train.num_epochs to go on")
        return 0
    trial = _try(start, plan, inputs, size)
    console.print(estimate_table(start, plan, inputs, size, trial))
    console.print("training can start")
    return 0


def measure_step(spec: ExperimentSpec) -> tuple[float, int]:
    """Seconds of a training step with reading, from two real steps; and the number of steps in an epoch.

    Raises:
        UserError: training could not start.
    """
    quiet_libraries()
    plan = plan_devices(
        gpu_ids=spec.train.gpu_ids,
        num_nodes=spec.train.num_nodes,
        strategy=spec.strategy,
        use_amp=spec.train.use_amp,
    )
    inputs = read_inputs(spec, seed_everything(spec.train), plan.world_size)
    size = RunSize.of(spec.train, len(inputs.training.boxes), plan.world_size)
    start = resolve_initial_weights(spec, task_results_dir(spec, "train"))
    readers = num_readers(plan, spec.dataset.num_workers_per_gpu)
    trial = _try(start, plan, inputs, size)
    return trial.seconds_per_step(readers=readers, batches_per_step=spec.train.accum_grad_batches), size.steps_per_epoch


def _show_plan(start: StartingPoint, plan: DevicePlan, inputs: TrainingInputs, size: RunSize, folder: Path) -> None:
    """Show everything known without a training step."""
    dataset = start.spec.dataset
    limits = {"min_obj_size": dataset.min_obj_size, "max_obj_size": dataset.max_obj_size}
    need = disk_need(start.student, start.spec.train, size.steps_per_epoch, folder)
    console.print(run_table(start, plan, size))
    console.print(counts_table(inputs))
    found, notes = select_boxes(inputs.source.coco)
    for table in notes_tables(left_out_groups(found, notes, **limits), inputs):
        console.print(table)
    console.print(class_counts_table(inputs))
    console.print(size_counts_table(inputs))
    console.print(share_line(found, inputs, dataset.min_obj_size))
    console.print(length_table(start.spec, size))
    console.print(disk_table(need))
    if not need.fits:
        console.print(
            "  warned: the checkpoints will not fit; free some space, set train.keep_last_n,"
            " or choose another results_dir",
        )


def _try(start: StartingPoint, plan: DevicePlan, inputs: TrainingInputs, size: RunSize) -> Trial:
    module = MalModule(start.student, start.teacher, start.spec, size, evaluator=inputs.evaluator)
    if start.resume_from:
        checkpoint = read_tensors(start.resume_from, resolve_encryption_key(start.spec))
        module.on_load_checkpoint(checkpoint)
        module.load_state_dict(checkpoint["state_dict"])
    return try_steps(module, start.spec, plan, inputs, TrainingData(inputs, start.spec, FROM_THE_START))
