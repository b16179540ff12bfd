"""The `train` section: optimization, losses and checkpoints."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationInfo, WrapValidator, field_validator

from mal.config.fields import DeviceSection, PathText, Section, Task, path_field, spec_field

_TRAIN: tuple[Task, ...] = ("train",)

Share = Annotated[float, Field(ge=0, le=1)]
Margin = Annotated[float, Field(ge=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]

_SHARES = TypeAdapter(list[Share], config=ConfigDict(strict=True, allow_inf_nan=False))


def _list_or_box_fit(value: Any, _: Any) -> Any:
    """Report a wrong value once; a union would report it for each of its types."""
    if not isinstance(value, str):
        return _SHARES.validate_python(value)
    if value != "box_fit":
        raise ValueError(f"{value!r} is no threshold; must be numbers in a list, as in [0.5], or box_fit")
    return value


Thresholds = Annotated[list[Share] | Literal["box_fit"], WrapValidator(_list_or_box_fit)]


class CudnnConfig(Section):
    """How cuDNN chooses its kernels."""

    benchmark: bool = spec_field(False, "Time the kernels at the start and take the fastest ones.", tasks=_TRAIN)
    deterministic: bool = spec_field(True, "Take kernels that give the same result each time.", tasks=_TRAIN)


class TrainConfig(DeviceSection):
    """How masks are learnt from boxes. The crf_*, mask_thres and test_margin_rate fields count at test time too."""

    seed: int = spec_field(1234, "Seed of all random numbers; -1 leaves them unseeded.", tasks=_TRAIN, ge=-1)
    cudnn: CudnnConfig = Field(default_factory=CudnnConfig)
    num_epochs: int = spec_field(10, "Number of passes over the training boxes.", tasks=_TRAIN, ge=1)
    min_steps: int = spec_field(
        0,
        "Fewest steps of a run: where num_epochs give fewer, there are more epochs, and warmup_epochs, ellipse_epochs,"
        " validation_interval and checkpoint_interval grow with them. So one spec suits sets of any size.",
        tasks=_TRAIN,
        ge=0,
    )
    max_minutes: float | None = spec_field(
        None,
        "Longest time of training steps, without validations; once it is spent, training saves its state and ends. A"
        " run that goes on keeps the time that it has spent; null sets no limit.",
        tasks=_TRAIN,
        gt=0,
    )
    checkpoint_interval: int = spec_field(
        1,
        "A checkpoint is saved each time this many epochs (or steps) are done, and at the end.",
        tasks=_TRAIN,
        ge=1,
    )
    checkpoint_interval_unit: Literal["epoch", "step"] = spec_field(
        "epoch", "What checkpoint_interval counts.", tasks=_TRAIN
    )
    checkpoint_every_n_minutes: float = spec_field(
        15.0,
        "mal_model_latest.pth is also brought up to date within an epoch each time this many minutes have passed;"
        " 0 leaves that out.",
        tasks=_TRAIN,
        ge=0,
    )
    keep_last_n: int = spec_field(
        0, "Number of numbered checkpoints that are kept, the newest ones; 0 keeps all.", tasks=_TRAIN, ge=0
    )
    keep_best: int = spec_field(
        1,
        "Number of checkpoints that are kept for their validation mIoU, however old; model_best.pth is the best one.",
        tasks=_TRAIN,
        ge=1,
    )
    validation_interval: int = spec_field(
        1, "Validation runs each time this many epochs are done, and after the last one.", tasks=_TRAIN, ge=1
    )
    resume_training_checkpoint_path: PathText = path_field(
        "Checkpoint to go on from; null goes on from mal_model_latest.pth in the results folder where there is one.",
        tasks=_TRAIN,
    )
    pretrained_model_path: PathText = path_field(
        "Weights to start from: a backbone release, a MAL checkpoint, or starter, which comes with the package. Not"
        " read when training resumes.",
        tasks=_TRAIN,
    )
    results_dir: PathText = path_field("Folder of checkpoints and logs; null means <results_dir>/train.", tasks=_TRAIN)
    batch_size: int = spec_field(
        4, "Boxes in one batch on each GPU; also a factor of the learning rate.", tasks=_TRAIN, ge=1
    )
    accum_grad_batches: int = spec_field(1, "Batches that are summed up for one step.", tasks=_TRAIN, ge=1)
    use_amp: bool = spec_field(True, "Mixed precision where the hardware gains from it.", from_checkpoint=True)

    optim_type: Literal["adamw"] = spec_field("adamw", "Optimiser.", tasks=_TRAIN, has_effect=False)
    optim_momentum: float = spec_field(
        0.9, "First beta of AdamW where optim_betas is not given.", tasks=_TRAIN, ge=0, lt=1
    )
    optim_betas: list[Beta] | None = spec_field(
        None, "Both betas of AdamW; null means [optim_momentum, 0.9].", tasks=_TRAIN, min_length=2, max_length=2
    )
    optim_eps: float = spec_field(1e-8, "Epsilon of AdamW.", tasks=_TRAIN, gt=0)
    lr: float = spec_field(
        1.5e-6, "Learning rate of one box on one GPU: multiplied by batch_size and the number of GPUs.",
        tasks=_TRAIN, ge=0,
    )  # fmt: skip
    backbone_lr_rate: float = spec_field(
        1.0, "Learning rate of the backbone as a share of that of all other weights, at every step.",
        tasks=_TRAIN, ge=0,
    )  # fmt: skip
    min_lr: float = spec_field(
        0.0, "Learning rate at the end of the schedule, before it is multiplied; 0 means lr x min_lr_rate.",
        tasks=_TRAIN, ge=0,
    )  # fmt: skip
    min_lr_rate: float = spec_field(
        0.2, "Learning rate at the end of the schedule as a share of lr.", tasks=_TRAIN, ge=0, le=1
    )
    num_wave: float = spec_field(
        1.0, "Half periods of the cosine between warm-up and the last epoch.", tasks=_TRAIN, ge=0
    )
    wd: float = spec_field(5e-4, "Weight decay.", tasks=_TRAIN, ge=0)
    warmup_epochs: int = spec_field(
        1, "Epochs in which the learning rate grows from 0 to its full height.", tasks=_TRAIN, ge=0
    )

    margin_rate: list[Margin] = spec_field(
        [0.0, 1.2],
        "Smallest and largest random margin of a training crop, as a share of the box's half width or height.",
        tasks=_TRAIN,
        min_length=2,
        max_length=2,
    )
    box_jitter: float = spec_field(
        0.1,
        "With model.decoder fpn, which sees the box: largest random move of a side of the box that it sees in training,"
        " as a share of the box's extent. Boxes drawn as exactly at test time as in training need none.",
        tasks=_TRAIN,
        ge=0,
        lt=0.5,
    )
    box_dropout: Share = spec_field(
        0.33,
        "With model.decoder fpn: share of the training crops without the box. Needed with target mean_field, where the"
        " box alone is nearly an answer.",
        tasks=_TRAIN,
    )
    test_margin_rate: list[Margin] = spec_field(
        [0.6, 0.6],
        "Margin of a crop at test time: half the first number, as a share of the box's half width or height, is added"
        " on each side. The second number is kept for TAO's specs.",
        from_checkpoint=True,
        flag="--test-margin-rate",
        min_length=2,
        max_length=2,
    )
    mask_thres: Thresholds = spec_field(
        [0.1],
        "Probability above which a pixel belongs to the mask: one number, or three for small, medium and large boxes;"
        " or box_fit, for each box the highest one up to 0.5 at which the mask still reaches the sides of its box.",
        from_checkpoint=True,
        flag="--threshold",
    )

    clip_grad_norm: float = spec_field(
        0.0, "Longest gradient: a longer one is scaled down to this norm before a step; 0 leaves it.",
        tasks=_TRAIN, ge=0,
    )  # fmt: skip
    on_bad_loss: Literal["stop", "skip"] = spec_field(
        "stop",
        "What follows a loss or gradient that is not a number or infinite: training stops and names the annotations,"
        " or the step is left out and counted.",
        tasks=_TRAIN,
    )

    target: Literal["mean_field", "graph_cut"] = spec_field(
        "mean_field",
        "Masks that the student learns from, beside its boxes. mean_field: what the mean field makes of student and"
        " teacher, as in the publication. graph_cut: what a graph cut makes of the ellipse in the box, and later of"
        " the teacher's probabilities.",
        tasks=_TRAIN,
    )
    ellipse_epochs: float = spec_field(
        1.0,
        "With target graph_cut: epochs in which the ellipse in the box seeds all targets; may be a fraction. The"
        " teacher does so afterwards.",
        tasks=_TRAIN,
        ge=0,
    )
    ellipse_share: Share = spec_field(
        0.25,
        "With target graph_cut: share of the boxes whose target the ellipse seeds to the end, drawn anew each epoch."
        " It keeps self-training from drifting.",
        tasks=_TRAIN,
    )
    target_softness: Share = spec_field(
        0.0,
        "With target graph_cut: weight of the teacher's probabilities in the targets that it seeds; 0 is the cut alone,"
        " 0.5 the mean of both.",
        tasks=_TRAIN,
    )
    true_mask_share: Share = spec_field(
        0.25,
        "With target graph_cut and true masks of some boxes: largest share of the training crops that show those boxes"
        " beside their own turn. Each comes at most 4 times more in an epoch.",
        tasks=_TRAIN,
    )
    loss_mil_weight: float = spec_field(4.0, "Weight of the multiple instance loss.", tasks=_TRAIN, ge=0)
    loss_crf_weight: float = spec_field(0.5, "Weight of the conditional random field loss.", tasks=_TRAIN, ge=0)
    loss_mil_step: int = spec_field(
        1000, "Steps of the first epoch in which the multiple instance loss grows to its weight.", tasks=_TRAIN, ge=0
    )
    loss_crf_step: int = spec_field(
        4000, "Steps of the first epoch in which the random field loss grows to its weight.", tasks=_TRAIN, ge=0
    )
    crf_zeta: float = spec_field(
        0.1,
        "Colour distance, in normalised pixel values, up to which neighbours pull each other.",
        from_checkpoint=True,
        gt=0,
    )
    crf_kernel_size: int = spec_field(
        3, "Side of the neighbourhood of the mean field; odd.", from_checkpoint=True, ge=1
    )
    crf_num_iter: int = spec_field(100, "Iterations of the mean field.", from_checkpoint=True, ge=0)
    crf_size_ratio: int = spec_field(1, "The mean field runs at this multiple of the logits' size.", ge=1)
    crf_value_high_thres: float = spec_field(
        0.9, "Mean field probabilities are cut off above this.", from_checkpoint=True, gt=0, lt=1
    )
    crf_value_low_thres: float = spec_field(
        0.1, "Mean field probabilities are cut off below this.", from_checkpoint=True, gt=0, lt=1
    )

    @field_validator("margin_rate")
    @classmethod
    def _check_margin_rate(cls, value: list[float]) -> list[float]:
        if value[0] > value[1]:
            raise ValueError(f"the smallest margin ({value[0]:g}) is above the largest ({value[1]:g})")
        return value

    @field_validator("mask_thres")
    @classmethod
    def _check_mask_thres(cls, value: Thresholds) -> Thresholds:
        if value != "box_fit" and len(value) not in (1, 3):
            raise ValueError(f"has {len(value)} values; must have 1, or 3 (small, medium, large)")
        return value

    @field_validator("crf_kernel_size")
    @classmethod
    def _check_crf_kernel_size(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"{value} is even; must be odd, as in {value - 1} or {value + 1}")
        return value

    @field_validator("crf_value_low_thres")
    @classmethod
    def _check_clamps(cls, value: float, info: ValidationInfo) -> float:
        high = info.data.get("crf_value_high_thres")
        if high is not None and value >= high:
            raise ValueError(f"{value:g} is not below train.crf_value_high_thres ({high:g})")
        return value

    @property
    def betas(self) -> tuple[float, float]:
        """The betas of AdamW: `optim_betas`, or `optim_momentum` and 0.9."""
        beta1, beta2 = self.optim_betas or (self.optim_momentum, 0.9)
        return beta1, beta2
