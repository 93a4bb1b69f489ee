"""Any team's episode as a table: what each agent saw, did and earned. Stage: report.

For environments that nothing else draws.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from adaps.envs.agent_io import agents_of
from adaps.files.terminal import visible
from adaps.render.episode import Moment
from adaps.render.palette import Appearance
from adaps.render.sprites import FLOOR, INK, LINE, PAPER, Draw, font, mark, stamp
from adaps.types import AnyEnvironment

MOST_AGENTS = 24
MOST_CELLS = 64
"""Numbers of an observation that are shown; of more, every so many-th."""
LOW, HIGH = np.array([37, 99, 235]), np.array([220, 38, 38])
"""Colours of the least and the greatest number of an observation entry."""


class TablePainter:
    """Draws any moment of an episode, a row for each agent."""

    def __init__(
        self, env: AnyEnvironment, moments: Sequence[Moment], appearance: Appearance, width: int
    ) -> None:
        self._moments, self._appearance, self._width = moments, appearance, width
        self._names = list(map(visible, agents_of(env).names))[:MOST_AGENTS]
        self._row = max(14, width // 20)
        seen = np.stack([moment.obs for moment in moments])[:, : len(self._names)]
        size = seen.shape[-1]
        self._entries = np.arange(min(size, MOST_CELLS)) * size // min(size, MOST_CELLS)
        span = np.abs(seen[..., self._entries]).max(axis=(0, 1))
        self._scale = np.where(span > 0, span, 1.0)

    def __call__(self, moment: int) -> Image.Image:
        now, height = self._moments[moment], self._row * len(self._names)
        board = Image.new("RGB", (self._width, height), PAPER)
        canvas = ImageDraw.Draw(board)
        look, face = self._appearance, font(round(0.45 * self._row))
        start, end = 1.2 * self._row, self._width - 0.3 * self._row
        for agent, name in enumerate(self._names):
            middle = self._row * (agent + 0.5)
            canvas.line((0, self._row * agent, self._width, self._row * agent), fill=LINE)
            shape, colour = look.agent_shapes[agent], look.agent_colours[agent]
            stamp(board, mark(shape, round(0.7 * self._row), colour, INK), 0.6 * self._row, middle)
            here = bool(now.here[agent])
            canvas.text((start, middle), name, fill=INK, font=face, anchor="lm")
            self._draw_seen(canvas, now, agent, here)
            did = "–" if now.action is None or not here else str(int(now.action[agent]))
            text = f"action {did}   reward {now.reward[agent]:+.2f}" if here else "not there"
            canvas.text((end, middle), text, fill=INK, font=face, anchor="rm")
        return board

    def _draw_seen(self, canvas: Draw, now: Moment, agent: int, here: bool) -> None:
        """The observation as cells: blue below zero, red above, pale near it."""
        left, right = 0.26 * self._width, 0.62 * self._width
        step = (right - left) / len(self._entries)
        top, bottom = self._row * (agent + 0.2), self._row * (agent + 0.8)
        values = now.obs[agent, self._entries] / self._scale
        for i, value in enumerate(values):
            colour = _colour(float(value)) if here else FLOOR
            canvas.rectangle((left + i * step, top, left + (i + 1) * step, bottom), fill=colour)


def _colour(value: float) -> tuple[int, int, int]:
    end = HIGH if value > 0 else LOW
    red, green, blue = 255 + (end - 255) * min(1.0, abs(value))
    return round(red), round(green), round(blue)
