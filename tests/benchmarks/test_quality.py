"""The table of mask quality: its sets and folds, cells that are kept, and rows that say what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.quality import main
from benchmarks.quality_ceiling import TrueTargets
from benchmarks.quality_cells import Boxes, Cell, CellKey, cell_path, read_cell
from benchmarks.quality_columns import COLUMNS, TRAININGS
from benchmarks.quality_rules import RULES, measure_rule
from benchmarks.quality_sets import whole_part, write_folds
from benchmarks.quality_table import BEGIN, END, View, details, overview, put_between_markers, seeds_of
from benchmarks.quality_training import RECIPE, Runs, one_epoch
from mal.auto.recipe import MAX_EPOCHS
from mal.coco.ground_truth import GroundTruth
from mal.config.catalog import spec_fields
from mal.config.load import load_spec, save_spec
from mal.config.recipes import RECIPES
from mal.data.loaders import AnnotatedImages
from mal.data.train_dataset import BoxCropDataset
from mal.masks.rle import mask_from_rle
from mal.sample.generate import MASK_KEYS, make_sample
from mal.starter.files import starter_path
from mal.training.run_length import with_min_steps

NAME = "nuts"  # one of the sets that folds are made of


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder of sets, of which there is one."""
    folder = tmp_path_factory.mktemp("data")
    make_sample(folder / NAME, num_train_images=3, num_val_images=2, image_size=(96, 72))
    return folder


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def cell(column: str, seed: int, ious: list[float], *, name: str = NAME, fold: int | None = None) -> Cell:
    lines = [(str(number), str(number // 2), "nut", 100.0, iou, iou) for number, iou in enumerate(ious)]
    minutes = 5.0 if COLUMNS[column].training else None
    return Cell(CellKey(name, column, seed, fold), ["asked"], "1.0", minutes, 9, 20.0, Boxes.of_lines(lines))


def cells_of_line(lines: list[str], title: str) -> list[str]:
    (line,) = [line for line in lines if line.startswith(f"| {title} |")]
    return [each.strip() for each in line.strip("|").split("|")]


def test_folds_measure_every_box_once_and_train_on_boxes_of_other_pictures_alone(data, tmp_path):
    parts = write_folds(data / NAME, tmp_path, 3)
    measured = [record for part in parts for record in read(part.val_masks)["annotations"]]
    halves = [
        read(data / NAME / "annotations" / f"instances_{split}.json")["annotations"] for split in ("train", "val")
    ]
    assert sorted(record["bbox"] for record in measured) == sorted(record["bbox"] for half in halves for record in half)
    assert len({record["id"] for record in measured}) == len(measured)
    for part in parts:
        learnt, held_out = read(part.train_boxes), read(part.val_masks)
        names = [{image["file_name"] for image in document["images"]} for document in (learnt, held_out)]
        assert not names[0] & names[1]
        assert not any(key in record for key in MASK_KEYS for record in learnt["annotations"])
        assert AnnotatedImages(part.val_masks, part.val_images).boxes_to_label


def test_folds_are_the_same_each_time(data, tmp_path):
    texts = [
        [part.val_masks.read_text() for part in write_folds(data / NAME, tmp_path / name, 2)] for name in ("one", "two")
    ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("name", RULES)
def test_rules_measure_every_box_of_val(data, name):
    if name == "grab_cut":
        pytest.importorskip("cv2")
    part = whole_part(data / NAME)
    boxes, rate = measure_rule(name, part)
    assert len(boxes.ids) == len(read(part.val_masks)["annotations"])
    assert all(0 <= value <= 1 for value in boxes.iou + boxes.boundary_iou)
    assert rate > 0


def test_targets_of_the_ceiling_lie_on_the_objects_of_their_crops(data):
    part = whole_part(data / NAME)
    source = AnnotatedImages(part.train_masks, part.train_images)
    boxes, truth = source.boxes_to_train_on(min_obj_size=0, max_obj_size=1e10), GroundTruth(source.coco)
    painted = part.train_images.parent / "painted"  # photos that show the mask of one box
    painted.mkdir()
    for index in range(6):
        mask = mask_from_rle(truth.rle(boxes[index]))
        Image.fromarray(np.stack(3 * [255 * mask.astype(np.uint8)], axis=2)).save(painted / "mask.png")
        name = boxes[index].image.file_name
        (painted / "mask.png").rename(painted / name)
        dataset = BoxCropDataset(boxes, painted, crop_size=32, margin_rate=[0.0, 1.0], border="reflect", seed=index)
        dataset._targets = TrueTargets(boxes, truth)
        sample = dataset[0, index]
        assert sample.targets is not None
        shown = sample.teacher_images[:, :1] * sample.box_mask
        difference = (sample.targets.ellipse * sample.box_mask).int() - shown.int()
        assert difference.abs().float().mean() < 2
        assert sample.targets.keeps_ellipse.all()
        assert sample.targets.figures[0, 2] == 1


def test_columns_change_fields_that_there_are_and_ask_for_rules_that_there_are():
    known = {entry.key for entry in spec_fields()}
    assert all(training.overrides.keys() <= known for training in TRAININGS.values())
    assert one_epoch(RECIPES[RECIPE].values).keys() <= known
    assert {column.rule for column in COLUMNS.values() if column.rule} == set(RULES)


@pytest.mark.parametrize("steps", [100, 470, 1875])
def test_runs_of_any_length_keep_the_share_of_epochs_whose_targets_the_ellipse_seeds(steps, tmp_path):
    recipe = RECIPES[RECIPE]
    save_spec(recipe.spec(), tmp_path / "spec.yaml")
    overrides = [f"{key}={value}" for key, value in one_epoch(recipe.values).items()]
    train = load_spec(tmp_path / "spec.yaml", [*overrides, f"train.min_steps={steps}"]).train
    longer, own = with_min_steps(train, 123, 1), recipe.spec().train
    assert longer.ellipse_epochs / longer.num_epochs == pytest.approx(own.ellipse_epochs / own.num_epochs)
    assert steps <= longer.num_epochs * 8 < steps + 8


def test_tuning_on_few_boxes_is_over_after_as_many_epochs_as_in_mal_auto():
    tuned, ours = TRAININGS["tuned"], TRAININGS["ours"]
    assert tuned.steps(300, steps_per_epoch=4) == 4 * MAX_EPOCHS
    assert tuned.steps(300, steps_per_epoch=100) == 200
    assert ours.steps(300, steps_per_epoch=4) == 300


def test_cells_are_read_as_they_were_written(tmp_path):
    written = cell("ours", 2, [0.5, 0.25], fold=1)
    written.write(tmp_path)
    assert read_cell(tmp_path, written.key) == written
    assert read_cell(tmp_path, CellKey(NAME, "ours", 2)) is None


def test_tables_have_means_over_seeds_differences_and_shares_of_the_ceiling(tmp_path):
    rows = {"ellipse": [[0.4, 0.6, 0.5, 0.5]], "ours": [[0.6, 0.8, 0.7, 0.7], [0.8, 0.8, 0.7, 0.7]]}
    for column, seeds in {**rows, "ceiling": [[0.9, 0.9, 0.9, 0.9]]}.items():
        for seed, ious in enumerate(seeds):
            cell(column, seed, ious).write(tmp_path)
    columns = ["ellipse", "ours", "ceiling"]
    lines = list(details(tmp_path, View(NAME), columns, [0, 1]))
    ours = cells_of_line(lines, "ours")
    assert ours[1:3] == ["2", ".725"]
    assert ours[5] == ".375"
    assert ours[6].startswith("+.225 [+.")
    assert ours[7:10] == [".700 to .750", "81 %", "5.0"]
    assert cells_of_line(lines, "ellipse")[6] == ""
    across = cells_of_line(list(overview(tmp_path, [View(NAME)], columns, [0, 1])), NAME)
    assert across == [NAME, "4", ".500", "**.725**", ".900"]


def test_tables_name_the_cells_that_are_missing(tmp_path):
    cell("ours", 0, [0.6, 0.8]).write(tmp_path)
    lines = list(details(tmp_path, View(NAME), ["ellipse", "ours"], [0, 1]))
    assert cells_of_line(lines, "ellipse")[1] == "missing: seed 0"
    assert cells_of_line(lines, "ours")[1] == "1, missing: seed 1"
    across = cells_of_line(list(overview(tmp_path, [View(NAME), View("balloon")], ["ellipse", "ours"], [0, 1])), NAME)
    assert across[2:] == ["missing", "**.700** (1 of 2 seeds)"]
    cell("box", 0, [0.1, 0.2], fold=1).write(tmp_path)
    folds = list(details(tmp_path, View(NAME, (0, 1)), ["box"], [0]))
    assert cells_of_line(folds, "filled box")[1] == "missing: seed 0 (folds 0)"


def test_without_the_ellipse_there_is_no_difference_from_it(tmp_path):
    cell("box", 0, [0.1, 0.2]).write(tmp_path)
    cell("ours", 0, [0.6, 0.8]).write(tmp_path)
    lines = list(details(tmp_path, View(NAME), ["box", "ours"], [0]))
    assert cells_of_line(lines, "ours")[6] == ""


def test_final_columns_take_all_seeds_on_val_and_everything_else_one():
    val, folds = View(NAME), View(NAME, (0, 1))
    asked = {column: (seeds_of(column, [4, 5], val), seeds_of(column, [4, 5], folds)) for column in COLUMNS}
    assert asked["ours"] == asked["ours_refined"] == ([4, 5], [4])
    assert asked["public"] == asked["ceiling"] == ([4], [4])
    assert asked["box"] == asked["starter"] == ([0], [0])


def test_boxes_of_folds_are_joined(tmp_path):
    cell("box", 0, [0.1, 0.2], fold=0).write(tmp_path)
    other = cell("box", 0, [0.6, 0.7, 0.9], fold=1)
    other.boxes.ids[:] = ["7", "8", "9"]
    other.write(tmp_path)
    (line,) = [each for each in overview(tmp_path, [View(NAME, (0, 1))], ["box"], [0]) if NAME in each]
    assert line == f"| {NAME}, 2 folds | 5 | **.500** |"


def test_cells_of_different_boxes_are_refused(tmp_path):
    cell("box", 0, [0.1, 0.2]).write(tmp_path)
    cell("ellipse", 0, [0.1, 0.2, 0.3]).write(tmp_path)
    with pytest.raises(SystemExit, match="different boxes"):
        list(details(tmp_path, View(NAME), ["box", "ellipse"], [0]))


def test_tables_stand_between_the_markers_of_a_page_and_nothing_else_changes(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    put_between_markers(page, "new")
    assert page.read_text() == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    page.write_text("no marker")
    with pytest.raises(SystemExit, match="holds no lines"):
        put_between_markers(page, "new")


def test_the_page_of_the_product_has_the_markers(repository):
    page = (repository / "docs" / "quality.md").read_text(encoding="utf-8")
    assert page.count(BEGIN) == page.count(END) == 1


def test_a_second_call_measures_nothing_and_the_tables_go_into_the_page(data, tmp_path, capsys):
    asked = ["--data", str(data), "--out", str(tmp_path / "out"), "--sets", NAME, "--folds", "2"]
    asked += ["--columns", "box", "ellipse"]
    main(asked)
    assert "6 of 6: nuts-fold1/ellipse-0" in capsys.readouterr().out
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    main([*asked, "--table", "--document", str(page), "--seeds", "0"])
    table = capsys.readouterr().out
    assert f"| {NAME}, 2 folds |" in page.read_text()
    main(asked)
    assert capsys.readouterr().out == table


def test_what_a_column_refines_is_chosen_once_by_the_boxes_to_train_on(data, tmp_path):
    runs = Runs(tmp_path, {}, starter_path(trainable=True))
    part = whole_part(data / NAME)
    chosen = runs.refinement(Path(NAME), part, runs.starter)
    (tmp_path / NAME / "refinement.json").write_text(
        json.dumps({"refine": "graph_cut" if chosen == "none" else "none"})
    )
    assert runs.refinement(Path(NAME), part, runs.starter) != chosen


def test_the_starter_of_the_package_is_named_by_a_word(data, tmp_path, monkeypatch):
    plans = []
    monkeypatch.setattr("benchmarks.quality.measure", plans.append)
    asked = ["--data", str(data), "--out", str(tmp_path), "--sets", NAME, "--columns", "starter"]
    main([*asked, "--starter", "starter"])
    assert plans[0].runs.starter == starter_path(trainable=True)


@pytest.mark.slow
def test_a_quick_run_trains_and_evaluates_and_a_second_one_computes_nothing(data, tmp_path, capsys):
    asked = ["--quick", "--data", str(data), "--out", str(tmp_path), "--sets", NAME, "--columns", "ours", "ceiling"]
    main(asked)
    told = capsys.readouterr().out
    assert "2 of 2: nuts/ceiling-0" in told
    for column, file in (("ours", "boxes_train.json"), ("ceiling", "instances_train.json")):
        found = read_cell(tmp_path, CellKey(NAME, column, 0))
        assert found is not None
        assert file in found.commands[0]
        assert len(found.boxes.ids) == len(read(whole_part(data / NAME).val_masks)["annotations"])
        assert found.minutes
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    main(asked)
    assert "1 of" not in capsys.readouterr().out.split("Mean IoU")[0]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")} == written
    main([*asked, "--columns", "ours", "ours_refined", "ceiling", "--table", "--document", str(_page(tmp_path))])
    assert "| ours, refined | missing: seed 0 |" in capsys.readouterr().out
    cell_path(tmp_path, CellKey(NAME, "ours", 0)).unlink()
    main(asked)  # the training is kept: only masks are made anew
    assert written[tmp_path / "runs" / NAME / "ours-0" / "trained.json"] == (
        (tmp_path / "runs" / NAME / "ours-0" / "trained.json").stat().st_mtime_ns
    )


def _page(folder: Path) -> Path:
    page = folder / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    return page
