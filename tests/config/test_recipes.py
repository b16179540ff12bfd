from pathlib import Path

import pytest
import yaml

from mal.config.recipes import RECIPES


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_sets_the_traps_of_short_runs(name):
    assert {
        "dataset.min_obj_size",
        "dataset.border",
        "train.loss_mil_step",
        "train.lr",
        "train.mask_thres",
    } <= RECIPES[name].values.keys()


REPOSITORY = Path(__file__).parents[2]
COPIES = [
    "src/mal/assets/demo.yaml",
    "starter/recipe.yaml",
    "examples/coco_mini/train.yaml",
    "examples/nuts/train.yaml",
]
FROM_THE_STARTER = {
    "train.lr",
    "train.ellipse_epochs",
    "train.ellipse_share",
    "dataset.min_obj_size",
}  # and how long a run is
LENGTH = {"train.num_epochs", "train.min_steps", "train.validation_interval", "train.checkpoint_interval"}


@pytest.mark.parametrize("path", COPIES)
def test_specs_that_come_with_the_project_hold_the_values_of_the_recipe(path):
    sections = yaml.safe_load((REPOSITORY / path).read_text())
    given = {
        f"{section}.{key}": value
        for section, fields in sections.items()
        if isinstance(fields, dict)
        for key, value in fields.items()
    }
    recipe = RECIPES["small-data"].values
    differing = {key for key, value in given.items() if key in recipe and recipe[key] != value}
    assert differing <= FROM_THE_STARTER | LENGTH
