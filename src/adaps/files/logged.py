"""Transitions from a file, instead of an environment. Stage: identity.

A ``.npz`` file with these arrays, where the axis ``env`` may be missing:

- ``obs`` and ``next_obs``, ``float[time, env, agent, obs]``: before and after each step, the latter
  before any reset;
- ``action``, ``int[time, env, agent]``, or ``float[time, env, agent, action]`` if continuous;
- ``reward``, ``float[time, env, agent]``;
- and if known ``agent_types``, ``int[agent]``, and ``agent_names``, ``str[agent]``.
"""

import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.lib.format as npy
from jaxtyping import Float

from adaps.errors import UserError
from adaps.files.plain_files import free_memory, open_plain
from adaps.identity import samples
from adaps.identity.samples import BLOCKS, Gathered, Rows, Steps

TRANSITIONS, LABELS = ("obs", "action", "next_obs", "reward"), ("agent_types", "agent_names")
LEAST_STEPS = 2 * BLOCKS
MOST_ACTIONS = 1024
"""Discrete actions, which become as many numbers each."""

Arrays = Mapping[str, np.ndarray]


class Logged(NamedTuple):
    """What a file holds."""

    name: str
    obs: Float[np.ndarray, "time env agent obs"]
    action: Float[np.ndarray, "time env agent action"]
    """One-hot if it was discrete."""
    next_obs: Float[np.ndarray, "time env agent obs"]
    reward: Float[np.ndarray, "time env agent"]
    agent_types: tuple[int, ...] | None
    agent_names: tuple[str, ...] | None

    @property
    def num_agents(self) -> int:
        return self.obs.shape[2]

    @property
    def num_steps(self) -> int:
        """Steps of all copies."""
        return self.obs.shape[0] * self.obs.shape[1]

    @property
    def steps(self) -> Steps:
        return Steps(*map(jnp.asarray, (self.obs, self.action, self.next_obs, self.reward)))


def read(path: Path) -> Logged:
    """What a file of transitions holds.

    Raises:
        UserError: it cannot be read, an array is missing or has a shape that does not fit, there
            are too few steps, or a number is not finite; the message names agent and step.
    """
    arrays = _arrays(path)
    if "reward" in arrays and arrays["reward"].ndim == 2:
        with_envs = {n: a[:, None] for n, a in arrays.items() if n in TRANSITIONS and a.ndim}
        arrays = {**arrays, **with_envs}
    if (fault := next(_faults(arrays), None)) is not None:
        raise UserError(f"{path}: {fault}")
    types, names = map(arrays.get, LABELS)
    obs, action, next_obs, reward = (arrays[name].astype(np.float32) for name in TRANSITIONS)
    if action.ndim == 3:
        action = np.eye(int(action.max()) + 1, dtype=np.float32)[action.astype(int)]
    numbers = None if types is None else tuple(np.unique(types, return_inverse=True)[1].tolist())
    labels = None if names is None else tuple(map(str, names))
    return Logged(path.name, obs, action, next_obs, reward, numbers, labels)


def gathered(logged: Logged) -> Gathered:
    """All that is logged, as one round of gathering."""
    thinning = samples.thinning(logged.num_agents, 1, logged.num_steps // BLOCKS)
    sizes = (logged.obs.shape[-1] + logged.action.shape[-1], logged.obs.shape[-1] + 1)
    empty = samples.empty(logged.num_agents, *sizes, thinning.rows)
    most_rare = BLOCKS * logged.num_agents * thinning.rows
    return _accumulate(empty, logged.steps, thinning, most_rare)


_accumulate = jax.jit(samples.accumulate, static_argnums=(2, 3))


def rows_of_agent(logged: Logged, agent: int) -> Rows:
    """All transitions of one agent, as ``[row, …]``."""
    rows = samples.regression(Steps(*(x[:, :, agent] for x in logged.steps[:4])))
    return Rows(*(x.reshape(-1, x.shape[-1]) for x in rows))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file."""
    try:
        with open_plain(path) as opened:
            if not zipfile.is_zipfile(opened):
                raise ValueError("not a zip file")
            _check_sizes(opened)
            opened.seek(0)
            with np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        hint = "; pad observations of different sizes to one" if "Object" in str(error) else ""
        raise UserError(f"{path} is no .npz file of plain arrays: {error}{hint}") from None
    return arrays


def _check_sizes(opened: BinaryIO) -> None:
    """Refuse arrays that claim more numbers than there are, before room is made for them.

    Raises:
        ValueError: with the first of them, or what is no array; or all are too many for the memory.
    """
    with zipfile.ZipFile(opened) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > free_memory():
            raise ValueError("its arrays do not fit into the memory that is free")
        for member in members:
            with archive.open(member) as file:
                if file.read(len(npy.MAGIC_PREFIX)) != npy.MAGIC_PREFIX:
                    raise ValueError(f"{member.filename} is not an array")
                is_first = file.read(2) == b"\1\0"
                header = npy.read_array_header_1_0 if is_first else npy.read_array_header_2_0
                shape, _, dtype = header(file)
                size = file.tell() + math.prod(shape) * dtype.itemsize
            if not dtype.hasobject and size != member.file_size:
                raise ValueError(f"{member.filename} has {member.file_size:,} bytes, not {size:,}")


def _faults(arrays: Arrays) -> Iterator[str]:
    """What is wrong; each question may assume that the answers to those above it were good."""
    if missing := [name for name in TRANSITIONS if name not in arrays]:
        yield f"it lacks the arrays {', '.join(missing)}"
    obs, action, next_obs, reward = (arrays[name] for name in TRANSITIONS)
    shape = reward.shape
    if reward.ndim != 3:
        yield f"reward must be [time, agent] or [time, env, agent], not {shape}"
    for name in ("obs", "next_obs"):
        if arrays[name].ndim != 4 or arrays[name].shape[:3] != shape:
            yield f"{name} must be {(*shape, 'obs')}, not {arrays[name].shape}"
    if obs.shape != next_obs.shape:
        yield f"obs and next_obs differ in shape: {obs.shape} and {next_obs.shape}"
    discrete = action.shape == shape
    if not discrete and (action.ndim != 4 or action.shape[:3] != shape):
        yield f"action must be {shape} or {(*shape, 'action')}, not {action.shape}"
    steps, num_agents = shape[0] * shape[1], shape[2]
    if steps < LEAST_STEPS or num_agents < 1:
        yield (
            f"at least {LEAST_STEPS} steps of an agent or more are needed, not {steps} of "
            f"{num_agents}"
        )
    for name in TRANSITIONS:
        yield from _faulty_numbers(name, arrays[name])
    is_number = (action >= 0) & (action < MOST_ACTIONS) & (action % 1 == 0)
    if discrete and not is_number.all():
        yield f"actions must be whole numbers from 0 to {MOST_ACTIONS - 1}"
    for name in LABELS:
        if name in arrays and arrays[name].shape != (num_agents,):
            yield f"{name} has shape {arrays[name].shape} for {num_agents} agents"


def _faulty_numbers(name: str, array: np.ndarray) -> Iterator[str]:
    if array.dtype.kind not in "iuf":
        yield f"{name} must hold numbers, not {array.dtype}"
    with np.errstate(over="ignore"):
        wrong = np.argwhere(~(np.abs(array.astype(np.float32)) <= samples.LARGEST))
    if len(wrong):
        step, env, agent = wrong[0][:3]
        yield f"{name} of agent {agent} at step {step} in copy {env} is not finite, or too great"
