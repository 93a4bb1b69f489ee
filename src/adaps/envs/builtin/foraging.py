"""Level-Based Foraging, where no observation shows an agent's level. Stage: environment.

Agents walk a grid and load food together: the levels of those who load must add up to that of the
food. Agent i always has level ``i mod 3 + 1``. From the SePS paper (arXiv 2102.07475), whose fork
of lb-foraging fixed and hid the levels.
"""

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from adaps.envs.autoreset import auto_reset
from adaps.errors import UserError
from adaps.types import Observation, Timestep

NORTH, SOUTH, WEST, EAST, LOAD = range(1, 6)
"""Actions; 0 is none."""
NUM_ACTIONS = 6

EPISODE_STEPS = 50
NUM_LEVELS = 3
SHORT_SIGHT = 2
FOOD_SPACING = 3
"""Least distance between foods, in steps: none among the 8 neighbours or two cells away."""
UNSEEN = (-1, -1, 0)
"""What an observation holds in a slot that is left over."""
MAX_SIZE = 99


class State(NamedTuple):
    """Where everything is: rows count from the north, columns from the west, both from 0."""

    position: Int[Array, "agent 2"]
    """Row and column. Two agents may be in one cell."""
    food_position: Int[Array, "food 2"]
    """Row and column, in row-major order; of no meaning where the level is 0."""
    food_level: Int[Array, " food"]
    """0 for food that is gone, and for food that found no room at the reset."""
    food_spawned: Int[Array, ""]
    """Sum of the levels of all food at the reset."""
    time: Int[Array, ""]
    """Steps taken in this episode."""


@dataclass(frozen=True)
class Foraging:
    """Agents of fixed, hidden levels, and food that takes enough of them to load.

    Actions: none, north, south, west, east, load. All are always legal; one that cannot be done
    becomes none.

    Args:
        name: the name it is made by, for result files.
        size: rows, and columns, of the grid.
        num_agents: at least two.
        num_food: foods at the start of an episode; where they do not fit, as many as fit.
        sight: how far an agent sees along both axes, in cells; ``size`` to see everything.
        coop: whether every food has the highest level instead of a random one.
    """

    name: str
    size: int
    num_agents: int
    num_food: int
    sight: int
    coop: bool = False

    num_actions = NUM_ACTIONS
    max_steps = EPISODE_STEPS

    @property
    def obs_size(self) -> int:
        """Row, column and level of every food; row, column and 0 of every agent, oneself first."""
        return 3 * (self.num_food + self.num_agents)

    @cached_property
    def agent_types(self) -> tuple[int, ...]:
        return tuple(agent % NUM_LEVELS for agent in range(self.num_agents))

    @cached_property
    def agent_levels(self) -> tuple[int, ...]:
        return tuple(kind + 1 for kind in self.agent_types)

    @property
    def food_levels(self) -> range:
        """Levels a food may have, all equally likely; the top is what the three weakest load."""
        top = sum(sorted(self.agent_levels)[:3])
        return range(top, top + 1) if self.coop else range(1, top)

    def reset(self, key: Key[Array, ""]) -> tuple[State, Timestep]:
        """Agents on distinct cells drawn from the whole grid, then food where it may be.

        Each food in turn is drawn uniformly from the cells that are still allowed: inner cells
        without an agent, at least three steps from other food. Should no cell be allowed at all,
        the episode has no food and ends with its first step.
        """
        draws = jax.random.uniform(key, (self.num_agents + 2 * self.num_food,))
        for_agents, for_cells, for_levels = jnp.split(
            draws, [self.num_agents, self.num_agents + self.num_food]
        )
        position = self._place_agents(for_agents)
        food_position, placed = self._place_food(for_cells, position)
        level = self.food_levels.start + (len(self.food_levels) * for_levels).astype(jnp.int32)
        level = jnp.where(placed, level, 0)
        state = State(position, food_position, level, level.sum(), jnp.zeros((), jnp.int32))
        return state, self._timestep(state, reward=jnp.zeros(self.num_agents))

    def step(
        self, key: Key[Array, ""], state: State, action: Int[Array, " agent"]
    ) -> tuple[State, Timestep]:
        return auto_reset(self.reset, key, *self.advance(key, state, action))

    def advance(
        self, key: Key[Array, ""], state: State, action: Int[Array, " agent"]
    ) -> tuple[State, Timestep]:
        """:meth:`step` without the reset at the end of an episode."""
        target = jax.vmap(self._target, (None, 0, 0))(state, state.position, action)
        position = jax.vmap(_move, (0, 0, None))(state.position, target, target)
        strength = jnp.where(action == LOAD, jnp.array(self.agent_levels), 0)
        level, gain = jax.vmap(_load, (0, 0, None, None))(
            state.food_position, state.food_level, position, strength
        )
        # Foods are spaced so that no agent is beside two: it gains of one at most.
        reward = gain.sum(axis=0) / jnp.maximum(state.food_spawned, 1)
        state = state._replace(position=position, food_level=level, time=state.time + 1)
        return state, self._timestep(state, reward)

    def _target(
        self, state: State, position: Int[Array, "2"], action: Int[Array, ""]
    ) -> Int[Array, "2"]:
        """The cell an agent's action leads to: its own unless it moves, on the grid, off food."""
        row = position[0] + (action == SOUTH).astype(jnp.int32) - (action == NORTH)
        column = position[1] + (action == EAST).astype(jnp.int32) - (action == WEST)
        target = jnp.clip(jnp.stack([row, column]), 0, self.size - 1)
        food = _same_cell(state.food_position, target) & (state.food_level > 0)
        return jnp.where(food.any(), position, target)

    def _timestep(self, state: State, reward: Float[Array, " agent"]) -> Timestep:
        agents = jnp.arange(self.num_agents)
        obs = jax.vmap(self._observe, (None, 0, 0))(state, agents, state.position)
        legal = jnp.ones((self.num_agents, NUM_ACTIONS), bool)
        observation = Observation(obs, legal)
        terminated = (state.food_level == 0).all()
        return Timestep(
            observation=observation,
            reward=reward,
            terminated=terminated,
            truncated=~terminated & (state.time >= EPISODE_STEPS),
            final=observation,
        )

    def _observe(
        self, state: State, agent: Int[Array, ""], own: Int[Array, "2"]
    ) -> Float[Array, " obs"]:
        """What one agent sees, relative to the corner of its field of view on the grid."""
        corner = jnp.maximum(own - self.sight, 0)
        near = _on_both_axes(abs(state.food_position - own) <= self.sight)
        foods = _encode(state.food_position - corner, state.food_level)
        foods = _move_up(foods, near & (state.food_level > 0))
        # Agents are looked for in a window of full size, even where the grid cuts it short.
        offset = state.position - corner
        in_window = _on_both_axes((offset >= 0) & (offset <= 2 * self.sight))
        agents = _encode(offset, jnp.zeros(self.num_agents, jnp.int32))
        others = _move_up(agents, in_window & (jnp.arange(self.num_agents) != agent))
        oneself = _encode((own - corner)[None], jnp.zeros(1, jnp.int32))
        return _decode(jnp.concatenate([foods, oneself, others[:-1]])).reshape(-1)

    def _place_agents(self, draws: Float[Array, " agent"]) -> Int[Array, "agent 2"]:
        """Distinct cells, all sequences equally likely, by draws in [0, 1).

        Agent i first draws its place among the cells that the agents before it leave free. Undone
        one by one from the last, each agent makes room for itself in the places of later ones.
        """
        agents = jnp.arange(self.num_agents)
        cell = (draws * (self.size**2 - agents)).astype(jnp.int32)

        def make_room(i, cell):
            agent = self.num_agents - 1 - i
            return cell + ((agents > agent) & (cell >= cell[agent]))

        return self._row_and_column(jax.lax.fori_loop(0, self.num_agents, make_room, cell))

    def _place_food(
        self, draws: Float[Array, " food"], position: Int[Array, "agent 2"]
    ) -> tuple[Int[Array, "food 2"], Bool[Array, " food"]]:
        """Cells in row-major order, and which food found room, those first; draws in [0, 1)."""
        line = jnp.arange(1, self.size - 1)
        row, column = line[:, None], line
        agent = (position[:, :1, None] == row) & (position[:, 1:, None] == column)

        def place(allowed, draw):
            i, j, found = _draw_cell(draw, allowed)
            food_row, food_column = i + 1, j + 1
            far = abs(row - food_row) + abs(column - food_column) >= FOOD_SPACING
            cell = jnp.where(found, food_row * self.size + food_column, self.size**2)
            return allowed & far, cell

        _, cell = jax.lax.scan(place, ~agent.any(axis=0), draws)
        cell = jnp.sort(cell)
        return self._row_and_column(cell), cell < self.size**2

    def _row_and_column(self, cell: Int[Array, " cell"]) -> Int[Array, "cell 2"]:
        return jnp.stack([cell // self.size, cell % self.size], axis=-1)


def _move(
    position: Int[Array, "2"], target: Int[Array, "2"], targets: Int[Array, "agent 2"]
) -> Int[Array, "2"]:
    """An agent reaches its target unless another agent has the same."""
    contested = _same_cell(targets, target).sum() > 1
    return jnp.where(contested, position, target)


def _load(
    food_position: Int[Array, "2"],
    food_level: Int[Array, ""],
    position: Int[Array, "agent 2"],
    strength: Int[Array, " agent"],
) -> tuple[Int[Array, ""], Float[Array, " agent"]]:
    """Level of a food afterwards, and what each agent gains of it, in levels.

    ``strength`` is the level of an agent that loads, 0 of one that does not.
    """
    strength = jnp.where(_distance(position, food_position) == 1, strength, 0)
    total = strength.sum()
    loaded = (food_level > 0) & (total >= food_level)
    gain = jnp.where(loaded, food_level / jnp.maximum(total, 1), 0) * strength
    return jnp.where(loaded, 0, food_level), gain


# The two axes are spelled out below: a reduction over two entries is slow on a CPU.


def _same_cell(a: Int[Array, "cell 2"], b: Int[Array, "2"]) -> Bool[Array, " cell"]:
    return (a[:, 0] == b[0]) & (a[:, 1] == b[1])


def _distance(a: Int[Array, "cell 2"], b: Int[Array, "2"]) -> Int[Array, " cell"]:
    """In steps, around no obstacle."""
    return abs(a[:, 0] - b[0]) + abs(a[:, 1] - b[1])


def _on_both_axes(flags: Bool[Array, "cell 2"]) -> Bool[Array, " cell"]:
    return flags[:, 0] & flags[:, 1]


def _draw_cell(
    draw: Float[Array, ""], allowed: Bool[Array, "row column"]
) -> tuple[Int[Array, ""], Int[Array, ""], Bool[Array, ""]]:
    """Row and column of an allowed cell, all equally likely, and whether there is any.

    ``draw`` is in [0, 1). First the row, by how many allowed cells the rows up to it hold, then
    the cell in it.
    """
    up_to_row = _running_sum(allowed.sum(axis=1))
    place = (draw * up_to_row[-1]).astype(jnp.int32)
    passed = up_to_row <= place
    row = passed.sum()
    in_row = (allowed & (jnp.arange(len(allowed)) == row)[:, None]).any(axis=0)
    place_in_row = place - jnp.where(passed, up_to_row, 0).max()
    column = (_running_sum(in_row) <= place_in_row).sum()
    return row, column, up_to_row[-1] > 0


def _encode(position: Int[Array, "slot 2"], level: Int[Array, " slot"]) -> Int[Array, " slot"]:
    """Row + 1, column + 1 and level in a byte each, so that to move an entry moves one number."""
    return ((position[:, 0] + 1) << 16) + ((position[:, 1] + 1) << 8) + level


def _decode(entry: Int[Array, " slot"]) -> Float[Array, "slot 3"]:
    """Row, column and level; ``UNSEEN`` for 0."""
    row_column_level = (entry[:, None] >> np.array([16, 8, 0])) & 0xFF
    return (row_column_level + np.array(UNSEEN)).astype(jnp.float32)


def _move_up(entry: Int[Array, " slot"], seen: Bool[Array, " slot"]) -> Int[Array, " slot"]:
    """The entries that are seen, in order, then zeros."""
    goes_to = jnp.where(seen, _running_sum(seen) - 1, len(seen))
    goes_here = goes_to == jnp.arange(len(seen))[:, None]
    return jnp.where(goes_here, entry, 0).sum(axis=-1)


def _running_sum(x: Int[Array, " n"] | Bool[Array, " n"]) -> Int[Array, " n"]:
    """``jnp.cumsum``, faster where there is little to add."""
    index = jnp.arange(len(x))
    return jnp.where(index <= index[:, None], x, 0).sum(axis=-1)


NAMES = (
    "foraging-fixed-8x8-4p-3f",
    "foraging-2s-fixed-8x8-3p-2f",
    "foraging-fixed-10x10-6p-4f-coop",
)
PATTERNS = (
    "foraging-fixed-12x12-5p-4f (any square grid, number of agents and of foods)",
    "foraging-2s-fixed-12x12-5p-4f-coop (sight of two cells; every food of the highest level)",
)
_NUMBER = r"(0|[1-9]\d{0,3})"
_NAME = re.compile(
    f"foraging(-2s)?-fixed-{_NUMBER}x{_NUMBER}-{_NUMBER}p-{_NUMBER}f(-coop)?", re.ASCII
)


def parse(name: str) -> Foraging | None:
    """The environment of a name such as ``foraging-2s-fixed-8x8-3p-2f-coop``, None if not ours.

    Raises:
        UserError: a name that starts as ours, but states no task that can be built.
    """
    if not name.startswith("foraging"):
        return None
    if (match := _NAME.fullmatch(name)) is None:
        raise UserError(
            f"environment '{name}': the form is foraging[-2s]-fixed-{{size}}x{{size}}-{{agents}}p-"
            "{foods}f[-coop], such as foraging-fixed-8x8-4p-3f"
        )
    size, columns, agents, food = map(int, match.groups()[1:5])
    if problem := _problem(size, columns, agents, food):
        raise UserError(f"environment '{name}': {problem}")
    sight = SHORT_SIGHT if match[1] else size
    return Foraging(name, size, agents, food, sight, coop=bool(match[6]))


def _problem(size: int, columns: int, agents: int, food: int) -> str | None:
    """Why there is no such task, in words; None where there is."""
    # Two foods never touch, so a block of 2 × 2 inner cells holds one at most.
    most_food = math.ceil((size - 2) / 2) ** 2
    if size != columns:
        return f"the grid must be square, such as {size}x{size}"
    if not 3 <= size <= MAX_SIZE:
        return f"the grid must have from 3 to {MAX_SIZE} rows, food being kept off its border"
    if not 2 <= agents < size**2:
        return f"a {size}x{size} grid takes from 2 to {size**2 - 1} agents"
    if not 1 <= food <= most_food:
        return f"a {size}x{size} grid takes from 1 to {most_food} foods, which keep apart"
    return None
