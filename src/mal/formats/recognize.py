"""Recognize the format of a file or folder, and name formats that are not supported."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from mal.coco.coco_file import parse_document_in_parts
from mal.coco.lazy_json import JsonFile, UnparsedError, index_json
from mal.errors import UserError
from mal.file_kinds import HEAD_BYTES, said_kind
from mal.formats.folders import is_pattern, listed_files
from mal.formats.png_masks import LEGEND
from mal.formats.yolo_files import has_name_file
from mal.paths import is_url

_ASK = "say it with --from"
_JSON_FILES_ASKED = 20  # of a folder: enough to tell what it is
_LIST_OF_UNKNOWN = "a list of records of a kind that is not known"


class JsonKind(NamedTuple):
    """The format of a JSON file.

    Attributes:
        format: its name for --from; None for one that is not read.
        what: in words.
        advice: what to do about one that is not read.
    """

    format: str | None
    what: str
    advice: str = ""


_COCO = JsonKind("coco", "a COCO file")
_LABELME = JsonKind("labelme", "a LabelMe file")
_TASKS = JsonKind("label-studio", "a list of Label Studio's tasks")
_JSON_MIN = JsonKind(None, "Label Studio's JSON_MIN", "export it as JSON")
_RESULTS = JsonKind(
    None,
    "a detector's results in COCO's form (image_id, bbox, score)",
    "it needs the COCO file of the images, with the list in it as annotations",
)
_CREATE_ML = JsonKind(None, "CreateML's JSON", "export the data set as COCO")
_DATUMARO = JsonKind(None, "Datumaro's JSON", "export the data set as COCO")
_VIA = JsonKind(None, "a project of the VGG Image Annotator (VIA)", "export it as COCO")
_SUPERVISELY = JsonKind(None, "Supervisely's JSON", "export the data set as COCO")
_SCALABEL = JsonKind(None, "Scalabel's JSON (BDD100K)", "export the data set as COCO")


def input_format(path: Path) -> str:
    """Recognize the format of a path by its extension, its content, or the files in the folder.

    Raises:
        UserError: it is not there, may be in several formats, or is in one that is not read; that is named.
    """
    if is_pattern(path):
        return input_format(next(iter(listed_files(path))))
    if not path.exists():
        raise UserError(f"{path} does not exist")
    found = _formats_of_folder(path) if path.is_dir() else _formats_of_file(path)
    if len(found) != 1:
        known = f"it looks like {' and '.join(sorted(found))}" if found else "it looks like none that is known"
        raise UserError(f"{path}: cannot tell its format, {known}: {_ASK}")
    return found.pop()


def coco_file_in(folder: Path) -> Path:
    """The one COCO file of a folder, as Roboflow's ``_annotations.coco.json``.

    Raises:
        UserError: there is none, or more than one.
    """
    files = [file for file in _json_files(folder) if _kind_or_none(file) == _COCO]
    if len(files) != 1:
        names = ", ".join(str(file.relative_to(folder)) for file in files)
        there = f"{len(files)} COCO files are in it ({names})" if files else "no COCO file is in it"
        raise UserError(f"{folder} is a folder, and {there}: give the .json itself")
    return files[0]


def json_kind(path: Path) -> JsonKind:
    """Recognize the format of a JSON file; COCO if unknown, because its reader reports what is missing.

    Raises:
        UserError: it is no JSON at all, but a file of another kind.
    """
    head = _head(path)
    said = said_kind(head, "an annotation file in JSON", "json", "text")
    if said is not None:
        raise UserError(f"{path} {said}")
    try:
        return _kind_of_list(path) if _begins_list(head) else _kind_of_object(parse_document_in_parts(JsonFile(path)))
    except (UnparsedError, OSError):  # damaged: the reader says where
        return _TASKS if _begins_list(head) else _LABELME if b'"shapes"' in head else _COCO


def xml_format(path: Path) -> str:
    """Pascal VOC or CVAT, by the beginning of an XML file."""
    head = _head(path).replace(b"\0", b"")  # UTF-16 of plain letters reads like them then
    return "cvat-xml" if b"<annotations" in head else "voc"


def _formats_of_file(path: Path) -> set[str]:
    suffix = path.suffix.lower()
    by_suffix = {".csv": "csv", ".tsv": "csv", ".yaml": "yolo", ".yml": "yolo", ".data": "yolo", ".zip": "cvat"}
    if suffix in by_suffix:
        return {by_suffix[suffix]}
    if suffix == ".xml":
        return {xml_format(path)}
    if suffix == ".txt":
        first = listed_files(path)[0]
        return _formats_of_file(first) if first.suffix.lower() != ".txt" else set()
    if suffix != ".json":
        return set()
    kind = json_kind(path)
    if kind.format is None:
        raise UserError(f"{path} is {kind.what}, which is not read{f': {kind.advice}' if kind.advice else ''}")
    return {kind.format}


def _formats_of_folder(path: Path) -> set[str]:
    if (path / LEGEND).is_file():
        return {"png"} | ({"yolo"} if _may_be_yolo(path) else set())
    found = {"yolo"} if _may_be_yolo(path) else set()
    found |= {xml_format(file) for file in islice((path / "Annotations").rglob("*.xml"), 1)}
    found |= {xml_format(file) for file in islice(sorted(path.glob("*.xml")), 1)}
    if (path / "Annotations").is_dir() and not (found - {"yolo"}) and not _has_labels(path):
        raise UserError(f"no VOC files in {path / 'Annotations'}: an XML file for each image is expected there")
    kinds = {kind.format for kind in map(_kind_or_none, islice(_json_files(path), _JSON_FILES_ASKED)) if kind}
    if "labelme" in kinds:
        found.add("labelme")
    elif "coco" in kinds and not found:
        coco_file_in(path)
        found.add("coco")
    return found


def _may_be_yolo(path: Path) -> bool:
    return _has_labels(path) or has_name_file(path)


def _has_labels(path: Path) -> bool:
    """Whether a folder has YOLO labels, or a description of where they are."""
    is_described = any(any(path.glob(pattern)) for pattern in ("*.yaml", "*.yml", "*.data"))
    return is_described or (path / "labels").is_dir()


def _json_files(folder: Path) -> list[Path]:
    """Those in the folder itself; where there are none, those below it."""
    return sorted(folder.glob("*.json")) or sorted(folder.rglob("*.json"))


def _kind_or_none(path: Path) -> JsonKind | None:
    """Recognize one JSON file of a folder; None if it is something else."""
    try:
        kind = json_kind(path)
        is_whole = kind != _COCO or {"images", "annotations"} <= set(parse_document_in_parts(JsonFile(path)))
        return kind if is_whole else None
    except (UserError, UnparsedError, OSError, TypeError):
        return None


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


def _begins_list(head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def _kind_of_list(path: Path) -> JsonKind:
    file = JsonFile(path)
    records = index_json(file).values
    if not len(records):
        return _TASKS
    first = file.parse(file.read(*records[0].tolist()))
    keys = set(first) if isinstance(first, dict) else set()
    if "data" in keys:
        return _TASKS
    if "image_id" in keys and keys & {"bbox", "segmentation", "keypoints"}:
        return _RESULTS
    if "annotations" in keys and keys & {"image", "imagefilename"}:
        return _CREATE_ML
    if keys & {"annotation_id", "annotator", "lead_time"} or {"id", "image"} <= keys:
        return _JSON_MIN
    return _SCALABEL if {"name", "labels"} <= keys else JsonKind(None, _LIST_OF_UNKNOWN)


def _kind_of_object(document: Any) -> JsonKind:
    keys = set(document) if isinstance(document, dict) else set()
    if {"images", "annotations"} <= keys:
        return _COCO
    if "shapes" in keys or {"imageData", "imagePath"} <= keys:
        return _LABELME
    if "data" in keys and keys & {"annotations", "predictions"}:
        return _TASKS
    if "items" in keys and keys & {"dm_format_version", "categories"}:
        return _DATUMARO
    values = list(document.values()) if keys else []
    if "_via_img_metadata" in keys or any(isinstance(value, dict) and "regions" in value for value in values):
        return _VIA
    return _SUPERVISELY if {"objects", "size"} <= keys else _COCO


def source_format(path: str | Path, name: str | None = None) -> str:
    """The format of annotations for a command that labels, trains, checks or shows them.

    Args:
        path: a file, a folder, a pattern or a list of files, or a URL, which is always COCO.
        name: the format, where the user says it.

    Returns:
        A name for --from. A file that does not tell its format counts as COCO, whose reader says what is missing.

    Raises:
        UserError: it is a folder or a pattern whose format is not clear.
    """
    if name is not None or is_url(path):
        return name or "coco"
    path = Path(path)
    if _is_plainly_coco(path):
        return "coco"
    if path.is_dir() or is_pattern(path):
        return input_format(path)
    try:
        return input_format(path)
    except UserError:
        if path.suffix.lower() == ".txt":  # a list, which no COCO file is
            raise
        return "coco"


def tells_pictures(path: str | Path, name: str | None = None) -> bool:
    """Whether a source may do without a folder of pictures: all but a COCO file, which says nothing of it.

    Raises:
        UserError: the format is not clear.
    """
    return not is_url(path) and (Path(path).is_dir() or source_format(path, name) != "coco")


def is_there(path: str | Path) -> bool:
    """Whether a file or folder exists; patterns and URLs count, since their readers say what is missing."""
    return is_url(path) or Path(path).exists() or is_pattern(Path(path))


def _is_plainly_coco(path: Path) -> bool:
    """Whether the beginning of a file shows that it is COCO (or an empty list), without reading all of it."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:  # the reader says why
        return True
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return (text.startswith(b"{") and b'"images"' in head) or b"".join(text.split()) == b"[]"
