"""Self-contained HTML pages and SVG charts by Jinja templates, which escape every value."""

from __future__ import annotations

import base64
import io
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from mal.report.overlay import Pixels


def render(template: str, **values: object) -> str:
    """A file of `mal/report/templates` with `values` in it, escaped unless they are `Markup`.

    Raises jinja2.UndefinedError where a value that the template uses is missing.
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mal.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["asset"] = asset
    environment.filters["fixed"] = _fixed
    return environment


def asset(name: str) -> Markup:
    """A style sheet or script of `mal/report/templates` as it is."""
    return Markup((resources.files("mal.report") / "templates" / name).read_text(encoding="utf-8"))


def _fixed(value: float, digits: int) -> str:
    return f"{value:.{digits}f}"


def share_text(share: float) -> str:
    """A share of 0..1 in per cent; a small one keeps a digit, so that some is never told as none."""
    return f"{share:.1%}" if 0 < share < 0.01 else f"{share:.0%}"


def picture_uri(image: Pixels, *, quality: int = 85) -> str:
    """A (H, W, 3) uint8 RGB picture as a data URI (JPEG), to embed in a page that needs no other file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
