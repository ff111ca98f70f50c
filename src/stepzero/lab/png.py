"""A figure as PNG, drawn with Pillow and its own letters: the same on every machine. Needs the extra ``lab``."""

import io
from typing import Any

from stepzero.core.errors import ConfigError
from stepzero.lab.figure import INK, SIZE, Dot, Figure, Line, Text

SCALE = 2
"""Pixels for each of the figure's."""
_FINER = 2
"""Drawn so much larger and made smaller again, which smooths lines and dots."""
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}
"""How Pillow says where words start, on their base line."""


def png(figure: Figure) -> bytes:
    """The file.

    Raises:
        ConfigError: Pillow is not there.
    """
    image, draw, font = _modules()
    scale = SCALE * _FINER
    sheet = image.new("RGB", (figure.width * scale, figure.height * scale), "white")
    pen = draw.Draw(sheet)
    letters = font.load_default(SIZE * scale)
    for mark in figure.marks:
        if isinstance(mark, Line):
            places = [(x * scale, y * scale) for x, y in mark.places]
            pen.line(places, fill=mark.colour, width=mark.thickness * scale, joint="curve")
        elif isinstance(mark, Dot):
            pen.circle((mark.x * scale, mark.y * scale), mark.radius * scale, fill=mark.colour)
        else:
            _write(pen, mark, letters, scale)
    smaller = sheet.resize((figure.width * SCALE, figure.height * SCALE), image.Resampling.LANCZOS)
    file = io.BytesIO()
    smaller.save(file, "PNG", optimize=True)
    return file.getvalue()


def check() -> None:
    """ConfigError when Pillow is not there."""
    _modules()


def _write(pen: Any, mark: Text, letters: Any, scale: int) -> None:
    pen.text((mark.x * scale, mark.y * scale), mark.words, fill=INK, font=letters, anchor=_ANCHORS[mark.anchor])


def _modules() -> tuple[Any, Any, Any]:
    try:
        from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - an extra
    except ImportError as problem:
        raise ConfigError(
            "figures as PNG need Pillow: pip install 'stepzero[lab]'; as SVG they need nothing"
        ) from problem
    return Image, ImageDraw, ImageFont
