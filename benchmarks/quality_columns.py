"""Columns of the table of mask quality: the ways of making masks that it compares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Training:
    """How a network is trained, by the recipe but for these fields.

    Attributes:
        overrides: fields of the spec.
        sees_masks: true masks are the targets.
        from_starter: starts from the checkpoint of ``--starter``.
    """

    overrides: dict[str, str] = field(default_factory=dict)
    sees_masks: bool = False
    from_starter: bool = False


@dataclass(frozen=True)
class Column:
    """A way of making masks.

    Attributes:
        title: for the table.
        rule: name in `benchmarks.quality_rules`; None takes a network.
        training: name in :data:`TRAININGS`; None takes the starter as it is.
        refine: value of ``evaluate.refine``.
        is_final: what is offered to users: val parts are measured with every seed, in place of the first alone.
    """

    title: str
    rule: str | None = None
    training: str | None = None
    refine: Literal["none", "auto"] = "none"
    is_final: bool = False

    @property
    def takes_starter(self) -> bool:
        """Whether the checkpoint of ``--starter`` is needed."""
        return self.rule is None and (self.training is None or TRAININGS[self.training].from_starter)


TRAININGS = {
    "ours": Training(),
    "public": Training(
        {
            "train.target": "mean_field",
            "train.loss_mil_weight": "4",
            "train.loss_crf_step": "0",
            "train.box_jitter": "0.1",  # with this loss alone a network repeats a box that it sees exactly
            "train.box_dropout": "0.33",
        }
    ),
    "ceiling": Training({"train.ellipse_epochs": "1"}, sees_masks=True),  # of the one that is stretched: all
    "ours_starter": Training({"model.pretrained": "false"}, from_starter=True),
}
COLUMNS = {
    "box": Column("filled box", rule="box"),
    "ellipse": Column("ellipse", rule="ellipse"),
    "grab_cut": Column("GrabCut alone", rule="grab_cut"),
    "ellipse_cut": Column("cut from the ellipse", rule="ellipse_cut"),
    "public": Column("public losses", training="public"),
    "ours": Column("ours", training="ours", is_final=True),
    "ours_refined": Column("ours, refined", training="ours", refine="auto", is_final=True),
    "starter": Column("starter, not trained, refined", refine="auto"),
    "ours_starter": Column("ours from the starter, refined", training="ours_starter", refine="auto", is_final=True),
    "ceiling": Column("ceiling: true masks", training="ceiling"),
}
