"""Pictures of Blind-Particle Spread: particles with their tracks, and landmarks. Stage: report."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from adaps.envs.builtin.bps import LANDMARK_RANGE, BlindParticleSpread, State
from adaps.render.palette import Appearance
from adaps.render.sprites import LINE, PAPER, mark, stamp, tint

TRACK = 10
"""So many earlier positions of an agent are shown, paler and paler."""
MARGIN = 0.4
"""Metres around everything."""


class BpsPainter:
    """Draws the square board at any moment; landmarks have colours and shapes of true types."""

    def __init__(
        self, env: BlindParticleSpread, states: Sequence[State], appearance: Appearance, width: int
    ) -> None:
        del env
        self.appearance, self.width = appearance, width
        positions = np.stack([np.asarray(state.position) for state in states])
        landmarks = np.asarray(states[0].landmark)
        everything = np.concatenate([positions.reshape(-1, 2), landmarks])
        low = np.minimum(everything.min(axis=0), -LANDMARK_RANGE)
        high = np.maximum(everything.max(axis=0), LANDMARK_RANGE)
        self.middle = (low + high) / 2
        self.scale = width / (float((high - low).max()) + 2 * MARGIN)
        self.agents = self._pixels(positions)
        self.landmarks = self._pixels(landmarks)
        self.background = self._background()

    def __call__(self, moment: int) -> Image.Image:
        """The board after ``moment`` steps."""
        board = self.background.copy()
        size = max(5, round(0.042 * self.width))
        dot = max(2, round(0.26 * size))
        for back in range(min(TRACK, moment), 0, -1):
            places = self.agents[moment - back]
            for colour, place in zip(self.appearance.agent_colours, places, strict=True):
                pale = tint(colour, 0.35 + 0.55 * back / TRACK)
                stamp(board, mark("o", dot, pale, pale), *place)
        shapes, colours = self.appearance.agent_shapes, self.appearance.agent_colours
        for shape, colour, place in zip(shapes, colours, self.agents[moment], strict=True):
            stamp(board, mark(shape, size, colour, PAPER), *place)
        return board

    def _background(self) -> Image.Image:
        """A grid of metres, and the landmarks in the shapes of those who seek them."""
        board = Image.new("RGB", (self.width, self.width), PAPER)
        lines = ImageDraw.Draw(board)
        reach = int(self.width / self.scale) + 1
        for metre in range(-reach, reach + 1):
            x, y = self._pixels(self.middle.round() + metre)
            lines.line((x, 0, x, self.width), fill=LINE)
            lines.line((0, y, self.width, y), fill=LINE)
        size = max(9, round(0.1 * self.width))
        shapes, colours = self.appearance.type_shapes, self.appearance.type_colours
        for shape, colour, place in zip(shapes, colours, self.landmarks, strict=True):
            stamp(board, mark(shape, size, tint(colour, 0.72), colour), *place)
        return board

    def _pixels(self, places: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Metres, y upwards → pixels, y downwards."""
        return self.width / 2 + self.scale * (places - self.middle) * (1, -1)
