"""Level-Based Foraging, where no observation shows an agent's level. Stage: environment.

Agents walk a grid and load food together: the levels of those who load must add up to that of the
food. Agent i always has level ``i mod 3 + 1``. From the SePS paper (arXiv 2102.07475), whose fork
of lb-foraging fixed and hid the levels.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from adaps.envs.auto_reset import auto_reset
from adaps.errors import UserError
from adaps.types import Timestep

NORTH, SOUTH, WEST, EAST, LOAD = range(1, 6)
NUM_ACTIONS = 6

EPISODE_STEPS = 50
NUM_LEVELS = 3
SHORT_SIGHT = 2
FOOD_SPACING = 3
"""Least distance between foods, in steps: not among the 8 neighbours, nor two cells away."""
UNSEEN = (-1, -1, 0)
"""What an observation holds in a slot that is left over."""


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

    Actions: none, north, south, west, east, load. All are always legal; those that cannot be done
    become none.

    Args:
        name: the name it is made by, for result files.
        size: rows, and columns, of the grid.
        num_agents: at least two.
        num_food: foods at the start of an episode; where they do not fit, as many as fit.
        sight: how far an agent sees along both axes, in cells.
        coop: whether every food takes all of the three weakest agents, or more levels elsewhere.
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
    def agent_levels(self) -> tuple[int, ...]:
        return tuple(type_ + 1 for type_ in self.agent_types)

    @cached_property
    def agent_types(self) -> tuple[int, ...]:
        return tuple(i % NUM_LEVELS for i in range(self.num_agents))

    @property
    def food_levels(self) -> range:
        """The levels a food may have, all equally likely."""
        top = sum(sorted(self.agent_levels)[:3])
        return range(top, top + 1) if self.coop else range(1, top)

    def reset(self, key: Key[Array, ""]) -> tuple[State, Timestep]:
        """Agents on distinct cells drawn from the whole grid, then food where it may be.

        Each food in turn is drawn uniformly from the cells that are still allowed: inner cells
        without an agent, at least three steps from any other food. An episode that has no such
        cell at all ends after its first step.
        """
        draws = jax.random.uniform(key, (self.num_agents + 2 * self.num_food,))
        for_agents, for_cells, for_levels = jnp.split(
            draws, [self.num_agents, self.num_agents + self.num_food]
        )
        position = self._place_agents(for_agents)
        food_position, placed = self._place_food(for_cells, position)
        levels = self.food_levels
        level = levels.start + (len(levels) * for_levels).astype(jnp.int32)
        level = jnp.where(placed, level, 0)
        state = State(position, food_position, level, level.sum(), jnp.zeros((), jnp.int32))
        return state, self._timestep(state, reward=jnp.zeros(self.num_agents))

    def step(
        self, key: Key[Array, ""], state: State, action: Int[Array, " agent"]
    ) -> tuple[State, Timestep]:
        target = jax.vmap(self._target, (None, 0, 0))(state, state.position, action)
        position = jax.vmap(_move, (0, 0, None))(state.position, target, target)
        strength = jnp.where(action == LOAD, jnp.array(self.agent_levels), 0)
        level, gain = jax.vmap(_load, (0, 0, None, None))(
            state.food_position, state.food_level, position, strength
        )
        reward = gain.sum(axis=0) / jnp.maximum(state.food_spawned, 1)
        state = state._replace(position=position, food_level=level, time=state.time + 1)
        return auto_reset(self.reset, key, state, self._timestep(state, reward))

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
        terminated = (state.food_level == 0).all()
        return Timestep(
            obs=obs,
            legal=jnp.ones((self.num_agents, NUM_ACTIONS), bool),
            reward=reward,
            terminated=terminated,
            truncated=~terminated & (state.time >= EPISODE_STEPS),
            last_obs=obs,
        )

    def _observe(
        self, state: State, agent: Int[Array, ""], own: Int[Array, "2"]
    ) -> Float[Array, " obs"]:
        """What one agent sees, relative to the corner of its field of view on the grid."""
        corner = jnp.maximum(own - self.sight, 0)
        near = _both(abs(state.food_position - own) <= self.sight)
        foods = _encode(state.food_position - corner, state.food_level)
        foods = _move_up(foods, near & (state.food_level > 0))
        # Agents are looked for in a window of full size, even where the grid cuts it short.
        offset = state.position - corner
        in_window = _both((offset >= 0) & (offset <= 2 * self.sight))
        agents = _encode(offset, 0)
        others = _move_up(agents, in_window & (jnp.arange(self.num_agents) != agent))
        entries = jnp.concatenate([foods, _encode(own - corner, 0)[None], others[:-1]])
        return _decode(entries).reshape(-1)

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
            (i, j), found = _draw_cell(draw, allowed)
            far = abs(row - (i + 1)) + abs(column - (j + 1)) >= FOOD_SPACING
            cell = jnp.where(found, (i + 1) * self.size + (j + 1), self.size**2)
            return allowed & far, cell

        _, cell = jax.lax.scan(place, ~agent.any(axis=0), draws)
        cell = jnp.sort(cell)
        return self._row_and_column(cell), cell < self.size**2

    def _row_and_column(self, cell: Int[Array, "*batch"]) -> Int[Array, "*batch 2"]:
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

    ``strength`` is the level of the agents that load, 0 for others.
    """
    beside = _steps_apart(position, food_position) == 1
    strength = jnp.where(beside, strength, 0)
    total = strength.sum()
    loaded = (food_level > 0) & (total >= food_level)
    gain = jnp.where(loaded, food_level / jnp.maximum(total, 1), 0) * strength
    return jnp.where(loaded, 0, food_level), gain


def _same_cell(a: Int[Array, "*batch 2"], b: Int[Array, "2"]) -> Bool[Array, "*batch"]:
    return (a[..., 0] == b[..., 0]) & (a[..., 1] == b[..., 1])


def _both(x):
    return x[..., 0] & x[..., 1]

def _steps_apart(a, b):
    return abs(a[..., 0] - b[..., 0]) + abs(a[..., 1] - b[..., 1])


def _draw_cell(
    draw: Float[Array, ""], allowed: Bool[Array, "row column"]
) -> tuple[tuple[Int[Array, ""], Int[Array, ""]], Bool[Array, ""]]:
    """One of the allowed cells, all equally likely, by a draw in [0, 1); and whether there is any.

    First the row, by how many allowed cells the rows before it hold, then the cell in it.
    """
    up_to_row = _running_sum(allowed.sum(axis=1))
    place = (draw * up_to_row[-1]).astype(jnp.int32)
    passed = up_to_row <= place
    row = passed.sum()
    before = jnp.where(passed, up_to_row, 0).max()
    in_row = (allowed & (jnp.arange(len(allowed)) == row)[:, None]).any(axis=0)
    column = (_running_sum(in_row) <= place - before).sum()
    return (row, column), up_to_row[-1] > 0


def _move_up(entry: Int[Array, " slot"], seen: Bool[Array, " slot"]) -> Int[Array, " slot"]:
    """The entries that are seen, in order, then zeros."""
    slots = jnp.arange(len(seen))
    goes = seen & (_running_sum(seen) - 1 == slots[:, None])
    return jnp.where(goes, entry, 0).sum(axis=-1)


def _running_sum(x):
    slots = jnp.arange(len(x))
    return jnp.where(slots <= slots[:, None], x, 0).sum(axis=-1)


SHIFTS=np.array([16,8,0])
def _encode(position, level):
    """One number per entry."""
    return ((position[..., 0] + 1) << 16) + ((position[..., 1] + 1) << 8) + level

def _decode(entry):
    return (((entry[..., None] >> SHIFTS) & 255) + np.array(UNSEEN)).astype(jnp.float32)

NAMES = ("foraging-fixed-8x8-4p-3f", "foraging-2s-fixed-8x8-3p-2f", "foraging-fixed-10x10-6p-4f-coop")
PATTERNS = ("foraging-fixed-10x10-3p-3f (any size, agents p, food f)",)


def parse(name):
    m = re.fullmatch(r"foraging(-2s)?-fixed-(\d+)x(\d+)-(\d+)p-(\d+)f(-coop)?", name)
    if m is None:
        return None
    size = int(m[2])
    return Foraging(name, size, int(m[4]), int(m[5]), SHORT_SIGHT if m[1] else size, bool(m[6]))
