"""How a network is asked for masks: fields that the sections `evaluate` and `inference` share."""

from __future__ import annotations

from typing import Literal

from mal.config.fields import LABELLING, DeviceSection, spec_field


class PredictionSection(DeviceSection):
    """The task of a section reads them; training reads those of `evaluate` for its validation."""

    use_mixed_model_test: bool = spec_field(
        False, "Average the logits of student and teacher; goes before use_teacher_test.", from_checkpoint=True
    )
    use_teacher_test: bool = spec_field(False, "Use the teacher in place of the student.", from_checkpoint=True)
    use_flip_test: bool = spec_field(
        False,
        "Average with the logits of the mirrored crop; takes twice as long.",
        from_checkpoint=True,
        flag="--flip",
    )
    use_crf_test: bool = spec_field(
        False,
        "Refine each mask on its crop by the mean field of the train.crf_* fields.",
        from_checkpoint=True,
        flag="--crf",
    )
    profile: Literal["exact", "fast"] = spec_field(
        "exact",
        "fast takes about half the time for nearly the same masks, with a vit-* architecture; what it costs and saves"
        " is in docs/performance.md.",
        tasks=LABELLING,
        from_checkpoint=True,
        flag="--profile",
    )
