"""Pictures of the coloured warehouse: shelves, robots, goals. Stage: report."""

import functools
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from adaps.envs.builtin.rware import AHEAD, ColouredWarehouse, State
from adaps.render.palette import Appearance
from adaps.render.sprites import (
    FLOOR,
    INK,
    LINE,
    PAPER,
    Draw,
    Point,
    drawn,
    ink_on,
    mark,
    stamp,
    text,
    tile,
    tint,
)


class RwarePainter:
    """Draws the board at any moment; its height follows from its width.

    A shelf has the colour and the shape of the robots it is for: pale, or full with a dark rim
    while it is requested. A carried one is larger and lies under its robot.
    """

    def __init__(
        self, env: ColouredWarehouse, states: Sequence[State], appearance: Appearance, width: int
    ) -> None:
        self.env, self.states, self.appearance = env, states, appearance
        rows, columns = env.grid_size
        self.cell = max(3, (width - 4) // columns)
        self.margin = (width - self.cell * columns) // 2
        self.size = (width, self.cell * rows + 2 * max(2, min(self.margin, 4)))
        self.top = (self.size[1] - self.cell * rows) // 2
        self.background = self._background()

    def __call__(self, moment: int) -> Image.Image:
        """The board after ``moment`` steps."""
        state = self.states[moment]
        board = self.background.copy()
        requested = {int(shelf) for shelf in state.request}
        for y, x in np.argwhere(np.asarray(state.standing)).tolist():
            shelf = int(state.standing[y, x])
            look = self._shelf_look(state, shelf)
            stamp(board, _shelf(self._of(0.78), *look, shelf in requested), *self._centre(x, y))
        for robot in range(self.env.num_agents):
            self._robot(board, state, robot, requested)
        return board

    def _robot(self, board: Image.Image, state: State, robot: int, requested: set[int]) -> None:
        centre = self._centre(int(state.x[robot]), int(state.y[robot]))
        colour = self.appearance.agent_colours[robot]
        shape = self.appearance.agent_shapes[robot]
        shelf = int(state.carrying[robot])
        if shelf:
            look = self._shelf_look(state, shelf)
            stamp(board, _carried(self._of(1.0), look[0], shelf in requested), *centre)
        body = self._of(0.76 if shelf else 0.94)
        stamp(board, _robot(body, colour, shape, int(state.direction[robot])), *centre)

    def _shelf_look(self, state: State, shelf: int) -> tuple[str, str]:
        colour = int(state.shelf_colour[shelf - 1])
        return self.appearance.type_colours[colour], self.appearance.type_shapes[colour]

    def _background(self) -> Image.Image:
        """Places for shelves in white on a grey floor, and the two goals."""
        board = Image.new("RGB", self.size, FLOOR)
        lines = ImageDraw.Draw(board)
        for y, x in np.argwhere(~self.env.highways).tolist():
            left, top = self._corner(x, y)
            box = (left, top, left + self.cell, top + self.cell)
            lines.rectangle(box, fill=PAPER, outline=LINE)
        for x, y in self.env.goals:
            stamp(board, tile(self._of(0.94), INK, INK), *self._centre(x, y))
            stamp(board, text("GOAL", self._of(0.27), PAPER), *self._centre(x, y))
        return board

    def _of(self, share: float) -> int:
        """Pixels of a share of a cell; as odd or even as the cell, so that middles meet."""
        size = round(share * self.cell)
        return max(3, size - (size - self.cell) % 2)

    def _corner(self, x: int, y: int) -> tuple[int, int]:
        return self.margin + self.cell * x, self.top + self.cell * y

    def _centre(self, x: int, y: int) -> Point:
        left, top = self._corner(x, y)
        return left + self.cell / 2, top + self.cell / 2


@functools.cache
def _shelf(size: int, colour: str, shape: str, requested: bool) -> Image.Image:
    if requested:
        image = tile(size, colour, INK, 0.1).copy()
        glyph = _glyph(shape, round(0.5 * size), ink_on(colour))
    else:
        image = tile(size, tint(colour, 0.78), tint(colour, 0.6)).copy()
        glyph = _glyph(shape, round(0.4 * size), tint(colour, 0.4))
    stamp(image, glyph, size / 2, size / 2)
    return image


@functools.cache
def _carried(size: int, colour: str, requested: bool) -> Image.Image:
    fill = colour if requested else tint(colour, 0.6)
    return tile(size, fill, INK, 0.08)


@functools.cache
def _robot(size: int, colour: str, shape: str, direction: int) -> Image.Image:
    """A disc with a dark nose where the robot looks, and the shape of its type."""
    dx, dy = AHEAD[direction]

    def draw(canvas: Draw, side: int) -> None:
        def at(ahead: float, aside: float) -> Point:
            x, y = ahead * dx - aside * dy, ahead * dy + aside * dx
            return (0.5 + x) * side, (0.5 + y) * side

        def circle(radius: float, fill: str) -> None:
            canvas.ellipse((*(2 * [(0.5 - radius) * side]), *(2 * [(0.5 + radius) * side])), fill)

        circle(0.38, INK)
        canvas.polygon([at(0.5, 0.0), at(0.24, -0.3), at(0.24, 0.3)], INK)
        circle(0.33, colour)

    image = drawn(size, draw)
    stamp(image, _glyph(shape, round(0.4 * size), ink_on(colour)), size / 2, size / 2)
    return image


def _glyph(shape: str, size: int, colour: str) -> Image.Image:
    return mark(shape, max(2, size), colour, colour)
