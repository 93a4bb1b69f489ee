"""Pictures of Level-Based Foraging: agents and food with their levels. Stage: report."""

import functools
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from adaps.envs.builtin.foraging import Foraging, State
from adaps.render.palette import Appearance
from adaps.render.sprites import INK, LINE, PAPER, Draw, Point, disc, drawn, ink_on, stamp, text

FOOD, GONE, LEAF = "#fdf3d7", "#f9fafb", "#4d7c0f"


class ForagingPainter:
    """Draws the square board at any moment.

    Agents are discs and foods are apples, each with its level, which tells an agent's true type;
    an empty apple has been loaded.
    """

    def __init__(
        self, env: Foraging, states: Sequence[State], appearance: Appearance, width: int
    ) -> None:
        self.env, self.states, self.appearance = env, states, appearance
        self.cell = max(3, (width - 4) // env.size)
        self.margin = (width - self.cell * env.size) // 2
        self.background = Image.new("RGB", (width, width), PAPER)
        lines = ImageDraw.Draw(self.background)
        start, end = self.margin, self.margin + self.cell * env.size
        for at in range(start, end + 1, self.cell):
            lines.line((at, start, at, end), fill=LINE)
            lines.line((start, at, end, at), fill=LINE)

    def __call__(self, moment: int) -> Image.Image:
        """The board after ``moment`` steps."""
        state, first = self.states[moment], self.states[0]
        board = self.background.copy()
        size = round(0.82 * self.cell)
        places = np.asarray(first.food_position).tolist()
        levels = np.asarray(state.food_level).tolist()
        for cell, level, spawned in zip(places, levels, first.food_level, strict=True):
            if spawned:
                stamp(board, _apple(size, level), *self._centre(*cell))
        cells = [tuple(cell) for cell in np.asarray(state.position).tolist()]
        for agent, cell in enumerate(cells):
            here = [other for other in range(len(cells)) if cells[other] == cell]
            self._agent(board, agent, self._centre(*cell), here.index(agent), len(here))
        return board

    def _agent(self, board: Image.Image, agent: int, centre: Point, place: int, crowd: int) -> None:
        """One agent; those who are in one cell stand smaller, around its middle."""
        share = 0.72 if crowd == 1 else 0.46
        aside = 0 if crowd == 1 else 0.23 * self.cell
        angle = math.pi + 2 * math.pi * place / crowd
        centre = (centre[0] + aside * math.cos(angle), centre[1] + aside * math.sin(angle))
        size = max(3, round(share * self.cell))
        colour = self.appearance.agent_colours[agent]
        stamp(board, disc(size, colour, INK), *centre)
        level = str(self.env.agent_levels[agent])
        stamp(board, text(level, round(0.62 * size), ink_on(colour)), *centre)

    def _centre(self, row: int, column: int) -> Point:
        return self.margin + (column + 0.5) * self.cell, self.margin + (row + 0.5) * self.cell


@functools.cache
def _apple(size: int, level: int) -> Image.Image:
    """An apple with its level; an empty one for level 0."""
    fill, rim, leaf = (FOOD, INK, LEAF) if level else (GONE, LINE, LINE)

    def draw(canvas: Draw, side: int) -> None:
        width = max(4, round(0.045 * side))
        lobes = ((0.06, 0.22, 0.62, 0.88), (0.38, 0.22, 0.94, 0.88), (0.14, 0.42, 0.86, 0.97))
        for grow, colour in ((0, rim), (-width, fill)):
            for x0, y0, x1, y1 in lobes:
                box = (x0 * side - grow, y0 * side - grow, x1 * side + grow, y1 * side + grow)
                canvas.ellipse(box, fill=colour)
        canvas.line((0.5 * side, 0.3 * side, 0.54 * side, 0.06 * side), fill=rim, width=width)
        canvas.ellipse((0.54 * side, 0.03 * side, 0.82 * side, 0.18 * side), fill=leaf)

    image = drawn(size, draw)
    if level:
        stamp(image, text(str(level), round(0.42 * size), INK), 0.5 * size, 0.6 * size)
    return image
