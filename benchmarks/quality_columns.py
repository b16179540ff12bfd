"""Columns of the table of mask quality: the ways of making masks that it compares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mal.auto.recipe import MAX_EPOCHS


@dataclass(frozen=True)
class Training:
    """How a network is trained, by a recipe but for these fields.

    Attributes:
        recipe: its name.
        overrides: fields of the spec.
        sees_masks: true masks are the targets.
        share: of the minutes that are asked for.
        max_epochs: a training of few boxes is over after so many, however many minutes there are.
    """

    recipe: str = "small-data"
    overrides: dict[str, str] = field(default_factory=dict)
    sees_masks: bool = False
    share: float = 1.0
    max_epochs: int | None = None

    def steps(self, asked: int, steps_per_epoch: int) -> int:
        """The length of a run for which so many steps are asked."""
        most = self.max_epochs * steps_per_epoch if self.max_epochs else asked
        return max(1, min(round(asked * self.share), most))


@dataclass(frozen=True)
class Column:
    """A way of making masks.

    Attributes:
        title: for the table.
        rule: name in `benchmarks.quality_rules`; None takes a network.
        training: name in :data:`TRAININGS`; None takes the starter as it is.
        refine: ``chosen``: by graph cut or not at all, as `mal auto` chooses by the boxes to train on.
        is_final: what is offered to users: val parts are measured with every seed, in place of the first alone.
    """

    title: str
    rule: str | None = None
    training: str | None = None
    refine: Literal["none", "chosen"] = "none"
    is_final: bool = False


TRAININGS = {
    "ours": Training(),
    "public": Training(
        overrides={
            "train.target": "mean_field",
            "train.loss_mil_weight": "4",
            "train.loss_crf_step": "0",
            "train.box_jitter": "0.1",  # with this loss alone a network repeats a box that it sees exactly
            "train.box_dropout": "0.33",
        }
    ),
    "ceiling": Training(overrides={"train.ellipse_epochs": "1"}, sees_masks=True),  # of the one that is stretched: all
    "tuned": Training("from-starter", share=2 / 3, max_epochs=MAX_EPOCHS),  # as `mal auto` trains
}

COLUMNS = {
    "box": Column("filled box", rule="box"),
    "ellipse": Column("ellipse", rule="ellipse"),
    "grab_cut": Column("GrabCut alone", rule="grab_cut"),
    "ellipse_cut": Column("cut from the ellipse", rule="ellipse_cut"),
    "public": Column("public losses", training="public"),
    "ours": Column("ours", training="ours", is_final=True),
    "ours_refined": Column("ours, refined", training="ours", refine="chosen", is_final=True),
    "starter": Column("starter"),
    "starter_refined": Column("starter, refined", refine="chosen"),
    "tuned": Column("starter, tuned", training="tuned", is_final=True),
    "tuned_refined": Column("starter, tuned, refined", training="tuned", refine="chosen", is_final=True),
    "ceiling": Column("ceiling: true masks", training="ceiling"),
}
