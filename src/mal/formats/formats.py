"""The formats by name, and which one a path is in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from mal.data.coco import CocoFile, read_coco
from mal.errors import UserError
from mal.formats.coco_out import write_coco
from mal.formats.csv_boxes import read_csv
from mal.formats.cvat import write_cvat
from mal.formats.cvat_in import read_cvat
from mal.formats.label_studio import write_label_studio
from mal.formats.label_studio_in import read_label_studio
from mal.formats.labelme import write_labelme
from mal.formats.labelme_in import read_labelme
from mal.formats.options import ReadOptions, WriteOptions
from mal.formats.png_masks import LEGEND, read_png, write_png
from mal.formats.tally import Tally
from mal.formats.voc import read_voc
from mal.formats.yolo_in import read_yolo
from mal.formats.yolo_out import write_yolo

Writer = Callable[[CocoFile, Path, WriteOptions, Tally], None]

WRITERS: dict[str, Writer] = {
    "coco": write_coco,
    "yolo": partial(write_yolo, kind="yolo"),
    "yolo-seg": partial(write_yolo, kind="yolo-seg"),
    "png": write_png,
    "labelme": write_labelme,
    "label-studio": write_label_studio,
    "cvat": write_cvat,
}
_FILE_OUTPUTS = {".json": "coco", ".zip": "cvat"}
_HEAD = 4096  # bytes of a JSON file that tell its format


def read(path: Path, name: str, options: ReadOptions, tally: Tally, scratch: Path) -> tuple[CocoFile, Path | None]:
    """Read annotations.

    Args:
        path: a file or folder.
        name: of the format, as `input_format` gives it.
        options: how.
        tally: notes what cannot be used.
        scratch: a folder for what has to be unpacked; it must stay as long as the file is used.

    Returns:
        The file, and the folder of the pictures if it is known.

    Raises:
        UserError: it cannot be read; the file, and mostly the line, is named.
    """
    if name in ("yolo", "yolo-seg"):
        return read_yolo(path, options, tally)
    if name == "voc":
        return read_voc(path, options, tally)
    if name == "csv":
        return read_csv(path, options, tally)
    if name == "cvat":
        return read_cvat(path, options, tally, scratch), options.images
    readers = {"png": read_png, "labelme": read_labelme, "label-studio": read_label_studio}
    return (readers[name](path, options, tally) if name in readers else read_coco(path)), options.images


def input_format(path: Path) -> str:
    """The format that a path is in, by its ending or by what lies in the folder.

    Raises:
        UserError: it is not there, or may be in several formats or in none.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist")
    found = _of_folder(path) if path.is_dir() else _of_file(path)
    if len(found) != 1:
        known = f"it looks like {' and '.join(sorted(found))}" if found else "it looks like none that is known"
        raise UserError(f"{path}: cannot tell its format, {known}: say it with --from")
    return found.pop()


def output_format(path: Path) -> str:
    """The format to write by the ending of the name.

    Raises:
        UserError: the ending says nothing.
    """
    name = _FILE_OUTPUTS.get(path.suffix.lower())
    if name is None:
        raise UserError(f"{path}: the name does not tell the format; say it with --to ({', '.join(WRITERS)})")
    return name


def _of_folder(path: Path) -> set[str]:
    found = set()
    if (path / LEGEND).is_file():
        found.add("png")
    if any(path.glob("*.yaml")) or any(path.glob("*.yml")) or (path / "labels").is_dir():
        found.add("yolo")
    if any(path.glob("*.xml")) or (path / "Annotations").is_dir():
        found.add("voc")
    if "png" not in found and any(_of_file(file) == {"labelme"} for file in sorted(path.rglob("*.json"))[:1]):
        found.add("labelme")
    return found


def _of_file(path: Path) -> set[str]:
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return {"csv"}
    if suffix in (".yaml", ".yml"):
        return {"yolo"}
    if suffix == ".xml":
        return {"voc"}
    if suffix == ".zip":
        return {"cvat"}
    if suffix != ".json":
        return set()
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        return {"label-studio"}
    return {"labelme"} if b'"shapes"' in head or b'"imageData"' in head else {"coco"}
