"""Write and read the labeling config of a Label Studio project: tags and classes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from mal.coco.coco_file import CocoFile, show
from mal.formats.by_image import NO_CLASSES, Json, category_records
from mal.formats.tally import Tally
from mal.formats.text_file import read_text_file
from mal.formats.xml_file import xml_root

TAGS = {"brushlabels": "brush", "polygonlabels": "polygon", "rectanglelabels": "box"}
_ELEMENTS = {"brush": "BrushLabels", "polygon": "PolygonLabels", "box": "RectangleLabels"}
_SUFFIX = ".label_config.xml"
_RECORDS = re.compile(r"<!-- mal: (.*) -->")  # Label Studio passes over comments
_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def config_file(tasks: Path) -> Path:
    """Path of the labeling config for a file of tasks."""
    return tasks.with_name(tasks.stem + _SUFFIX)


def config_text(coco: CocoFile, tally: Tally) -> str:
    """Make the labeling config for the classes of a file; a comment stores their records for `classes_beside`.

    Args:
        coco: the file.
        tally: notes classes whose names no XML can hold.
    """
    names = list(coco.categories.values()) or [NO_CLASSES]
    for name in filter(_NOT_IN_XML.search, names):
        tally.changed["XML cannot hold its name, so that the settings lack the class"].append(f"class {show(name)}")
    usable = [name for name in names if not _NOT_IN_XML.search(name)]
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in usable)
    elements = _ELEMENTS.items()
    controls = "".join(f'  <{tag} name="{name}" toName="image">\n{labels}  </{tag}>\n' for name, tag in elements)
    records = json.dumps(category_records(coco)).replace("--", r"-\u002d")  # which would end the comment
    image = '  <Image name="image" value="$image" zoom="true"/>\n'
    return f"<View>\n{image}{controls}</View>\n<!-- mal: {records} -->\n"


def classes_beside(tasks: Path, tally: Tally) -> list[Json]:
    """Read the records of all classes from the labeling config next to a file of tasks.

    Args:
        tasks: the file.
        tally: notes that there are no settings; then the classes are those in use.

    Raises:
        UserError: the settings are damaged.
    """
    file = config_file(tasks)
    if not file.is_file():
        tally.notes.append(f"the classes are those in use, since no {file.name} lies beside the tasks")
        return []
    text = read_text_file(file)
    found = _RECORDS.search(text)
    records = [record for record in _parsed(found[1]) if _is_class(record)] if found else []
    known = {record["name"] for record in records}
    labels = [label.get("alias") or label.get("value") or "" for label in xml_root(text.encode(), file).iter("Label")]
    return records + [{"name": name} for name in dict.fromkeys(labels) if name and name not in known]


def _parsed(text: str) -> list[Any]:
    try:
        records = json.loads(text)
    except (ValueError, RecursionError):
        return []  # a comment of somebody else
    return records if isinstance(records, list) else []


def _is_class(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("name"), str)
