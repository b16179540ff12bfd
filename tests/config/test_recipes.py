import pytest

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
