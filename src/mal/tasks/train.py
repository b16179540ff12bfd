"""`mal train`: train a network on boxes."""

from __future__ import annotations

from pathlib import Path

from lightning import Callback, Trainer

from mal.config.load import save_spec
from mal.config.schema import ExperimentSpec, resolve_encryption_key
from mal.console import console
from mal.runtime.allocator import keep_freed_memory
from mal.runtime.devices import DevicePlan, plan_devices
from mal.runtime.lightning_internals import was_interrupted
from mal.runtime.run_folder import run_folder, show_notes
from mal.runtime.status import StatusLog
from mal.tasks.sources import SOURCES_NAME, training_uses, with_coco_files
from mal.training.callbacks import LastEpochValidation, NonFiniteGuard, StepLog, StepSeeds, seed_everything
from mal.training.checkpoint_files import LATEST_NAME, AtomicCheckpointIO, CheckpointFiles, KeepingRules
from mal.training.datamodule import TrainingData
from mal.training.initial_weights import StartingPoint, resolve_initial_weights
from mal.training.inputs import TrainingInputs, asks_for_validation, read_inputs, run_notes
from mal.training.loggers import run_loggers
from mal.training.mask_pictures import MaskPictures
from mal.training.module import MalModule, RunSize
from mal.training.progress import TrainingProgress
from mal.training.stop_signals import StopSignals
from mal.training.summary import TrainingSummary
from mal.training.target_watch import TargetWatch
from mal.training.time_limit import TimeIsUp, TimeLimit


def run(spec: ExperimentSpec, *, is_part: bool = False) -> int:
    """Train as ``spec.train`` says; resumes automatically from ``mal_model_latest.pth`` in the results folder.

    Args:
        spec: of the run.
        is_part: whether this is a step of another command, so that advice for this one is left out.

    Returns:
        Exit code 0 once training is complete.

    Raises:
        UserError: the input or the environment does not allow training; one line says what to do.
    """
    keep_freed_memory()
    with run_folder(spec, "train") as (folder, status):
        plan = plan_devices(
            gpu_ids=spec.train.gpu_ids,
            num_nodes=spec.train.num_nodes,
            strategy=spec.strategy,
            use_amp=spec.train.use_amp,
        )
        console.print(f"training on {plan.summary}")
        spec = with_coco_files(spec, training_uses(spec), folder / SOURCES_NAME)
        inputs = read_inputs(spec, seed_everything(spec.train), plan.world_size)
        spec, boxes = inputs.spec, inputs.training.boxes
        if not (is_part or asks_for_validation(spec.dataset)):
            console.print("no validation: it takes dataset.val_ann_path, val_img_dir and load_mask=true")
        show_notes([*run_notes(spec, inputs.source.coco, boxes, plan.world_size), *inputs.notes], status)
        run_size = RunSize.of(spec.train, len(boxes), plan.world_size)
        start = resolve_initial_weights(spec, folder)
        if start.warning:
            status.write(start.warning, level="warning")
        if start.spec != spec and status.enabled:
            save_spec(start.spec, folder / "spec.yaml")
        if start.place.epoch >= spec.train.num_epochs:
            console.print(
                f"nothing to do: all {spec.train.num_epochs} epochs are done; raise train.num_epochs to go on,"
                " or choose a new results_dir to start afresh"
            )
            return 0
        try:
            _train(start.spec, plan, inputs, start, run_size, folder, status)
        except TimeIsUp as end:
            advice = "" if is_part else "; the same command with a larger number goes on from there"
            console.print(f"train.max_minutes = {spec.train.max_minutes:g} are spent: {end}{advice}")
            status.write("its time is spent")
        console.print(f"done: {folder / LATEST_NAME}")
    return 0


def _train(
    spec: ExperimentSpec,
    plan: DevicePlan,
    inputs: TrainingInputs,
    start: StartingPoint,
    run_size: RunSize,
    folder: Path,
    status: StatusLog,
) -> None:
    trainer = _trainer(spec, plan, inputs, start.steps_done, folder, status)
    status.enabled = trainer.is_global_zero
    module = MalModule(start.student, start.teacher, spec, run_size, evaluator=inputs.evaluator)
    data = TrainingData(inputs, spec, start.place)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=start.resume_from, weights_only=True)
    except SystemExit:
        if was_interrupted(trainer):  # the trainer turns Ctrl-C into a silent exit
            raise KeyboardInterrupt from None
        raise


def _trainer(
    spec: ExperimentSpec,
    plan: DevicePlan,
    inputs: TrainingInputs,
    steps_done: int,
    folder: Path,
    status: StatusLog,
) -> Trainer:
    train = spec.train
    return Trainer(
        **plan.trainer_arguments(),
        max_epochs=train.num_epochs,
        accumulate_grad_batches=train.accum_grad_batches,
        check_val_every_n_epoch=min(train.validation_interval, train.num_epochs),
        limit_val_batches=1.0 if inputs.validation else 0,
        num_sanity_val_steps=0,
        logger=run_loggers(spec, folder, steps_done=steps_done),
        callbacks=_callbacks(spec, inputs, folder, status),
        plugins=[AtomicCheckpointIO(resolve_encryption_key(spec))],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )


def _callbacks(spec: ExperimentSpec, inputs: TrainingInputs, folder: Path, status: StatusLog) -> list[Callback]:
    train = spec.train
    signals, limit = StopSignals(), TimeLimit(train.max_minutes)
    rules = KeepingRules(
        train.checkpoint_interval, train.checkpoint_interval_unit, last_n=train.keep_last_n, best=train.keep_best
    )
    files = CheckpointFiles(
        folder, rules, minutes=train.checkpoint_every_n_minutes, signals=signals, limit=limit, status=status
    )
    health = NonFiniteGuard(
        {box.position: box.annotation_id for box in inputs.training.boxes},
        skip_bad_steps=train.on_bad_loss == "skip",
        clip_grad_norm=train.clip_grad_norm,
        files=files,
        status=status,
    )
    pictures = (
        [MaskPictures(inputs.validation.boxes_to_label, inputs.evaluator)]
        if inputs.validation and inputs.evaluator
        else []
    )
    watch = [TargetWatch(files)] if train.target == "graph_cut" else []
    return [
        signals,
        limit,
        StepSeeds(inputs.training),
        health,
        StepLog(),
        *pictures,
        TrainingProgress(status, inputs.evaluator.truth if inputs.evaluator else None, limit),
        LastEpochValidation(),
        TrainingSummary(folder, status),
        *watch,
        files,
    ]
