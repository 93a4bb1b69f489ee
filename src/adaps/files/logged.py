"""Transitions from a file, for agents whose environment is not at hand. Stage: identity.

A ``.npz`` file with these arrays, where ``env`` may be left out:

- ``obs`` and ``next_obs``, ``float[time, env, agent, obs]``: before and after each step, the latter
  before any reset;
- ``action``, ``int[time, env, agent]``, or ``float[time, env, agent, action]`` if continuous;
- ``reward``, ``float[time, env, agent]``;
- and if known ``agent_types``, ``int[agent]``, and ``agent_names``, ``str[agent]``.
"""

import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from adaps.errors import UserError
from adaps.files.plain_files import open_plain
from adaps.identity import samples
from adaps.identity.samples import BLOCKS, Gathered, Rows, Steps

LEAST_STEPS = 2 * BLOCKS
MOST_ACTIONS = 1024
"""Discrete actions, which become as many numbers each."""


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


def read(path: Path) -> Logged:
    """What a file of transitions holds.

    Raises:
        UserError: it cannot be read, an array is missing or has a shape that does not fit, there
            are too few steps, or a number is not finite; the message names agent and step.
    """
    arrays = _arrays(path)
    missing = [name for name in ("obs", "next_obs", "action", "reward") if name not in arrays]
    if missing:
        raise UserError(f"{path} lacks the arrays {', '.join(missing)}")
    reward = arrays["reward"]
    if reward.ndim not in (2, 3):
        raise UserError(
            f"{path}: reward must be [time, agent] or [time, env, agent], not {reward.shape}"
        )
    with_envs = reward.ndim == 3
    parts = {
        name: array if with_envs or array.ndim == 0 else array[:, None]
        for name, array in arrays.items()
        if name in ("obs", "next_obs", "action", "reward")
    }
    _check(path, parts)
    action = parts["action"]
    if action.ndim == parts["reward"].ndim:
        action = np.eye(int(action.max()) + 1, dtype=np.float32)[action.astype(int)]
    types, names = arrays.get("agent_types"), arrays.get("agent_names")
    num_agents = parts["reward"].shape[2]
    for name, labels in (("agent_types", types), ("agent_names", names)):
        if labels is not None and labels.shape != (num_agents,):
            raise UserError(f"{path}: {name} has shape {labels.shape} for {num_agents} agents")
    return Logged(
        path.name,
        parts["obs"].astype(np.float32),
        action.astype(np.float32),
        parts["next_obs"].astype(np.float32),
        parts["reward"].astype(np.float32),
        None if types is None else tuple(np.unique(types, return_inverse=True)[1].tolist()),
        None if names is None else tuple(map(str, names)),
    )


def gathered(logged: Logged) -> Gathered:
    """All that is logged, as one round of gathering."""
    steps = Steps(*map(jnp.asarray, (logged.obs, logged.action, logged.next_obs, logged.reward)))
    thinning = samples.thinning(logged.num_agents, 1, logged.num_steps // BLOCKS)
    sizes = (logged.obs.shape[-1] + logged.action.shape[-1], logged.obs.shape[-1] + 1)
    nothing = samples.nothing_yet(logged.num_agents, *sizes, thinning.rows)
    return _take_in(nothing, steps, thinning, BLOCKS * logged.num_agents * thinning.rows)


_take_in = jax.jit(samples.take_in, static_argnums=(2, 3))


def rows_of_agent(logged: Logged, agent: int) -> Rows:
    """All transitions of one agent, as ``[row, …]``."""
    parts = (logged.obs, logged.action, logged.next_obs, logged.reward)
    own = (x[:, :, agent] for x in parts)
    return samples.regression(Steps(*(jnp.asarray(x.reshape(-1, *x.shape[2:])) for x in own)))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with open_plain(path) as opened:
            if not zipfile.is_zipfile(opened):
                raise UserError(f"{path} is no .npz file of plain arrays: not a zip file")
            opened.seek(0)
            with np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except UserError:
        raise
    except (ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        hint = "; pad observations of different sizes to one" if "Object" in str(error) else ""
        raise UserError(f"{path} is no .npz file of plain arrays: {error}{hint}") from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise UserError(f"{path} is no .npz file of plain arrays: {name} is none")
    return arrays


def _check(path: Path, parts: dict[str, np.ndarray]) -> None:
    shape = parts["reward"].shape
    for name in ("obs", "next_obs"):
        if parts[name].ndim != 4 or parts[name].shape[:3] != shape:
            raise UserError(f"{path}: {name} must be {(*shape, 'obs')}, not {parts[name].shape}")
    if parts["obs"].shape != parts["next_obs"].shape:
        raise UserError(
            f"{path}: obs and next_obs differ in shape: {parts['obs'].shape} and "
            f"{parts['next_obs'].shape}"
        )
    action = parts["action"]
    discrete = action.shape == shape
    if not discrete and (action.ndim != 4 or action.shape[:3] != shape):
        raise UserError(f"{path}: action must be {shape} or {(*shape, 'action')}")
    if shape[0] * shape[1] < LEAST_STEPS or shape[2] < 1:
        raise UserError(
            f"{path}: at least {LEAST_STEPS} steps of an agent or more are needed, not "
            f"{shape[0] * shape[1]} of {shape[2]}"
        )
    for name, array in parts.items():
        if array.dtype.kind not in "iuf":
            raise UserError(f"{path}: {name} holds no numbers but {array.dtype}")
        _check_finite(path, name, array)
    whole = (action >= 0) & (action < MOST_ACTIONS) & (action % 1 == 0)
    if discrete and not whole.all():
        raise UserError(f"{path}: actions must be whole numbers from 0 to {MOST_ACTIONS - 1}")


def _check_finite(path: Path, name: str, array: np.ndarray) -> None:
    with np.errstate(over="ignore"):
        wrong = np.argwhere(~np.isfinite(array.astype(np.float32)))
    if len(wrong):
        step, env, agent = wrong[0][:3]
        raise UserError(
            f"{path}: {name} of agent {agent} at step {step} in copy {env} is not finite, or "
            "too great"
        )
