"""Command line, spec file, checkpoint, default: the first that says something decides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.config.catalog import field_by_key
from mal.config.precedence import effective_spec, extract_settings, field_value
from mal.config.schema import ExperimentSpec

DECIDING = sorted(key for key, entry in field_by_key().items() if entry.from_checkpoint)
OTHER_VALUES = {
    "dataset.crop_size": [128, 256],
    "dataset.border": ["reflect"],
    "model.mask_scale_ratio_pre": [2],
    "model.mask_scale_ratio": [1.0, 4.0],
    "train.test_margin_rate": [[0.2, 0.2]],
    "train.mask_thres": [[0.5], [0.3, 0.4, 0.5], "box_fit"],
    "train.crf_zeta": [0.2],
    "train.crf_kernel_size": [5],
    "train.crf_num_iter": [7],
    "train.crf_value_high_thres": [0.8],
    "train.crf_value_low_thres": [0.2],
    "evaluate.profile": ["fast"],
    "inference.profile": ["fast"],
    "evaluate.refine": ["none", "crf", "graph_cut", "auto"],
    "inference.refine": ["none", "crf", "graph_cut", "auto"],
    "masks.min_part": [0.1],
    "masks.fill_holes": [0.1],
}


def value_of(key: str) -> st.SearchStrategy:
    default = field_by_key()[key].default
    return st.sampled_from([default, *OTHER_VALUES.get(key, [not default] if isinstance(default, bool) else [])])


def spec_of(values: dict) -> ExperimentSpec:
    sections: dict = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (sections.setdefault(section, {}) if section else sections)[name] = value
    return ExperimentSpec.model_validate(sections)


def some(keys: list[str]) -> st.SearchStrategy:
    coupled = ("use_mixed", "within_box", "use_crf")
    independent = [key for key in keys if not any(name in key for name in coupled)]
    return st.sets(st.sampled_from(independent)).flatmap(
        lambda chosen: st.fixed_dictionaries({key: value_of(key) for key in sorted(chosen)})
    )


@given(some(DECIDING), some(DECIDING))
def test_what_is_given_counts_then_what_the_checkpoint_holds_then_the_default(given_values, held):
    found = effective_spec(spec_of(given_values), held)
    for key in DECIDING:
        default = field_by_key()[key].default
        assert field_value(found.spec, key) == given_values.get(key, held.get(key, default)), key
    assert found.taken == {key: value for key, value in held.items() if key not in given_values}
    assert found.overruled == {
        key: value for key, value in held.items() if key in given_values and given_values[key] != value
    }


@given(some(DECIDING), some(DECIDING))
def test_a_spec_that_was_completed_is_complete(given_values, held):
    found = effective_spec(spec_of(given_values), held)
    again = effective_spec(found.spec, extract_settings(found.spec))
    assert again.spec == found.spec
    assert not again.overruled


def test_fields_that_do_not_decide_masks_stay():
    found = effective_spec(ExperimentSpec(), {"train.lr": 1.0, "dataset.crop_size": 64})
    assert (found.spec.train.lr, found.spec.dataset.crop_size) == (1.5e-6, 64)


@given(some(DECIDING), some(DECIDING))
def test_compat_takes_from_the_checkpoint_what_the_network_needs_and_nothing_else(given_values, held):
    refines = {key for key in given_values if key.endswith(".refine")}
    given_values = {key: value for key, value in given_values.items() if key not in refines} | {"compat": "tao"}
    found = effective_spec(spec_of(given_values), held)
    for key in DECIDING:
        of_network = key.startswith("model.") or key == "dataset.crop_size"
        default = field_by_key()[key].default
        expected = given_values.get(key, held.get(key, default) if of_network else default)
        assert field_value(found.spec, key) == expected, key


def test_what_a_file_cannot_do_without_counts_with_compat_too():
    held = {"inference.use_flip_test": True, "inference.use_teacher_test": False}
    found = effective_spec(spec_of({"compat": "tao"}), held, {"inference.use_teacher_test": True})
    assert (found.spec.inference.use_teacher_test, found.spec.inference.use_flip_test) == (True, False)
    assert found.overruled == {"inference.use_flip_test": True}


@pytest.mark.parametrize("refine", ["graph_cut", "auto"])
@pytest.mark.parametrize("section", ["evaluate", "inference"])
def test_compat_refuses_a_refinement_that_the_public_programs_do_not_know(section, refine):
    with pytest.raises(ValueError, match=f"tao contradicts {section}.refine: {refine}"):
        spec_of({"compat": "tao", f"{section}.refine": refine})
    assert getattr(spec_of({"compat": "tao", f"{section}.use_crf_test": True}), section).refinement == "crf"


@pytest.mark.parametrize("section", ["evaluate", "inference"])
def test_which_network_is_asked_is_one_choice(section):
    held = {f"{section}.use_mixed_model_test": True, f"{section}.use_teacher_test": False}
    asked = effective_spec(spec_of({f"{section}.use_teacher_test": True}), held)
    assert not field_value(asked.spec, f"{section}.use_mixed_model_test")
    assert field_value(asked.spec, f"{section}.use_teacher_test")
    assert asked.overruled == held
    assert effective_spec(ExperimentSpec(), held).taken == held


@pytest.mark.parametrize("section", ["evaluate", "inference"])
@pytest.mark.parametrize(
    ("given_values", "held", "refinement"),
    [
        ({}, {}, "none"),
        ({}, {"use_crf_test": True, "refine": None}, "crf"),
        ({}, {"use_crf_test": False, "refine": "graph_cut"}, "graph_cut"),
        ({"refine": "auto"}, {"use_crf_test": True, "refine": None}, "auto"),
        ({"refine": "graph_cut"}, {"use_crf_test": True, "refine": None}, "graph_cut"),
        ({"refine": "none"}, {"use_crf_test": True, "refine": None}, "none"),
        ({"use_crf_test": True}, {"use_crf_test": False, "refine": "graph_cut"}, "crf"),
        ({"use_crf_test": False}, {"use_crf_test": False, "refine": "graph_cut"}, "none"),
        ({"use_crf_test": False, "refine": "crf"}, {}, "crf"),
        ({"use_crf_test": True, "refine": "crf"}, {}, "crf"),
    ],
)
def test_how_masks_are_refined_is_one_choice(section, given_values, held, refinement):
    asked = spec_of({f"{section}.{name}": value for name, value in given_values.items()})
    found = effective_spec(asked, {f"{section}.{name}": value for name, value in held.items()})
    assert getattr(found.spec, section).refinement == refinement


@pytest.mark.parametrize("refine", ["none", "graph_cut", "auto"])
def test_two_refinements_at_once_are_refused(refine):
    with pytest.raises(ValueError, match=f"{refine} contradicts use_crf_test"):
        spec_of({"inference.use_crf_test": True, "inference.refine": refine})


@pytest.mark.parametrize(
    ("given_values", "held"),
    [
        ({"masks.within_box": True}, {"masks.allow_outside": 0.1}),
        ({"masks.allow_outside": 0.1}, {"masks.within_box": True}),
        ({"train.crf_value_high_thres": 0.3}, {"train.crf_value_low_thres": 0.4}),
    ],
)
def test_a_value_of_the_checkpoint_that_contradicts_a_given_one_does_not_count(given_values, held):
    found = effective_spec(spec_of(given_values), held)
    assert found.overruled == held
    assert not found.taken
    ExperimentSpec.model_validate(found.spec.model_dump())


def test_the_log_names_what_came_from_the_checkpoint_and_both_values_of_what_did_not():
    held = {"dataset.crop_size": 128, "train.mask_thres": [0.6], "masks.min_part": 0.0}
    held["evaluate.use_flip_test"] = True  # which labelling does not read
    found = effective_spec(spec_of({"train.mask_thres": [0.5]}), held)
    assert found.log_lines("inference") == [
        "from the checkpoint: dataset.crop_size 128; 1 more as they are by default",
        "warning: the spec goes before the checkpoint: train.mask_thres is [0.5], in the checkpoint [0.6]",
    ]
    assert effective_spec(ExperimentSpec(), {}).log_lines("inference") == []
