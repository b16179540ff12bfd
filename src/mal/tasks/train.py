"""Train a network on boxes."""

from __future__ import annotations

import logging
import math
import warnings
from pathlib import Path

import lightning
import torch
from lightning import Trainer
from torch.utils.data import DataLoader

from mal.checkpoint.store import AtomicCheckpointIO
from mal.checkpoint.weights import Weights, load_matching, read_weights
from mal.config.schema import ExperimentSpec
from mal.console import console
from mal.data.crop_stream import CropBatch, CropSettings
from mal.data.datamodule import AnnotatedImages, crop_loader, train_loader
from mal.data.train_boxes import TrainBatch, TrainBoxes
from mal.errors import UserError
from mal.metrics.evaluator import Evaluator
from mal.models.build import build_network
from mal.models.ema import make_teacher
from mal.models.network import MaskNetwork
from mal.tasks.run_folder import run_folder, show_notes
from mal.training.callbacks import LATEST_NAME, CheckpointFiles, TrainingProgress
from mal.training.devices import DevicePlan, plan_devices
from mal.training.loggers import run_loggers
from mal.training.module import MalModule, RunSize
from mal.training.status import StatusLog

MAX_SEED = 2**32 - 1


def run(spec: ExperimentSpec) -> int:
    """Train as ``spec.train`` says; resumes by itself from ``mal_model_latest.pth`` in the results folder.

    Returns:
        Exit code 0 when training is complete.

    Raises:
        UserError: the input or the environment does not allow it; one line says what to do.
    """
    with run_folder(spec, "train") as (folder, status):
        quiet_libraries()
        plan = plan_devices(
            gpu_ids=spec.train.gpu_ids,
            num_nodes=spec.train.num_nodes,
            strategy=spec.strategy,
            use_amp=spec.train.use_amp,
        )
        console.print(f"training on {plan.summary}")
        seed = _seed_everything(spec)

        training = _training_set(spec, seed, status)
        validation = _validation_set(spec)
        resume_from = _checkpoint_to_resume(spec, folder)
        student, teacher = _networks(spec, resume_from)
        steps = math.ceil(math.ceil(len(training) / plan.world_size) / spec.train.batch_size)
        run_size = RunSize(math.ceil(steps / spec.train.accum_grad_batches), plan.world_size)
        evaluator = _evaluator(spec, validation)
        module = MalModule(student, spec, run_size, evaluator=evaluator, teacher=teacher)

        trainer = _trainer(spec, plan, folder, status, validate=evaluator is not None)
        status.enabled = trainer.is_global_zero
        loaders = _loaders(spec, plan, training, validation if evaluator else None, trainer.global_rank)
        _fit(trainer, module, *loaders, resume_from)
        console.print(f"done: {folder / LATEST_NAME}")
    return 0


def quiet_libraries() -> None:
    """Keep the trainer's advertising and its advice to programmers off the user's screen."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*")


def _seed_everything(spec: ExperimentSpec) -> int:
    train = spec.train
    torch.backends.cudnn.benchmark = train.cudnn.benchmark
    torch.backends.cudnn.deterministic = train.cudnn.deterministic
    if train.seed < 0:
        return int(torch.seed()) % MAX_SEED
    lightning.seed_everything(train.seed, verbose=False)
    return train.seed


def _training_set(spec: ExperimentSpec, seed: int, status: StatusLog) -> TrainBoxes:
    dataset = spec.dataset
    assert dataset.train_ann_path
    assert dataset.train_img_dir
    source = AnnotatedImages(Path(dataset.train_ann_path), Path(dataset.train_img_dir))
    boxes = source.boxes_to_train_on(min_obj_size=dataset.min_obj_size, max_obj_size=dataset.max_obj_size)
    images = len({box.image.position for box in boxes})
    console.print(f"{len(boxes)} of {len(source.coco.annotations)} boxes in {images} images to train on")
    show_notes(source.notes, status)
    return TrainBoxes(
        boxes,
        source.img_dir,
        crop_size=dataset.crop_size,
        margin_rate=spec.train.margin_rate,
        border=dataset.border,
        seed=seed,
    )


def _validation_set(spec: ExperimentSpec) -> AnnotatedImages | None:
    dataset = spec.dataset
    if not dataset.load_mask or not dataset.val_ann_path or not dataset.val_img_dir:
        return None
    return AnnotatedImages(Path(dataset.val_ann_path), Path(dataset.val_img_dir))


def _evaluator(spec: ExperimentSpec, validation: AnnotatedImages | None) -> Evaluator | None:
    if validation is None:
        console.print("no validation: give dataset.val_ann_path with masks, and dataset.load_mask=true, to have one")
        return None
    evaluator = Evaluator(validation.coco, validation.boxes_to_label, spec.train.mask_thres)
    if evaluator.truth.has_masks(validation.boxes_to_label):
        return evaluator
    console.print(f"no validation: {validation.coco.path} holds no masks to compare with")
    return None


def _checkpoint_to_resume(spec: ExperimentSpec, folder: Path) -> Path | None:
    given = spec.train.resume_training_checkpoint_path
    if given:
        return Path(given)
    latest = folder / LATEST_NAME
    return latest if latest.exists() else None


def _networks(spec: ExperimentSpec, resume_from: Path | None) -> tuple[MaskNetwork, MaskNetwork]:
    """Student and teacher as they start; a run that resumes fills them later."""
    source = _weights_to_start_from(spec, resume_from)
    stem = spec.model.stem if spec.model.stem != "auto" else (source.stem if source else None) or "patch"
    student = build_network(spec, stem)
    if resume_from or source is None:
        return student, make_teacher(student)
    report = load_matching(student, source.network("student"), source.path)
    teacher = make_teacher(student)
    load_matching(teacher, source.network("teacher"), source.path)
    console.print(f"starting from {source.path}: {report}")
    return student, teacher


def _weights_to_start_from(spec: ExperimentSpec, resume_from: Path | None) -> Weights | None:
    if resume_from:
        console.print(f"resuming from {resume_from}")
        return read_weights(resume_from)
    return read_weights(Path(spec.train.pretrained_model_path)) if spec.train.pretrained_model_path else None


def _trainer(spec: ExperimentSpec, plan: DevicePlan, folder: Path, status: StatusLog, *, validate: bool) -> Trainer:
    train = spec.train
    return Trainer(
        **plan.trainer_arguments(),
        max_epochs=train.num_epochs,
        accumulate_grad_batches=train.accum_grad_batches,
        check_val_every_n_epoch=min(train.validation_interval, train.num_epochs),
        limit_val_batches=1.0 if validate else 0,
        num_sanity_val_steps=0,
        logger=run_loggers(spec, folder),
        callbacks=[
            TrainingProgress(status),
            CheckpointFiles(folder, train.checkpoint_interval, train.checkpoint_interval_unit, status),
        ],
        plugins=[AtomicCheckpointIO()],
        log_every_n_steps=10,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )


def _loaders(
    spec: ExperimentSpec, plan: DevicePlan, training: TrainBoxes, validation: AnnotatedImages | None, rank: int
) -> tuple[DataLoader[TrainBatch], DataLoader[CropBatch] | None]:
    workers = spec.dataset.num_workers_per_gpu
    train = train_loader(
        training,
        batch_size=spec.train.batch_size,
        num_workers=workers,
        rank=rank,
        world_size=plan.world_size,
        pin_memory=plan.accelerator == "gpu",
    )
    if validation is None:
        return train, None
    crop = CropSettings(spec.dataset.crop_size, spec.train.test_margin_rate, spec.dataset.border)
    return train, crop_loader(
        validation.boxes_to_label,
        validation.img_dir,
        crop,
        batch_size=spec.evaluate.batch_size,
        num_workers=workers,
        rank=rank,
        world_size=plan.world_size,
    )


def _fit(
    trainer: Trainer,
    module: MalModule,
    train: DataLoader[TrainBatch],
    validation: DataLoader[CropBatch] | None,
    resume_from: Path | None,
) -> None:
    try:
        trainer.fit(module, train, validation, ckpt_path=resume_from, weights_only=True)
    except UserError as error:
        # A loader process sends its traceback along with the error; the last line is the error itself.
        raise UserError(str(error).strip().splitlines()[-1].removeprefix("mal.errors.UserError: ")) from error
