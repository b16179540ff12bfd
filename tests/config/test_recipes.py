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
COPIES = {
    "src/mal/assets/demo.yaml": "small-data",
    "starter/recipe.yaml": "small-data",
    "examples/coco_mini/train.yaml": "from-starter",
    "examples/nuts/train.yaml": "from-starter",
}
LENGTH = {
    *("train.num_epochs", "train.min_steps", "train.ellipse_epochs"),
    *("train.validation_interval", "train.checkpoint_interval"),
}
OF_THE_DEMO = {"train.lr"}  # its run is short


@pytest.mark.parametrize(("path", "name"), COPIES.items())
def test_specs_that_come_with_the_project_hold_the_values_of_a_recipe(path, name):
    sections = yaml.safe_load((REPOSITORY / path).read_text())
    given = {
        f"{section}.{key}": value
        for section, fields in sections.items()
        if isinstance(fields, dict)
        for key, value in fields.items()
    }
    recipe = RECIPES[name].values
    differing = {key for key, value in given.items() if key in recipe and recipe[key] != value}
    assert differing <= (LENGTH | OF_THE_DEMO if path.endswith("demo.yaml") else LENGTH)


def test_what_is_trained_from_the_starter_begins_with_its_own_masks():
    spec = RECIPES["from-starter"].spec()
    assert (spec.train.pretrained_model_path, spec.model.pretrained) == ("starter", False)
    assert (spec.train.ellipse_epochs, spec.train.ellipse_share) == (0, 0)
