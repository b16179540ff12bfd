from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import mal
from mal.checkpoint.saved_spec import saved_spec
from mal.errors import BoxWarning, UserError
from mal.labeler import MaskAutoLabeler, whole
from mal.masks.postprocess import PostprocessOptions
from mal.masks.rle import mask_from_rle
from mal.masks.score import score_mask
from mal.models.from_spec import mean_field_settings
from mal.models.prediction_mode import PredictionMode
from tests.data.turned import as_seen, save_turned
from tests.small_networks import small_network, small_spec

WIDTH, HEIGHT = 70, 50
BOXES = [[5.0, 5, 40, 45], [-10, 20, 30, 80], [30.5, 10.5, 69.5, 49]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A network that finds everything: its logits are all positive."""
    spec = small_spec(dataset={"crop_size": 64}, train={"mask_thres": [0.3]})
    network = small_network()
    for parameter in (*network.roi_head.parameters(), *network.mask_head.parameters()):
        torch.nn.init.uniform_(parameter, 0, 0.1)
    tensors = {f"{name}.{key}": value for name in ("student", "teacher") for key, value in network.state_dict().items()}
    path = tmp_path_factory.mktemp("model") / "model.pth"
    torch.save({"state_dict": tensors, "hyper_parameters": saved_spec(spec, "patch")}, path)
    return path


@pytest.fixture(scope="module")
def labeler(checkpoint):
    return MaskAutoLabeler.from_checkpoint(checkpoint, device="cpu")


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def test_the_package_s_front_door_is_the_labeler():
    assert mal.MaskAutoLabeler is MaskAutoLabeler


def test_a_checkpoint_brings_its_crop_size_and_threshold(labeler):
    assert labeler.crop.crop_size == 64
    assert labeler.thresholds == [0.3]
    assert labeler.mode == PredictionMode()


def test_the_checkpoint_s_thresholds_and_cleaning_can_be_set_aside(checkpoint):
    options = {"min_part": 0.1, "fill_holes": 0.2, "allow_outside": 0.05}
    labeler = MaskAutoLabeler.from_checkpoint(checkpoint, threshold="box_fit", device="cpu", **options)
    assert labeler.thresholds == "box_fit"
    assert labeler.cleaning == PostprocessOptions(min_part=0.1, fill_holes=0.2)
    assert labeler.crop.allow_outside == 0.05


def test_masks_may_be_refined_as_in_training_and_cut_to_their_box(checkpoint):
    labeler = MaskAutoLabeler.from_checkpoint(checkpoint, crf=True, within_box=True, device="cpu")
    assert labeler.mode.crf == mean_field_settings(small_spec())
    assert labeler.cleaning == PostprocessOptions(within_box=True)
    assert labeler.crop.allow_outside == 0


def test_masks_may_be_refined_by_graph_cut_in_place_of_the_checkpoint_s_way(checkpoint, image):
    cutting = MaskAutoLabeler.from_checkpoint(checkpoint, refine="graph_cut", device="cpu")
    assert (cutting.mode.graph_cut, cutting.mode.crf) == (True, None)
    plain = MaskAutoLabeler.from_checkpoint(checkpoint, refine="none", device="cpu")
    by_mode = MaskAutoLabeler.from_checkpoint(checkpoint, mode=PredictionMode(graph_cut=True), device="cpu")
    assert by_mode.mode == cutting.mode
    assert not np.array_equal(cutting.label(image, BOXES), plain.label(image, BOXES))
    np.testing.assert_array_equal(by_mode.label(image, BOXES), cutting.label(image, BOXES))


def test_masks_may_be_cut_only_where_that_is_expected_to_help(checkpoint, image):
    choosing = MaskAutoLabeler.from_checkpoint(checkpoint, refine="auto", device="cpu")
    assert (choosing.mode.graph_cut, choosing.mode.crf) == ("auto", None)
    by_mode = MaskAutoLabeler.from_checkpoint(checkpoint, mode=PredictionMode(graph_cut="auto"), device="cpu")
    assert by_mode.mode == choosing.mode
    either = [
        MaskAutoLabeler.from_checkpoint(checkpoint, refine=refine, device="cpu") for refine in ("none", "graph_cut")
    ]
    plain, cut = (labeler.label(image, BOXES) for labeler in either)
    for index, mask in enumerate(choosing.label_instances(image, BOXES)):
        assert np.array_equal(mask.full(), cut[index] if mask.is_refined else plain[index])


@pytest.mark.parametrize("refine", ["graph_cut", "auto"])
def test_the_score_is_that_of_the_refined_mask(checkpoint, image, refine):
    cutting = MaskAutoLabeler.from_checkpoint(checkpoint, refine=refine, device="cpu")
    (batch,) = cutting.crops(image, BOXES)
    for index, mask in enumerate(whole(cutting.masks(batch))):
        prob = cutting.probabilities(batch)[index, 0]
        assert mask.score == score_mask(mask, prob, batch.images[index], batch.box_mask[index, 0], batch.frames[index])


def test_two_ways_to_refine_at_once_are_refused(checkpoint):
    with pytest.raises(ValueError, match="graph_cut contradicts use_crf_test"):
        MaskAutoLabeler.from_checkpoint(checkpoint, refine="graph_cut", crf=True)


def test_a_mask_cannot_both_keep_to_its_box_and_leave_it(checkpoint):
    with pytest.raises(ValueError, match="contradicts"):
        MaskAutoLabeler.from_checkpoint(checkpoint, within_box=True, allow_outside=0.1)


def test_every_box_gets_a_mask_inside_it(labeler, image):
    masks = labeler.label(image, BOXES)
    assert masks.shape == (3, HEIGHT, WIDTH)
    assert masks.dtype == np.bool_
    for mask, (x0, y0, x1, y1) in zip(masks, BOXES, strict=True):
        rows, columns = np.nonzero(mask)
        assert len(rows)
        assert columns.min() >= x0 - 2
        assert columns.max() <= x1 + 2
        assert rows.min() >= y0 - 2
        assert rows.max() <= y1 + 2


def test_an_image_may_be_a_path_a_picture_or_an_array(labeler, image, tmp_path):
    picture = Image.fromarray(image)
    picture.save(tmp_path / "a.png")
    expected = labeler.label(image, BOXES)
    for given in (picture, tmp_path / "a.png", str(tmp_path / "a.png")):
        assert np.array_equal(labeler.label(given, BOXES), expected)


def test_a_grey_image_may_come_with_or_without_its_axis(labeler, image):
    gray = image[..., 0]
    expected = labeler.label(np.repeat(gray[..., None], 3, axis=2), BOXES)
    for given in (gray, gray[..., None], Image.fromarray(gray)):
        assert np.array_equal(labeler.label(given, BOXES), expected)


def test_the_image_is_left_as_it_was(labeler, image):
    before = image.copy()
    labeler.label(image, BOXES)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4)), ()])
def test_no_boxes_give_no_masks(labeler, image, boxes):
    assert labeler.label(image, boxes).shape == (0, HEIGHT, WIDTH)
    assert labeler.label_instances(image, boxes) == []


def test_a_box_outside_the_image_gets_an_empty_mask(labeler, image):
    masks = labeler.label(image, [[100, 100, 120, 120], BOXES[0], [-9, -9, 0, 0]])
    assert [bool(mask.any()) for mask in masks] == [False, True, False]
    instances = labeler.label_instances(image, [[100, 100, 120, 120], BOXES[0]])
    assert instances[0] is None
    assert instances[1] is not None


@pytest.mark.parametrize("bad", [[10, 10, 10, 20], [10, 20, 30, 10], [0, 0, float("nan"), 5], [0, 0, float("inf"), 5]])
def test_a_box_that_is_none_is_named(labeler, image, bad):
    with pytest.raises(ValueError, match=r"boxes_xyxy\[1\] is not a box"):
        labeler.label(image, [BOXES[0], bad])


@pytest.mark.parametrize("boxes", [[1, 2, 3, 4], [[1, 2, 3]], [[[1, 2, 3, 4]]]])
def test_boxes_of_another_shape_are_refused(labeler, image, boxes):
    with pytest.raises(ValueError, match=r"boxes_xyxy must be \(N, 4\)"):
        labeler.label(image, boxes)


@pytest.mark.parametrize("shape", [(5, 5, 4), (5,), (1, 5, 5, 3)])
def test_an_array_that_is_no_image_is_refused(labeler, shape):
    with pytest.raises(ValueError, match="image must be"):
        labeler.label(np.zeros(shape, dtype=np.uint8), BOXES)


def test_an_array_of_numbers_with_a_point_is_refused(labeler, image):
    with pytest.raises(ValueError, match="float64"):
        labeler.label(image / 255, BOXES)


def test_a_photo_that_cannot_be_read_is_named(labeler, tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg"):
        labeler.label(tmp_path / "gone.jpg", BOXES)


def test_instances_hold_the_same_masks_with_scores(labeler, image):
    masks = labeler.label(image, BOXES)
    for mask, instance in zip(masks, labeler.label_instances(image, BOXES), strict=True):
        assert np.array_equal(mask_from_rle(instance.rle()), mask)
        assert np.array_equal(instance.full(), mask)
        assert 0 < instance.score < 1


def test_masks_without_scores_are_the_same(checkpoint, labeler, image):
    unscored = MaskAutoLabeler.from_checkpoint(checkpoint, device="cpu", scored=False)
    for mask, instance in zip(labeler.label(image, BOXES), unscored.label_instances(image, BOXES), strict=True):
        assert np.array_equal(instance.full(), mask)
        assert instance.score is None


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_scores_do_not_depend_on_the_batch_size(labeler, image, batch_size):
    of_sizes = [labeler.label_instances(image, BOXES, batch_size=size) for size in (8, batch_size)]
    scores = [[instance.score for instance in instances] for instances in of_sizes]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_masks_do_not_depend_on_the_batch_size(labeler, image, batch_size):
    assert np.array_equal(labeler.label(image, BOXES, batch_size=batch_size), labeler.label(image, BOXES))


def test_the_threshold_can_be_set(checkpoint, image):
    strict = MaskAutoLabeler.from_checkpoint(checkpoint, threshold=1.0, device="cpu")
    assert not strict.label(image, BOXES).any()
    assert MaskAutoLabeler.from_checkpoint(checkpoint, threshold=0.0, device="cpu").label(image, BOXES).any()


@pytest.mark.parametrize("mode", [PredictionMode(network="teacher"), PredictionMode(network="mixed", flip=True)])
def test_other_modes_give_masks_too(checkpoint, image, mode):
    assert MaskAutoLabeler.from_checkpoint(checkpoint, mode=mode, device="cpu").label(image, BOXES).any()


def test_weights_without_a_spec_are_refused(tmp_path):
    torch.save({"student.a": torch.ones(1)}, tmp_path / "bare.pth")
    with pytest.raises(UserError, match=r"bare\.pth: holds weights, but not the spec"):
        MaskAutoLabeler.from_checkpoint(tmp_path / "bare.pth")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_file_gives_the_masks_of_the_picture_turned_for_good(labeler, tmp_path, orientation):
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    path = save_turned(tmp_path / "a.png", noise, orientation)
    boxes = [[10, 12, 70, 66]]
    assert np.array_equal(labeler.label(path, boxes, exif="upright"), labeler.label(as_seen(noise, orientation), boxes))
    assert np.array_equal(labeler.label(path, boxes), labeler.label(noise, boxes))


def test_boxes_in_shares_of_the_image_are_a_warning_and_change_nothing(labeler, image):
    with pytest.warns(BoxWarning, match="1 of 1 boxes lie in the upper left corner of the image of 70 x 50 pixels"):
        masks = labeler.label(image, [[0.1, 0.1, 0.8, 0.9]])
    with pytest.warns(BoxWarning):
        (mask,) = labeler.label_instances(image, [[0.1, 0.1, 0.8, 0.9]])
    assert (masks[0] == mask.full()).all()


def test_a_box_given_by_its_width_and_height_is_an_error_that_says_how_to_give_it(labeler, image):
    with pytest.raises(ValueError, match=r"it is x, y, x \+ width, y \+ height"):
        labeler.label(image, [[30, 20, 10, 10]])
