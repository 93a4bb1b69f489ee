"""Small smooth pictures, drawn once and stamped wherever they are needed. Stage: report."""

import functools
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.markers import MarkerStyle
from matplotlib.transforms import Affine2D
from PIL import Image, ImageColor, ImageDraw, ImageFont

SMOOTH = 4
"""Sprites are drawn this many times larger, then reduced."""
PAPER, INK, LINE, FLOOR = "#ffffff", "#1f2937", "#e5e7eb", "#f3f4f6"
BRIGHT = 150
"""What is at least this bright, of 255, bears dark words."""
RIM = 0.07
"""Width of a sprite's rim, as a share of its size."""

Point = tuple[float, float]
Draw = ImageDraw.ImageDraw


def stamp(board: Image.Image, sprite: Image.Image, x: float, y: float) -> None:
    """Lay a sprite onto a board or another sprite, its middle on a point in pixels."""
    corner = (round(x - sprite.width / 2), round(y - sprite.height / 2))
    if board.mode == "RGBA":
        layer = Image.new("RGBA", board.size)
        layer.paste(sprite, corner)
        board.alpha_composite(layer)
    else:
        board.paste(sprite, corner, sprite)


@functools.cache
def mark(marker: str, size: int, fill: str, rim: str) -> Image.Image:
    """One of matplotlib's filled markers, ``size`` pixels wide, with a rim."""
    path = MarkerStyle(marker).get_path()
    # Curves become polygons as fine as pixels: first to the size that they are drawn in.
    scale = Affine2D().scale(0.92 * SMOOTH * size, -0.92 * SMOOTH * size)
    turned = path.transformed(MarkerStyle(marker).get_transform() + scale)
    polygon = np.array(turned.to_polygons()[0], float)
    # Some markers are wider than others, and not all have their middle at the origin.
    polygon *= min(1.0, 0.96 * SMOOTH * size / float(np.ptp(polygon, axis=0).max()))
    polygon += SMOOTH * size / 2 - (polygon.max(axis=0) + polygon.min(axis=0)) / 2
    points = [(float(x), float(y)) for x, y in polygon]

    def draw(canvas: Draw, side: int) -> None:
        canvas.polygon(points, fill=fill, outline=rim, width=_thick(side, RIM))

    return drawn(size, draw)


@functools.cache
def disc(size: int, fill: str, rim: str) -> Image.Image:
    """A disc of ``size`` pixels with a rim."""

    def draw(canvas: Draw, side: int) -> None:
        canvas.ellipse((0, 0, side - 1, side - 1), fill=fill, outline=rim, width=_thick(side, RIM))

    return drawn(size, draw)


@functools.cache
def tile(size: int, fill: str, rim: str, rim_share: float = RIM) -> Image.Image:
    """A square of ``size`` pixels with round corners and a rim."""

    def draw(canvas: Draw, side: int) -> None:
        box, width = (0, 0, side - 1, side - 1), _thick(side, rim_share)
        canvas.rounded_rectangle(box, 0.16 * side, fill=fill, outline=rim, width=width)

    return drawn(size, draw)


@functools.cache
def text(words: str, height: int, fill: str) -> Image.Image:
    """Bold words, as high as a font of ``height`` pixels, their middle that of the capitals."""
    face = font(height, "Bold")
    left, top, right, bottom = face.getbbox(words)
    image = Image.new("RGBA", (int(right - left) + 2, int(bottom - top) + 2), fill + "00")
    ImageDraw.Draw(image).text((1 - left, 1 - top), words, font=face, fill=fill)
    return image


@functools.cache
def font(height: int, weight: str = "") -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib, so that pictures look the same everywhere."""
    name = f"DejaVuSans{'-' if weight else ''}{weight}.ttf"
    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    return ImageFont.truetype(file, max(4, height))


@functools.cache
def tint(colour: str, share: float) -> str:
    """A colour mixed with ``share`` of white."""
    mixed = (round(c + (255 - c) * share) for c in ImageColor.getrgb(colour)[:3])
    return "#{:02x}{:02x}{:02x}".format(*mixed)


@functools.cache
def ink_on(colour: str) -> str:
    """White or dark, whichever can be read on a colour."""
    red, green, blue = ImageColor.getrgb(colour)[:3]
    return PAPER if 0.299 * red + 0.587 * green + 0.114 * blue < BRIGHT else INK


def drawn(size: int, draw: Callable[[Draw, int], None]) -> Image.Image:
    """What ``draw`` draws into a transparent square of the side it is told, smoothly reduced."""
    side = SMOOTH * size
    image = Image.new("RGBA", (side, side), "#ffffff00")
    draw(ImageDraw.Draw(image), side)
    return image.resize((size, size), Image.Resampling.BOX)


def _thick(side: int, share: float) -> int:
    return max(SMOOTH, round(share * side))
