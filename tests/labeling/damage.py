"""Random damage to COCO files, of the kinds that files from many hands have."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

# What stands where something else should: other types, wrong references, numbers beyond all bounds, odd texts.
ODD_VALUES = [
    *(None, True, False, 0, 1, -1, 2, 7, 99, 2**31, 2**63, -(2**70), 0.5, -3.25, 1e300, 1.7e308, -0.0),
    *(float("nan"), float("inf"), float("-inf"), "", "1", "2", "NaN", "a.png", "../a.png", "/", "\0", "\ud800", "图 №"),
    *([], {}, [1], [None], [0, 0, 5, 5], ["1", 2, 3, 4], [[1, 1, 9, 1, 9, 9]], {"id": 1}, {"status": "failed"}),
    *([1, 2, float("nan"), 4], [5, 5, 10, 10.5], {"size": [80, 100], "counts": [8000]}, {"counts": "x"}),
]
ODD_KEYS = [
    "id",
    "image_id",
    "category_id",
    "bbox",
    "iscrowd",
    "segmentation",
    "area",
    "mal",
    "extra",
    "",
    "№",
    "\ud800",
]


def sound_document() -> dict[str, Any]:
    """Three images and six annotations, one of them a group, one with polygons, one reaching out of its image."""
    boxes = [[10, 20, 30, 40], [0, 0, 100, 80], [-5, 60.5, 30, 30], [5, 5, 2, 2], [50, 50, 10, 10], [1.5, 2.5, 3, 4]]
    annotations: list[dict[str, Any]] = [
        {"id": 10 + n, "image_id": 1 + n % 3, "category_id": 1 + n % 2, "bbox": box, "iscrowd": int(n == 4)}
        for n, box in enumerate(boxes)
    ]
    annotations[3]["segmentation"] = [[5, 5, 7, 5, 7, 7]]
    annotations[4]["segmentation"] = {"size": [80, 100], "counts": [8000]}
    return {
        "info": {"year": 2024},
        "images": [{"id": n, "file_name": f"{n}.png", "width": 100, "height": 80} for n in (1, 2, 3)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "nut"}, {"id": 2, "name": "fig"}],
    }


@st.composite
def damaged_documents(draw: st.DrawFn) -> Any:
    """The sound document after up to six blows: something is gone, is something else, is there twice or was added."""
    document: Any = sound_document()
    for _ in range(draw(st.integers(0, 6))):
        places = list(_places(document))
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        _strike(draw, container, key)
    return document


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    """A damaged document as bytes, which now and then are damaged too: cut off, a byte changed or put in front."""
    document = draw(damaged_documents())
    text = json.dumps(document, indent=draw(st.sampled_from([None, 1])), ensure_ascii=draw(st.booleans()))
    content = text.encode("utf-8", "surrogatepass")
    how = draw(st.sampled_from(["whole"] * 6 + ["cut", "byte", "front"]))
    place = draw(st.integers(0, len(content) - 1))
    if how == "cut":
        return content[:place]
    if how == "byte":
        return content[:place] + draw(st.binary(min_size=1, max_size=1)) + content[place + 1 :]
    if how == "front":
        return draw(st.sampled_from([b"\xef\xbb\xbf", b"\xff\xfe", b"\n\n", b"["])) + content
    return content


def _strike(draw: st.DrawFn, container: Any, key: Any) -> None:
    blow = draw(st.sampled_from(["remove", "replace", "replace", "as text", "double", "add"]))
    if blow == "remove":
        del container[key]
    elif blow == "replace":
        container[key] = copy.deepcopy(draw(st.sampled_from(ODD_VALUES)))
    elif blow == "as text":
        container[key] = str(container[key])
    elif blow == "double" and isinstance(container, list):
        container.insert(draw(st.integers(0, len(container))), copy.deepcopy(container[key]))
    elif isinstance(container, dict):
        container[draw(st.sampled_from(ODD_KEYS))] = copy.deepcopy(draw(st.sampled_from(ODD_VALUES)))
    else:
        container.append(copy.deepcopy(draw(st.sampled_from(ODD_VALUES))))


def _places(value: Any) -> Any:
    """Every container with each of its keys or positions."""
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])
