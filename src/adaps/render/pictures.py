"""Any environment's episode as pictures, each under a line of text. Stage: report."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from adaps.envs.builtin.bps import BlindParticleSpread
from adaps.envs.builtin.foraging import Foraging
from adaps.envs.builtin.rware import ColouredWarehouse
from adaps.errors import UserError
from adaps.render import bps, charts, foraging, rware
from adaps.render.episode import Episode
from adaps.render.palette import Looks
from adaps.render.sprites import INK, LINE, PAPER, font
from adaps.types import AnyEnvironment, EnvState

FORMS = ((), (3,), (4,))
"""What may follow rows and columns in an array of bytes: grey, RGB or RGBA."""

Painter = Callable[[int], Image.Image]
"""Moment of an episode → the board then."""
MakePainter = Callable[[Any, Sequence[EnvState], Looks, int], Painter]
"""Environment, states, looks and width in pixels → what draws any of the states."""

PAINTERS: dict[type, MakePainter] = {
    BlindParticleSpread: bps.Painter,
    ColouredWarehouse: rware.Painter,
    Foraging: foraging.Painter,
}


def painter_of(env: AnyEnvironment) -> MakePainter | None:
    """What draws an environment's states: its own method ``render(state)``, or ours; or None."""
    if hasattr(env, "render"):
        return _their_painter
    return next((painter for kind, painter in PAINTERS.items() if isinstance(env, kind)), None)


def pictures(env: AnyEnvironment, episode: Episode, looks: Looks, width: int) -> Painter:
    """What draws an episode's moments: a line with name, step and return, then the board.

    The board is what the environment draws itself, what we draw of it, or a table of what each
    agent saw, did and earned.

    Raises:
        UserError: what the environment's ``render`` returns is no picture.
    """
    painter = _painter(env, episode, looks, width)
    length = len(episode.returns) - 1

    def picture(moment: int) -> Image.Image:
        value = f"{episode.returns[moment]:,.2f}".replace("-", "−")
        right = f"step {moment:>{len(str(length))}}/{length}   return {value}"
        return _titled(painter(moment), env.name, right)

    return picture


def _painter(env: AnyEnvironment, episode: Episode, looks: Looks, width: int) -> Painter:
    if episode.moments and episode.moments[0].picture is not None:
        return _Own(env.name, [moment.picture for moment in episode.moments], width)
    make = painter_of(env)
    if make is None:
        return charts.Painter(env, episode.moments, looks, width)
    return make(env, episode.states, looks, width)


def _titled(board: Image.Image, left: str, right: str) -> Image.Image:
    height = max(14, round(0.06 * board.width))
    image = Image.new("RGB", (board.width, board.height + height), PAPER)
    image.paste(board, (0, height))
    canvas = ImageDraw.Draw(image)
    size, pad = round(0.56 * height), 0.3 * height
    room = board.width - 4 * pad
    while size > 4 and _length(left, size, "Bold") + _length(right, size) > room:
        size -= 1
    canvas.text((pad, height / 2), left, fill=INK, font=font(size, "Bold"), anchor="lm")
    place = (board.width - pad, height / 2)
    canvas.text(place, right, fill=INK, font=font(size), anchor="rm")
    canvas.line((0, height - 1, board.width, height - 1), fill=LINE)
    return image


def _length(words: str, size: int, weight: str = "") -> float:
    return font(size, weight).getlength(words)


class _Own:
    """Pictures that the environment drew; each gets the size of the first."""

    def __init__(self, name: str, drawn: Sequence[Any], width: int) -> None:
        self.name, self.drawn = name, drawn
        first = self._image(0)
        self.size = (width, max(1, round(width * first.height / first.width)))

    def __call__(self, moment: int) -> Image.Image:
        return self._image(moment).resize(self.size)

    def _image(self, moment: int) -> Image.Image:
        drawn = self.drawn[moment]
        if not isinstance(drawn, Image.Image):
            pixels = np.asarray(drawn)
            if pixels.dtype != np.uint8 or pixels.ndim < 2 or pixels.shape[2:] not in FORMS:
                raise UserError(
                    f"{self.name}: render(state) must return a PIL image or an array "
                    f"uint8[y, x, 3], not {type(drawn).__name__} {pixels.dtype}{pixels.shape}"
                )
            drawn = Image.fromarray(pixels)
        over = drawn.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, PAPER), over).convert("RGB")


def _their_painter(env: Any, states: Sequence[EnvState], looks: Looks, width: int) -> Painter:
    del looks
    return _Own(env.name, _Rendered(env, states), width)


class _Rendered(Sequence[Any]):
    """States, drawn by their environment when they are looked at."""

    def __init__(self, env: Any, states: Sequence[EnvState]) -> None:
        self.env, self.states = env, states

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, moment: Any) -> Any:
        return self.env.render(self.states[moment])
