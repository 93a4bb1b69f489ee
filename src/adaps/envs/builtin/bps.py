"""Blind-Particle Spread: agents that cannot see their kind. Stage: environment.

Each agent must reach the landmark of its own group, among several landmarks, and no observation
says which group it is in. Only its rewards do. From the SePS paper (arXiv 2102.07475).
"""

import random
import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from adaps.envs.autoreset import auto_reset
from adaps.envs.builtin.bps_bound import (
    DAMPING,
    DIRECTIONS,
    EPISODE_STEPS,
    FORCE,
    STEP_SECONDS,
    best_cost,
)
from adaps.errors import UserError
from adaps.types import Observation, Timestep

REWARD_SCALE = 0.5
LANDMARK_RANGE = 3.0
"""Landmarks lie in the square of this half-width, agents start in that of half-width 1."""

VARIANTS = {
    1: (5, 5, 5),
    2: (10, 10, 10),
    3: (6, 6, 6, 6, 6),
    4: (3, 3, 3, 12, 9),
    5: (5, 5, 5),
    6: (6, 6, 6, 6, 6),
}
SHUFFLED_VARIANTS = (5, 6)


class State(NamedTuple):
    position: Float[Array, "agent 2"]
    velocity: Float[Array, "agent 2"]
    landmark: Float[Array, "group 2"]
    time: Int[Array, ""]
    """Steps taken in this episode."""


@dataclass(frozen=True)
class BlindParticleSpread:
    """Groups of particles, one landmark per group, and nothing that shows an agent its group.

    Args:
        name: the name it is made by, for result files.
        groups: number of agents in each group.
        shuffled: whether each group reads its observation in an order of its own.
    """

    name: str
    groups: tuple[int, ...]
    shuffled: bool = False

    num_actions = len(DIRECTIONS)
    max_steps = EPISODE_STEPS

    @property
    def num_agents(self) -> int:
        return sum(self.groups)

    @property
    def obs_size(self) -> int:
        """Own velocity, own position, and where each landmark lies from here."""
        return 4 + 2 * len(self.groups)

    @cached_property
    def agent_types(self) -> tuple[int, ...]:
        return tuple(int(g) for g in np.repeat(np.arange(len(self.groups)), self.groups))

    def reset(self, key: Key[Array, ""]) -> tuple[State, Timestep]:
        num_points = self.num_agents + len(self.groups)
        points = jax.random.uniform(key, (num_points, 2), minval=-1, maxval=1)
        state = State(
            position=points[: self.num_agents],
            velocity=jnp.zeros((self.num_agents, 2)),
            landmark=LANDMARK_RANGE * points[self.num_agents :],
            time=jnp.zeros((), jnp.int32),
        )
        return state, self._timestep(state, reward=jnp.zeros(self.num_agents))

    def step(
        self, key: Key[Array, ""], state: State, action: Int[Array, " agent"]
    ) -> tuple[State, Timestep]:
        return auto_reset(self.reset, key, *self.advance(key, state, action))

    def advance(
        self, key: Key[Array, ""], state: State, action: Int[Array, " agent"]
    ) -> tuple[State, Timestep]:
        """:meth:`step` without the reset at the end of an episode."""
        velocity, position = jax.vmap(_move)(state.velocity, state.position, action)
        state = state._replace(velocity=velocity, position=position, time=state.time + 1)
        distance = jnp.linalg.norm(self._to_own_landmark(state), axis=-1)
        return state, self._timestep(state, reward=-REWARD_SCALE * distance)

    def best_return(self, state: State) -> Float[Array, ""]:
        """Return of the best possible play from a state just reset, summed over agents."""
        return -REWARD_SCALE * best_cost(self._to_own_landmark(state)).sum()

    def _to_own_landmark(self, state: State) -> Float[Array, "agent 2"]:
        return state.landmark[jnp.array(self.agent_types)] - state.position

    def _timestep(self, state: State, reward: Float[Array, " agent"]) -> Timestep:
        obs = self._observe(state)
        legal = jnp.ones((self.num_agents, self.num_actions), bool)
        observation = Observation(obs, legal)
        return Timestep(
            observation=observation,
            reward=reward,
            terminated=jnp.zeros((), bool),
            truncated=state.time >= EPISODE_STEPS,
            final=observation,
        )

    def _observe(self, state: State) -> Float[Array, "agent obs"]:
        to_landmarks = state.landmark[None] - state.position[:, None]
        raw = jnp.concatenate(
            [state.velocity, state.position, to_landmarks.reshape(self.num_agents, -1)], axis=-1
        )
        return jnp.take_along_axis(raw, self._reading_order, axis=-1) if self.shuffled else raw

    @cached_property
    def _reading_order(self) -> np.ndarray:
        """Which raw entry each agent reads where, ``int[agent, obs]``: one order per group."""
        return np.array([_shuffled_order(group, self.obs_size) for group in self.agent_types])


def _move(
    velocity: Float[Array, "2"], position: Float[Array, "2"], action: Int[Array, ""]
) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
    """Accelerate, then move: the order of the SePS authors' fork (mpe2 moves first)."""
    force = FORCE * jnp.array(DIRECTIONS)[action]
    velocity = (1 - DAMPING) * velocity + STEP_SECONDS * force
    return velocity, position + STEP_SECONDS * velocity


def _shuffled_order(group: int, size: int) -> list[int]:
    order = list(range(size))
    random.Random(group).shuffle(order)
    return order


NAMES = tuple(f"bps-{v}" for v in VARIANTS)
PATTERNS = ("bps:5-5-5 (any groups)", "bps:5-5-5-shuffled")


def parse(name: str) -> BlindParticleSpread | None:
    """The environment of a name such as ``bps-3`` or ``bps:5-5-5-shuffled``, None if not ours.

    Raises:
        UserError: a name that starts as ours, but states no groups that can be built.
    """
    if variant := re.fullmatch(r"bps-(\d+)", name, re.ASCII):
        number = int(variant[1])
        if number in VARIANTS:
            return BlindParticleSpread(name, VARIANTS[number], number in SHUFFLED_VARIANTS)
    if not name.startswith("bps:"):
        return None
    custom = re.fullmatch(r"bps:([1-9]\d{0,3}(?:-[1-9]\d{0,3})*)(-shuffled)?", name, re.ASCII)
    if custom is None:
        raise UserError(
            f"environment '{name}': groups are whole numbers of agents from 1 to 9999 joined by "
            "'-', such as bps:5-5-5 or bps:2-7-1-shuffled"
        )
    return BlindParticleSpread(name, tuple(map(int, custom[1].split("-"))), bool(custom[2]))
