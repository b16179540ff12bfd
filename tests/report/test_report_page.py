from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mal.errors import UserError
from mal.report.evaluation_results import read_evaluation
from mal.report.label_results import read_labels
from mal.report.page_data import Thumbnail, page_data
from mal.report.report_page import write_report
from tests.report.made_up import CLASSES, made_up
from tests.report.test_demo_page import Reader


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return made_up(tmp_path_factory.mktemp("made_up"))


@pytest.fixture(scope="module")
def findings(files):
    return read_evaluation(files.results)


@pytest.fixture(scope="module")
def written(findings, tmp_path_factory):
    return write_report(findings, tmp_path_factory.mktemp("page") / "report.html", pictures=12)


@pytest.fixture(scope="module")
def page(written):
    return written.html.read_text(encoding="utf-8")


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_loads_nothing_and_may_load_nothing(page):
    reader = Reader()
    reader.feed(re.sub(r"<(input|link)\b[^>]*>", "", page))
    assert all(source.startswith("#") for source in reader.sources)
    assert "default-src 'none'" in page
    assert "://" not in page
    assert reader.open_tags == []


def test_a_class_cannot_end_the_script_that_names_it(page):
    assert page.count("</script>") == 3
    assert data_of(page)["classes"] == CLASSES


def test_markup_in_the_name_of_a_picture_is_text_on_the_page(tmp_path):
    files = made_up(tmp_path)
    name = "<img src=x onerror=alert(1)>.png"
    (files.images / "0.png").rename(files.images / name)
    for path in (files.labels, files.truth):
        path.write_text(path.read_text().replace('"0.png"', json.dumps(name)))
    found, _ = read_labels(files.labels, files.images)
    page = write_report(found, tmp_path / "report.html", pictures=40).html.read_text(encoding="utf-8")
    assert "onerror=alert(1)" in page
    assert "<img src=x" not in page


def test_every_mask_is_in_the_table_and_the_chosen_have_pictures(page, findings, written):
    data = data_of(page)
    assert data["total"] == len(data["rows"]["id"]) == len(findings.instances)
    assert 0 < len(data["pictures"]) == written.num_pictures <= 12
    assert {row for rows in data["galleries"].values() for row in rows} == {int(row) for row in data["pictures"]}


def test_a_headline_metric_shows_the_model_beside_ellipse_and_box(page, findings):
    metric = findings.headline_metrics[0]
    assert f'<p class="score">{metric.value:.3f}</p>' in page
    assert f"95 %: {metric.interval[0]:.3f} – {metric.interval[1]:.3f}" in page
    assert "ellipse in box 0.500" in page
    assert "filled box 0.500" in page


def test_the_charts_are_written_as_files_too(written):
    names = {path.name for path in written.figures if path.suffix == ".svg"}
    assert names == {"iou_histogram.svg", "calibration.svg", "sizes.svg", "classes.svg"}
    assert all(path.is_file() for path in written.figures)


def test_a_picture_shows_the_masks_in_its_own_pixels(page):
    for picture in data_of(page)["pictures"].values():
        with Image.open(io.BytesIO(base64.b64decode(picture["jpeg"]))) as jpeg:
            assert jpeg.size == (picture["width"], picture["height"])
        assert picture["predicted"]
        assert picture["truth"]


def test_an_image_that_has_gone_is_named_and_the_page_written(files, findings, tmp_path):
    written = write_report(replace(findings, img_dir=tmp_path / "none"), tmp_path / "report.html", pictures=6)
    assert written.num_pictures == 0
    assert "does not exist" in written.problems[0]


def test_of_very_many_masks_the_page_keeps_the_lowest_and_those_with_pictures(findings, monkeypatch):
    monkeypatch.setattr("mal.report.page_data.MOST_ROWS", 3)
    iou = findings.instances.measures["iou"]
    best = int(np.argmax(iou))
    data = page_data(findings.instances, {"best": [best]}, {best: Thumbnail("", 1, 1, [], None, None)})
    assert data["galleries"]["best"] == [data["rows"]["id"].index(findings.instances.annotation_ids[best])]
    assert sorted(data["rows"]["iou"]) == sorted([*np.sort(iou)[:2].round(3), round(float(iou[best]), 3)])


def test_an_id_that_javascript_would_round_is_text(findings):
    instances = replace(findings.instances, annotation_ids=[2**60, *findings.instances.annotation_ids[1:]])
    assert page_data(instances, {}, {})["rows"]["id"][0] == str(2**60)


def test_labels_without_truth_get_a_page_of_scores(files, tmp_path):
    found, _ = read_labels(files.labels, files.images)
    assert found.instances.lead == "score"
    assert found.instances.marks == {1: "the mask is empty", 3: "the mask is empty"}
    written = write_report(found, tmp_path / "report.html", pictures=40)
    data = data_of(written.html.read_text(encoding="utf-8"))
    assert set(data["galleries"]["doubtful"]) == {1, 3}
    assert all(picture["truth"] is None for picture in data["pictures"].values())
    assert {path.stem for path in written.figures} == {"score_histogram", "sizes", "classes"}


def test_labels_without_scores_still_get_a_page(files, tmp_path):
    document = json.loads(files.labels.read_text())
    for annotation in document["annotations"]:
        del annotation["mask_score"]
        annotation.pop("mal", None)
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps(document))
    found, _ = read_labels(bare, files.images)
    written = write_report(found, tmp_path / "report.html")
    assert list(data_of(written.html.read_text(encoding="utf-8"))["galleries"]) == ["random"]
    assert "without scores" in found.summary


def test_a_file_of_boxes_alone_has_nothing_to_show(files, tmp_path):
    document = json.loads(files.labels.read_text())
    for annotation in document["annotations"]:
        del annotation["segmentation"]
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="no annotation has both a box and a mask"):
        read_labels(tmp_path / "boxes.json", files.images)


def test_results_that_do_not_fit_the_annotation_file_are_refused(files, tmp_path):
    document = json.loads(files.truth.read_text())
    document["annotations"] = document["annotations"][:2]
    (tmp_path / "short.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"short\.json holds 2"):
        read_evaluation(files.results, ann=tmp_path / "short.json")


def test_a_folder_without_an_evaluation_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="mal evaluate"):
        read_evaluation(tmp_path)
