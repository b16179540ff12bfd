"""Parts of self-contained HTML pages: templates, embedded pictures, headline metrics."""

from __future__ import annotations

import base64
import html
import io
from importlib import resources
from string import Template

from PIL import Image

from mal.report.overlay import Pixels


def render(template: str, **parts: str) -> str:
    """A file of `mal/report/templates` with its `$names` replaced by `parts`, which are HTML already.

    Raises KeyError where a name has no part.
    """
    return Template(asset(template)).substitute(parts)


def asset(name: str) -> str:
    """A file of `mal/report/templates` as it is."""
    return (resources.files("mal.report") / "templates" / name).read_text(encoding="utf-8")


def text(value: object) -> str:
    """A value as text that is safe inside HTML, attributes included."""
    return html.escape(str(value))


def share_text(share: float) -> str:
    """A share of 0..1 in per cent; a small one keeps a digit, so that some is never told as none."""
    return f"{share:.1%}" if 0 < share < 0.01 else f"{share:.0%}"


def picture_uri(image: Pixels, *, quality: int = 85) -> str:
    """A (H, W, 3) uint8 RGB picture as a data URI (JPEG), to embed in a page that needs no other file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def picture(image: Pixels, *, caption: str, description: str) -> str:
    """A figure with an embedded (H, W, 3) uint8 picture; `description` is read aloud in its place."""
    height, width = image.shape[:2]
    return render(
        "picture.html",
        uri=picture_uri(image),
        width=str(width),
        height=str(height),
        caption=text(caption),
        description=text(description),
    )


def score_tile(name: str, score: float, note: str, *, emphasized: bool = False) -> str:
    """A tile with a score of 0..1 as a number and a bar."""
    return render(
        "score_tile.html",
        name=text(name),
        score=f"{score:.3f}",
        percent=f"{100 * score:.1f}",
        note=text(note),
        kind="tile emphasised" if emphasized else "tile",
    )
