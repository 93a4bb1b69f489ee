"""Computes the table of best costs of Blind-Particle Spread again, by planning.

The planner rests on one fact. Without force, an agent comes to rest at ``q = p + 0.3 v``, and a
push moves that point by exactly 0.2 whatever the speed. So an agent that starts at rest has its
``q`` on a lattice for good, and value iteration over ``(q, v)`` interpolates in ``v`` only. Its
values then rank the states of a beam search, which keeps exact positions and speeds: every cost
in the table is that of an action sequence that exists.

From the root of the repository, in five and a half minutes on one core:

    python experiments/bps_planner.py
"""

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy import ndimage

from adaps.envs.builtin import bps_bound
from adaps.envs.builtin.bps_bound import (
    COAST_SECONDS,
    DAMPING,
    DIRECTIONS,
    EPISODE_STEPS,
    HOP,
    KEPT,
    PUSH,
    SPACING,
    TABLE_SIZE,
)

TOP_SPEED = PUSH / DAMPING

BEAM = 200

SPEEDS = np.linspace(-TOP_SPEED, TOP_SPEED, 33)
OVERSHOOT_HOPS = 5
"""The lattice reaches this far beyond the landmark, for paths that swing past it."""
SAME_SPEED = 0.005
"""Beam states at one lattice point whose speeds round alike to this are taken for one."""


def plan(offset: Float[np.ndarray, "2"], beam: int = BEAM) -> float:
    """Cost of the best action sequence that a beam search finds from rest at an offset, in metres.

    Never below the least cost. Doubling the default beam lowered it by 0.024 % at most over the
    330 offsets that ``bps_bound.py`` names.
    """
    offset = np.abs(offset)
    return _beam_search(_make_guide(offset), offset, beam)


class Guide(NamedTuple):
    """Estimated cost still to come, for agents whose resting point lies on one lattice."""

    origin: Float[np.ndarray, "2"]
    """Lattice point of index (0, 0), relative to the landmark."""
    values: Float32[np.ndarray, "time x y speed_x speed_y"]


class Beam(NamedTuple):
    """Agents after some steps, each by a different action sequence."""

    point: Int[np.ndarray, "beam 2"]
    """Index of the lattice point where the agent would come to rest."""
    velocity: Float[np.ndarray, "beam 2"]
    cost: Float[np.ndarray, " beam"]


def _make_guide(farthest: Float[np.ndarray, "2"]) -> Guide:
    """Value iteration backwards from the end, on the lattice through ``farthest``."""
    hops = np.ceil(farthest / HOP - 1e-9).astype(int) + OVERSHOOT_HOPS
    origin = farthest - HOP * hops
    sizes = hops + 2
    distances = [_distance_after(push, origin, sizes) for push in DIRECTIONS]
    values = np.zeros((EPISODE_STEPS + 1, *sizes, len(SPEEDS), len(SPEEDS)), np.float32)
    for t in reversed(range(EPISODE_STEPS)):
        choices = [
            distance + _value_after(push, values[t + 1])
            for push, distance in zip(DIRECTIONS, distances, strict=True)
        ]
        values[t] = functools.reduce(np.minimum, choices)
    return Guide(origin, values)


def _distance_after(
    push: Int[np.ndarray, "2"], origin: Float[np.ndarray, "2"], sizes: Int[np.ndarray, "2"]
) -> Float32[np.ndarray, "x y speed_x speed_y"]:
    """Distance to the landmark after a push, from every lattice point and speed."""
    x, y = (
        (start + HOP * (np.arange(size) + sign))[:, None]
        - COAST_SECONDS * (KEPT * SPEEDS + PUSH * sign)
        for start, size, sign in zip(origin, sizes, push, strict=True)
    )
    return np.hypot(x[:, None, :, None], y[None, :, None, :]).astype(np.float32)


def _value_after(
    push: Int[np.ndarray, "2"], values: Float32[np.ndarray, "x y speed_x speed_y"]
) -> Float32[np.ndarray, "x y speed_x speed_y"]:
    """Values where a push leads: an exact shift of the lattice, an interpolation in speed."""
    x, y = (
        np.clip(np.arange(size) + sign, 0, size - 1)
        for size, sign in zip(values.shape, push, strict=False)
    )
    return _speed_weights(push[0]) @ values[np.ix_(x, y)] @ _speed_weights(push[1]).T


@functools.cache
def _speed_weights(sign: np.integer) -> Float32[np.ndarray, "before after"]:
    """Matrix that interpolates a function on ``SPEEDS`` at the speeds after a push."""
    after = KEPT * SPEEDS + PUSH * sign
    columns = [np.interp(after, SPEEDS, one_hot) for one_hot in np.eye(len(SPEEDS))]
    return np.stack(columns, axis=1).astype(np.float32)


def _beam_search(guide: Guide, offset: Float[np.ndarray, "2"], beam: int) -> float:
    start = np.rint((offset - guide.origin) / HOP).astype(int)
    agents = Beam(start[None], np.zeros((1, 2)), np.zeros(1))
    for t in range(EPISODE_STEPS):
        agents = _push_every_way(agents, guide.origin)
        agents = _keep_best(agents, guide.values[t + 1], beam)
    return float(agents.cost.min())


def _push_every_way(agents: Beam, origin: Float[np.ndarray, "2"]) -> Beam:
    point = (agents.point[:, None] + DIRECTIONS).reshape(-1, 2)
    velocity = (KEPT * agents.velocity[:, None] + PUSH * DIRECTIONS).reshape(-1, 2)
    position = origin + HOP * point - COAST_SECONDS * velocity
    cost = np.repeat(agents.cost, len(DIRECTIONS)) + np.hypot(*position.T)
    return Beam(point, velocity, cost)


def _keep_best(agents: Beam, values: Float32[np.ndarray, "x y speed_x speed_y"], beam: int) -> Beam:
    """The agents of least cost, so far and to come, and of near-identical ones only the best."""
    speed_index = (agents.velocity + TOP_SPEED) / (SPEEDS[1] - SPEEDS[0])
    where = [*agents.point.T, *speed_index.T]
    total = agents.cost + ndimage.map_coordinates(values, where, order=1, mode="nearest")
    order = np.argsort(total)
    _, first = np.unique(_identity(agents, values.shape)[order], return_index=True)
    kept = order[np.sort(first)[:beam]]
    return Beam(agents.point[kept], agents.velocity[kept], agents.cost[kept])


def _identity(agents: Beam, shape: tuple[int, ...]) -> Int[np.ndarray, " beam"]:
    """A number that near-identical agents share."""
    levels = round(2 * TOP_SPEED / SAME_SPEED) + 1
    level = np.rint((agents.velocity + TOP_SPEED) / SAME_SPEED).astype(int)
    cell: list[np.ndarray] = [*agents.point.T, *level.T]
    return np.ravel_multi_index(cell, (*shape[:2], levels, levels), mode="clip")


def _compute_table() -> Float[np.ndarray, "offset offset"]:
    """Costs on and above the diagonal, 0 below; one guide serves all offsets on its lattice."""
    table = np.zeros((TABLE_SIZE, TABLE_SIZE))
    phases = [(a, b) for b in range(round(HOP / SPACING)) for a in range(b + 1)]
    for done, phase in enumerate(phases, start=1):
        for i, j, cost in _plan_lattice(phase):
            table[min(i, j), max(i, j)] = cost
        print(f"lattice {done} of {len(phases)}", flush=True)
    return table


def _plan_lattice(phase: tuple[int, int]) -> Iterator[tuple[int, int, float]]:
    """Row, column and cost of the table entries that lie on one lattice."""
    rows, columns = (range(start, TABLE_SIZE, round(HOP / SPACING)) for start in phase)
    guide = _make_guide(SPACING * np.array([rows[-1], columns[-1]]))
    for i, j in itertools.product(rows, columns):
        if rows != columns or i <= j:
            yield i, j, _beam_search(guide, SPACING * np.array([i, j]), BEAM)


if __name__ == "__main__":
    path = Path(bps_bound.__file__).with_suffix(".csv")
    np.savetxt(path, _compute_table().round(4), fmt="%.7g", delimiter=",")
