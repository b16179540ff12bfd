from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from mal.report.page import picture, picture_uri, render, score_tile


def test_text_from_outside_cannot_become_markup():
    image = np.zeros((4, 6, 3), dtype=np.uint8)
    figure = picture(image, caption="<script>", description='a "quoted" name')
    assert "<script>" not in figure
    assert 'alt="a &quot;quoted&quot; name"' in figure


def test_an_embedded_picture_decodes_to_its_size():
    uri = picture_uri(np.full((5, 9, 3), 200, dtype=np.uint8))
    kind, data = uri.split(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (9, 5)


def test_a_template_with_a_part_missing_is_an_error():
    with pytest.raises(KeyError):
        render("score_tile.html", name="only this")


def test_a_tile_shows_its_score_as_number_and_bar():
    tile = score_tile("Model", 0.7421, "a note", emphasized=True)
    assert ">0.742<" in tile
    assert "width: 74.2%" in tile
    assert "emphasised" in tile
