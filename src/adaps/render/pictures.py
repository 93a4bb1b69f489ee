"""Any environment's episode as pictures, each under a line of text. Stage: report."""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from adaps.envs.builtin.bps import BlindParticleSpread
from adaps.envs.builtin.foraging import Foraging
from adaps.envs.builtin.rware import ColouredWarehouse
from adaps.errors import HostEnvironmentError, UserError
from adaps.extensions import theirs
from adaps.files.terminal import visible
from adaps.render.bps import BpsPainter
from adaps.render.episode import Episode
from adaps.render.foraging import ForagingPainter
from adaps.render.palette import Appearance
from adaps.render.rware import RwarePainter
from adaps.render.sprites import INK, LINE, PAPER, font
from adaps.render.table import TablePainter
from adaps.types import AnyEnvironment, EnvState

FORMS = ((), (3,), (4,))
"""What may follow rows and columns in an array of bytes: grey, RGB or RGBA."""

Painter = Callable[[int], Image.Image]
"""Moment of an episode → its picture."""

PAINTERS = {
    BlindParticleSpread: BpsPainter,
    ColouredWarehouse: RwarePainter,
    Foraging: ForagingPainter,
}
"""What draws environments that do not draw themselves: ``(env, states, appearance, width)``, the
states being those after each step, the reset first, and the width that of the board in pixels."""


def pictures(env: AnyEnvironment, episode: Episode, appearance: Appearance, width: int) -> Painter:
    """What draws an episode's moments: a line with name, step and return, then the board.

    The board is what the environment draws itself, what we draw of it, or a table of what each
    agent saw, did and earned.

    Raises:
        UserError: what the environment's ``render`` returns is no picture.
    """
    board = _board(env, episode, appearance, width)
    length = len(episode.returns) - 1

    def picture(moment: int) -> Image.Image:
        value = f"{episode.returns[moment]:,.2f}".replace("-", "−")
        right = f"step {moment:>{len(str(length))}}/{length}   return {value}"
        return _titled(board(moment), visible(env.name), right)

    return picture


def _board(env: Any, episode: Episode, appearance: Appearance, width: int) -> Painter:
    if episode.moments and episode.moments[0].picture is not None:
        return _fitted(env.name, lambda moment: episode.moments[moment].picture, width)
    if hasattr(env, "render"):
        return _fitted(env.name, lambda moment: _rendered(env, episode.states[moment]), width)
    for kind, painter in PAINTERS.items():
        if isinstance(env, kind):
            return painter(env, episode.states, appearance, width)
    return TablePainter(env, episode.moments, appearance, width)


def _rendered(env: Any, state: EnvState) -> Any:
    with theirs(f"{env.name}: render failed", HostEnvironmentError):
        return env.render(state)


def _titled(board: Image.Image, left: str, right: str) -> Image.Image:
    height = max(14, round(0.06 * board.width))
    image = Image.new("RGB", (board.width, board.height + height), PAPER)
    image.paste(board, (0, height))
    canvas = ImageDraw.Draw(image)
    size, pad = round(0.56 * height), 0.3 * height
    room = board.width - 4 * pad
    while size > 4 and font(size, "Bold").getlength(left) + font(size).getlength(right) > room:
        size -= 1
    canvas.text((pad, height / 2), left, fill=INK, font=font(size, "Bold"), anchor="lm")
    place = (board.width - pad, height / 2)
    canvas.text(place, right, fill=INK, font=font(size), anchor="rm")
    canvas.line((0, height - 1, board.width, height - 1), fill=LINE)
    return image


def _fitted(name: str, drawn: Callable[[int], Any], width: int) -> Painter:
    """Pictures that the environment drew; each gets the size of the first."""
    first = _image(name, drawn(0))
    size = (width, max(1, round(width * first.height / first.width)))
    return lambda moment: _image(name, drawn(moment)).resize(size)


def _image(name: str, drawn: Any) -> Image.Image:
    """A picture of an environment's own, on paper where it is transparent.

    Raises:
        UserError: it is none.
    """
    if not isinstance(drawn, Image.Image):
        pixels = np.asarray(drawn)
        if pixels.dtype != np.uint8 or pixels.ndim < 2 or pixels.shape[2:] not in FORMS:
            raise UserError(
                f"{name}: render(state) must return a PIL image or an array "
                f"uint8[y, x, 3], not {type(drawn).__name__} {pixels.dtype}{pixels.shape}"
            )
        drawn = Image.fromarray(pixels)
    over = drawn.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", over.size, PAPER), over).convert("RGB")
