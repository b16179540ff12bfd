"""The LightningModule: one training step, validation, the learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from mal.checkpoint.saved_spec import require_same_model, saved_spec
from mal.config.schema import ExperimentSpec
from mal.config.train_config import TrainConfig
from mal.data.label_dataset import CropBatch
from mal.data.targets import TargetBatch
from mal.data.train_dataset import TrainBatch
from mal.losses import batch_losses, target_losses, warm_up_factor
from mal.metrics.evaluator import Evaluator
from mal.models.activation_checkpointing import checkpoint_activations
from mal.models.ema import update_teacher, warmed_up
from mal.models.fpn_network import AnyMaskNetwork
from mal.models.from_spec import mean_field_settings, prediction_mode
from mal.models.inputs import network_inputs, normalize
from mal.models.predict import predict_probs
from mal.runtime.fsdp import ShardedStrategy
from mal.training.batch_targets import complete_targets
from mal.training.optimizer import make_optimizer
from mal.training.run_length import steps_per_epoch


def learning_rate(
    epoch: float, *, lr: float, min_lr: float, warmup_epochs: float, num_epochs: float, num_wave: float = 1
) -> float:
    """Linear warm-up from 0, then a cosine down to the floor.

    Source: MAL (arXiv 2301.03992), section 4.1.

    Args:
        epoch: epochs done so far, with the fraction of the current one.
        lr: highest rate.
        min_lr: rate at the end of a half wave.
        warmup_epochs: epochs until ``lr`` is reached.
        num_epochs: epochs of the whole run.
        num_wave: half waves of the cosine.
    """
    if epoch < warmup_epochs:
        return lr * epoch / warmup_epochs
    if num_epochs <= warmup_epochs:
        return lr
    progress = (epoch - warmup_epochs) / (num_epochs - warmup_epochs)
    return min_lr + (lr - min_lr) * 0.5 * (1 + math.cos(math.pi * progress * num_wave))


@dataclass(frozen=True, slots=True)
class RunSize:
    """The size of a run, for the schedule.

    Attributes:
        steps_per_epoch: optimizer steps of an epoch.
        world_size: number of ranks.
    """

    steps_per_epoch: int
    world_size: int

    @classmethod
    def of(cls, train: TrainConfig, num_boxes: int, world_size: int) -> RunSize:
        """The size of a run on a number of boxes, shared equally by all ranks."""
        return cls(steps_per_epoch(train, num_boxes, world_size), world_size)


class MalModule(LightningModule):
    """Student and teacher under training (MAL, arXiv 2301.03992, section 3).

    Args:
        student: the network that learns.
        teacher: EMA teacher (see :mod:`mal.models.ema`); it has no gradient.
        spec: the whole spec; it is saved with every checkpoint.
        run_size: see :class:`RunSize`.
        evaluator: compares masks with true ones during validation; None without a validation set.

    Attributes:
        last_scores: metrics of the last validation by name, the same on every rank.
    """

    def __init__(
        self,
        student: AnyMaskNetwork,
        teacher: AnyMaskNetwork,
        spec: ExperimentSpec,
        run_size: RunSize,
        *,
        evaluator: Evaluator | None = None,
    ) -> None:
        super().__init__()
        self.student = student
        self.teacher = teacher
        self.spec = spec
        self.run_size = run_size
        self.evaluator = evaluator
        self._mean_field = mean_field_settings(spec)
        self._mode = prediction_mode(spec, spec.evaluate)
        self.last_scores: dict[str, float] = {}
        if spec.model.activation_checkpoint:
            checkpoint_activations(student.backbone)

    def train(self, mode: bool = True) -> MalModule:
        """Switch the student to training mode; the teacher always stays in eval mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def configure_model(self) -> None:
        """With FSDP, shard student and teacher identically, so that the EMA update stays local."""
        strategy = self.trainer.strategy
        if isinstance(strategy, ShardedStrategy):
            strategy.shard(self.student)
            strategy.shard(self.teacher)

    def training_step(self, batch: TrainBatch, batch_idx: int) -> Tensor:
        """Compute the weighted sum of the losses of a batch."""
        images = normalize(batch.student_images)
        student_logits = self.student(images, batch.box_area, batch.box_input)
        step = batch_idx // self.spec.train.accum_grad_batches
        if batch.targets is None:
            loss, figures = self._mean_field_loss(batch, images, student_logits, step)
        else:
            loss, figures = self._target_loss(batch, batch.targets, student_logits, step)
        names = ["train/loss", *figures]
        own = torch.stack([loss, *figures.values()]).detach()
        of_all = self.trainer.strategy.reduce(own, reduce_op="mean")
        rate = self.trainer.optimizers[0].param_groups[-1]["lr"]
        self.log_dict(
            {**dict(zip(names, of_all, strict=True)), "train/lr": rate},
            batch_size=len(batch),
            logger=False,  # see StepLog
        )
        return loss

    def _mean_field_loss(
        self, batch: TrainBatch, images: Tensor, student_logits: Tensor, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch by the public method, and what to log by name."""
        train = self.spec.train
        losses = batch_losses(
            student_logits,
            self._teacher_logits(batch),
            images,
            batch.box_mask,
            self._mean_field,
            crf_size_ratio=train.crf_size_ratio,
        )
        mil, crf = losses.mil.mean(), losses.crf.mean()
        loss = self._weighted_mil(mil, step)
        loss = loss + crf * train.loss_crf_weight * warm_up_factor(self.current_epoch, step, train.loss_crf_step)
        return loss, {"train/mil": mil, "train/crf": crf}

    def _target_loss(
        self, batch: TrainBatch, loaded: TargetBatch, student_logits: Tensor, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch against targets by graph cut, and what to log by name."""
        train = self.spec.train
        epochs_done = self.current_epoch + step / self.run_size.steps_per_epoch
        has_teacher = epochs_done >= train.ellipse_epochs  # the same for all ranks, which share its forward pass
        prob = self._teacher_logits(batch).float().sigmoid() if has_teacher else None
        targets = complete_targets(loaded, batch.box_mask, prob, softness=train.target_softness)
        losses = target_losses(
            student_logits,
            targets.masks,
            targets.confidence,
            batch.box_mask,
            may_correct=has_teacher & ~targets.is_true,
        )
        mil = losses.mil.mean()
        return losses.mean(targets.confidence) + self._weighted_mil(mil, step), {
            "train/mil": mil,
            "train/dice": losses.dice.mean(),
            "train/bce": losses.bce.mean(),
            "train/target_fill": targets.fill.mean(),
            "train/target_fit": targets.fit.mean(),
            "train/target_confidence": targets.confidence.mean(),
        }

    @torch.no_grad()
    def _teacher_logits(self, batch: TrainBatch) -> Tensor:
        logits: Tensor = self.teacher(normalize(batch.teacher_images), batch.box_area, batch.box_mask)
        return logits

    def _weighted_mil(self, mil: Tensor, step: int) -> Tensor:
        train = self.spec.train
        return mil * train.loss_mil_weight * warm_up_factor(self.current_epoch, step, train.loss_mil_step)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step the student, then update the EMA teacher."""
        super().optimizer_step(*args, **kwargs)
        model = self.spec.model
        momentum = model.teacher_momentum
        if model.teacher_warmup:
            momentum = warmed_up(momentum, self.trainer.global_step)
        update_teacher(self.teacher, self.student, momentum)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW on the student, its rates set before every step."""
        return make_optimizer(self.student, self.spec.train, self._rate_at)

    def _rate_at(self, step: int) -> float:
        train = self.spec.train
        factor = self.run_size.world_size * train.batch_size
        return learning_rate(
            step / self.run_size.steps_per_epoch,
            lr=train.lr * factor,
            min_lr=(train.min_lr or train.lr * train.min_lr_rate) * factor,
            warmup_epochs=train.warmup_epochs,
            num_epochs=train.num_epochs,
            num_wave=train.num_wave,
        )

    def validation_step(self, batch: CropBatch, batch_idx: int) -> Tensor | None:
        """Compare the masks of a batch with the true ones; returns the probabilities for callbacks."""
        assert self.evaluator is not None
        if not len(batch):  # none of its images could be read
            return None
        probs = self.predict_step(batch, batch_idx)
        self.evaluator.update(batch, probs)
        return probs

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the whole validation set."""
        assert self.evaluator is not None
        scores = self.evaluator.scalars()
        self.last_scores = {name: float(value) for name, value in scores.items()}
        self.log_dict(scores, sync_dist=False, rank_zero_only=True)
        self.evaluator.reset()

    def predict_step(self, batch: CropBatch, batch_idx: int) -> Tensor:
        """Foreground probabilities in the pixels of each crop, (B, 1, S, S)."""
        crops = network_inputs(batch, self.device)
        return predict_probs(
            self.student,
            self.teacher,
            crops.images,
            crops.box_mask,
            crops.box_area,
            self._mode,
            box_input=crops.box_input,
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store spec and scores with the weights, so that a checkpoint is self-contained."""
        checkpoint["metrics"] = self.last_scores
        checkpoint["hyper_parameters"] = saved_spec(self.spec, self.student.backbone.stem)

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Refuse a checkpoint of another network with one clear line; restore its scores."""
        require_same_model(checkpoint.get("hyper_parameters", {}), saved_spec(self.spec, self.student.backbone.stem))
        self.last_scores = checkpoint.get("metrics", {})
