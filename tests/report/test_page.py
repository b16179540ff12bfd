from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from jinja2 import UndefinedError
from PIL import Image

from mal.report.chart_model import Axis, Bar, Chart
from mal.report.page import picture_uri, render


def test_every_value_of_a_template_is_escaped():
    axes = Axis(0, 1, "<x>", [(0, "<0>")]), Axis(0, 1, "<y>", [(1, "<1>")])
    chart = Chart("c", "<t>", 'a "quoted" <d>', *axes, [Bar(0, 1, 0, 1, "first", "<tip>")], [("first", "<l>")])
    figure = render("chart.html", chart=chart)
    assert not re.search("<([tdxyl01]|tip)>", figure)
    assert 'aria-label="&lt;t&gt;. a &#34;quoted&#34; &lt;d&gt;"' in figure


def test_an_embedded_picture_decodes_to_its_size():
    uri = picture_uri(np.full((5, 9, 3), 200, dtype=np.uint8))
    kind, data = uri.split(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (9, 5)


def test_a_template_with_a_value_missing_is_an_error():
    with pytest.raises(UndefinedError):
        render("demo.html", title="only this")
