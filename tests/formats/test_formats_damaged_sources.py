"""Sources of every format, damaged in any way: read, or refused by a line that names the file."""

from __future__ import annotations

import copy
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mal.errors import UserError
from mal.formats.folders import ReadOptions, WriteOptions
from mal.formats.formats import WRITERS, read
from mal.formats.recognize import input_format
from mal.formats.tally import Tally
from tests.formats.small_coco import HEIGHT, RING, WIDTH, annotation, coco_of, document, written

ODD = [
    None, True, -1, 0, 3, 1.5, 1e308, -1e308, float("nan"), float("inf"), 10**30, "", "x", "7", "\0", "../../a",
    "\ud800", [], [1], [[1]], [None, None], [[1, 2], [3]], {}, {"a": 1}, {"x": {}}, "9" * 40, [1, 2, 3, 4, 5, 6],
    "polygon", "mask",
]  # fmt: skip
odd = st.sampled_from(ODD)


def yolo(folder: Path) -> Path:
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    Image.new("RGB", (20, 10)).save(folder / "images/a.png")
    (folder / "labels/a.txt").write_text("0 0.5 0.5 0.5 0.5 0.9\n1 0.1 0.1 0.9 0.1 0.5 0.9\n")
    (folder / "data.yaml").write_text("path: .\ntrain: images\nval: [images]\nnames: {0: nut, 1: bolt}\n")
    return folder / "data.yaml"


def darknet(folder: Path) -> Path:
    Image.new("RGB", (20, 10)).save(folder / "a.png")
    (folder / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (folder / "obj.names").write_text("nut\n")
    (folder / "train.txt").write_text("data/a.png\n")
    (folder / "obj.data").write_text("train = data/train.txt\nnames = data/obj.names\n")
    return folder / "obj.data"


def voc(folder: Path) -> Path:
    (folder / "a.xml").write_text(
        "<?xml version='1.0' encoding='utf-8'?>\n<annotation><filename>a.png</filename><size><width>20</width>"
        "<height>10</height></size><object><name>nut</name><pose>Left</pose><polygon><x1>1</x1><y1>1</y1><x2>5</x2>"
        "<y2>1</y2><x3>5</x3><y3>5</y3></polygon><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax>"
        "</bndbox><attributes><attribute><name>a</name><value>1</value></attribute></attributes></object></annotation>"
    )
    return folder / "a.xml"


def cvat_xml(folder: Path) -> Path:
    (folder / "annotations.xml").write_text(
        "<annotations><meta><task><labels><label><name>nut</name></label></labels></task></meta>"
        '<image id="0" name="a.png" width="20" height="10">'
        '<box label="nut" xtl="1" ytl="1" xbr="5" ybr="5" rotation="20">'
        '<attribute name="a">1</attribute></box><polygon label="nut" points="1,1;5,1;5,5" group_id="1"/>'
        '<ellipse label="nut" cx="5" cy="5" rx="2" ry="3"/><mask label="nut" rle="1,2,3" left="1" top="1" width="3"'
        ' height="2"/></image></annotations>'
    )
    return folder / "annotations.xml"


def csv(folder: Path) -> Path:
    (folder / "a.csv").write_text("image,width,height,class,xmin,ymin,xmax,ymax\na.png,20,10,nut,1,1,5,5\n")
    return folder / "a.csv"


def labelme_document() -> Any:
    shapes = [
        {"label": "nut", "points": [[1, 1], [5, 1], [5, 5]], "group_id": 1, "shape_type": "polygon", "flags": {}},
        {"label": "nut", "points": [[1, 1], [5, 5]], "group_id": None, "shape_type": "rectangle", "score": 0.5},
        {"label": "nut", "points": [[5, 5], [7, 5]], "shape_type": "circle", "description": "old"},
        {"label": "nut", "points": [[1, 1], [2, 2]], "shape_type": "mask", "mask": "iVBORw0KGgo="},
    ]
    return {
        "version": "5",
        "shapes": shapes,
        "imagePath": "a.png",
        "imageData": None,
        "imageHeight": 10,
        "imageWidth": 20,
    }


def label_studio_document() -> Any:
    size = {"original_width": 20, "original_height": 10, "image_rotation": 0, "to_name": "image", "from_name": "label"}
    place = {"x": 10, "y": 10, "width": 50, "height": 50, "rotation": 0}
    values = [
        ("rectanglelabels", place | {"rectanglelabels": ["nut"]}),
        ("rectangle", place | {"rotation": 30}),
        ("ellipselabels", {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "rotation": 0, "ellipselabels": ["nut"]}),
        ("polygonlabels", {"points": [[1, 1], [50, 1], [50, 50]], "polygonlabels": ["nut"]}),
        ("brushlabels", {"format": "rle", "rle": [0, 0, 3, 32, 7, 55], "brushlabels": ["nut"]}),
        ("choices", {"choices": ["good"]}),
    ]
    regions = [{"id": f"r{n}", "type": kind, "value": value} | size for n, (kind, value) in enumerate(values)]
    return [{"id": 1, "data": {"image": "/data/a.png"}, "annotations": [{"was_cancelled": False, "result": regions}]}]


def coco_document() -> Any:
    return document(annotation(5, None), annotation(6, RING), info=3)


def written_document(folder: Path, name: str) -> Any:
    """What `mal` itself writes, with its records under the key "mal"."""
    coco = coco_of(folder / "source", document(annotation(5, None), annotation(6, RING)))
    out = folder / ("out.json" if name == "label-studio" else "out")
    written(coco, out, name)
    return json.loads((out if out.is_file() else next(out.glob("*.json"))).read_text())


TEXTS: dict[str, Callable[[Path], Path]] = {
    "yolo": yolo, "darknet": darknet, "voc": voc, "cvat-xml": cvat_xml, "csv": csv,
}  # fmt: skip
DOCUMENTS: dict[str, tuple[str, Callable[[], Any]]] = {
    "labelme": ("labelme", labelme_document),
    "label-studio": ("label-studio", label_studio_document),
    "coco": ("coco", coco_document),
}


def refusal(path: Path, name: str, *, skip_broken: bool = False, images: Path | None = None) -> str | None:
    """Convert a source into COCO; returns the error that a person can mend, and lets any other through."""
    tally = Tally(skip_broken=skip_broken)
    try:
        coco, _ = read(path, name, ReadOptions(images=images), tally)
        WRITERS["coco"](coco, path.with_name("written.json"), WriteOptions(), tally)
    except UserError as error:
        return str(error)
    return None


def require_named(error: str | None, path: Path) -> None:
    """An error has the file in it, and is one line."""
    if error is not None:
        assert path.name in error or path.parent.name in error
        assert "\n" not in error


def unrecognized(path: Path) -> str | None:
    try:
        input_format(path)
    except UserError as error:
        return str(error)
    return None


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value of a document."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def damaged(content: Any, way: tuple[Any, ...], value: Any, *, drop: bool) -> Any:
    """A copy of a document with one value replaced or left out."""
    content = copy.deepcopy(content)
    inner = content
    for key in way[:-1]:
        inner = inner[key]
    if drop:
        del inner[way[-1]]
    else:
        inner[way[-1]] = value
    return content


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(max_examples=40)
@given(st.data())
def test_a_json_record_of_another_form_is_read_or_named(name, data):
    format_name, make = DOCUMENTS[name]
    content = make()
    for _ in range(data.draw(st.integers(1, 2))):
        way = data.draw(st.sampled_from([*places(content)] or [()]))
        if not way:
            break
        content = damaged(content, way, data.draw(odd), drop=data.draw(st.booleans()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "odd.json")
        path.write_text(json.dumps(content))
        images = data.draw(st.sampled_from([None, Path(folder)]))
        require_named(refusal(path, format_name, skip_broken=data.draw(st.booleans()), images=images), path)
        require_named(unrecognized(path), path)


@pytest.mark.parametrize("name", ["labelme", "label-studio"])
@settings(max_examples=25)
@given(st.data())
def test_a_record_that_mal_wrote_and_somebody_changed_is_read_or_named(name, data):
    with tempfile.TemporaryDirectory() as folder:
        content = written_document(Path(folder), name)
        way = data.draw(st.sampled_from(list(places(content))))
        path = Path(folder, "odd.json")
        path.write_text(json.dumps(damaged(content, way, data.draw(odd), drop=data.draw(st.booleans()))))
        require_named(refusal(path, name, skip_broken=data.draw(st.booleans())), path)


@pytest.mark.parametrize("name", [*TEXTS, *DOCUMENTS])
@settings(max_examples=25)
@given(st.data())
def test_a_file_that_is_cut_or_has_other_bytes_in_it_is_read_or_named(name, data):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "odd")
        root.mkdir()
        if name in TEXTS:
            path = TEXTS[name](root)
            format_name = "yolo" if name == "darknet" else name
        else:
            format_name, make = DOCUMENTS[name]
            path = root / "odd.json"
            path.write_text(json.dumps(make()))
        file = data.draw(st.sampled_from(sorted(found for found in root.rglob("*") if found.suffix != ".png")))
        file = path if file.is_dir() else file
        content = file.read_bytes()
        start = data.draw(st.integers(0, len(content)))
        stop = data.draw(st.integers(start, min(len(content), start + 12)) | st.just(len(content)))
        texts = st.sampled_from(
            [b"nan", b"-1", b"1e999", b"9" * 40, b"<x/>", b"[", b"&#0;", b"\xff\xfe", b"..", b"*a", b"!"]
        )
        file.write_bytes(content[:start] + data.draw(st.binary(max_size=4) | texts) + content[stop:])
        require_named(refusal(path, format_name, skip_broken=data.draw(st.booleans())), path)
        require_named(unrecognized(path), path)


@settings(max_examples=25)
@given(st.data())
def test_an_archive_with_other_bytes_in_it_is_read_or_named(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "odd.zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("annotations/instances_default.json", json.dumps(coco_document()))
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
        require_named(refusal(path, "cvat"), path)


@pytest.mark.parametrize("name", ["labelme", "label-studio", "coco", "yolo", "voc", "cvat-xml"])
def test_nesting_without_end_is_read_or_named(tmp_path, name):
    deep = {"yolo": "names: " + "[" * 20_000, "voc": "<annotation>" * 20_000, "cvat-xml": "<annotations>" * 20_000}
    path = tmp_path / {"yolo": "odd.yaml"}.get(name, "odd.xml" if name in deep else "odd.json")
    path.write_text(deep.get(name, "[" * 100_000 + "]" * 100_000))
    require_named(refusal(path, name), path)
    path.write_text(deep.get(name, '{"a":' * 100_000 + "1" + "}" * 100_000))
    require_named(refusal(path, name), path)


def test_the_sources_are_whole_before_they_are_damaged(tmp_path):
    for name, make in TEXTS.items():
        (tmp_path / name).mkdir()
        path = make(tmp_path / name)
        coco, _ = read(path, input_format(path), ReadOptions(), Tally())
        assert len(coco.annotations) > 0, name
    assert (WIDTH, HEIGHT) == (14, 11)
