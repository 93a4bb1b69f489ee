"""A trained policy to act with, and the file it is kept in. Stage: evaluation."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from adaps.collect.evaluate import act
from adaps.config.saved import part_from_json, part_to_json
from adaps.envs.agent_io import Agents, as_arrays
from adaps.errors import CodeError, UserError
from adaps.extensions import Source, close_folder, code_allowed
from adaps.files.checkpoint import from_arrays, to_arrays
from adaps.files.plain_files import open_plain, parsed
from adaps.files.run_folder import RunFolder, policy_file, saved_seeds
from adaps.files.sharing_arrays import sharing_from_arrays
from adaps.networks.agent import Agent, Choice, greedy, sampled
from adaps.networks.weights import count_params, num_sets_used
from adaps.sharing.method import DATA_ONLY
from adaps.types import (
    SCHEMA,
    Action,
    Box,
    Discrete,
    Memory,
    Network,
    NetworkShape,
    Observation,
    Params,
    Sharing,
)

ROOM = 2**26
"""Numbers that a policy is made room for, whatever its file holds."""


@dataclass(frozen=True)
class Policy:
    """One seed's trained team."""

    agent: Agent
    params: Params
    sharing: Sharing
    agents: Agents
    """Names and spaces."""

    @property
    def shape(self) -> NetworkShape:
        """Numbers of agents, observations and actions."""
        return self.agent.network.shape

    @property
    def num_params(self) -> int:
        """Trainable numbers."""
        return count_params(self.params)

    def memory(self, num_envs: int = 1) -> Memory:
        """What to call :meth:`step` with first; ``()`` where the policy remembers nothing."""
        return self.agent.memory(num_envs)

    def act(
        self,
        obs: Float[Array, "*batch agent obs"] | Float[np.ndarray, "*batch agent obs"],
        key: Key[Array, ""] | None = None,
        legal: Bool[Array, "*batch agent action"]
        | Bool[np.ndarray, "*batch agent action"]
        | None = None,
    ) -> Action:
        """Actions of all agents: the most likely ones, or drawn where a ``key`` is given.

        Args:
            obs: observations of all agents, in the order of ``agents.names``, with any leading
                axes.
            key: JAX key to draw with.
            legal: which actions may be taken; all where it is not given.

        Raises:
            UserError: the observations have another shape than the policy was trained on, or the
                policy remembers: then use :meth:`step`.
        """
        if jax.tree.leaves(self.memory()):
            raise UserError("this policy remembers: use step, which takes and returns its memory")
        return self.step((), obs, key, legal)[1]

    def step(
        self,
        memory: Memory,
        obs: Float[Array, "*batch agent obs"] | Float[np.ndarray, "*batch agent obs"],
        key: Key[Array, ""] | None = None,
        legal: Bool[Array, "*batch agent action"]
        | Bool[np.ndarray, "*batch agent action"]
        | None = None,
        first: Bool[Array, "*batch agent"] | Bool[np.ndarray, "*batch agent"] | None = None,
    ) -> tuple[Memory, Action]:
        """As :meth:`act`, with what the agents remember from step to step.

        Args:
            memory: what the last step returned, or :meth:`memory` of as many copies as ``obs``
                has on its leading axis.
            obs: as for :meth:`act`.
            key: as for :meth:`act`.
            legal: as for :meth:`act`.
            first: whether an agent begins an episode, so that its memory is forgotten; none where
                it is not given.

        Raises:
            UserError: the observations have another shape than the policy was trained on.
        """
        obs = jnp.asarray(obs, jnp.float32)
        expected = (self.shape.num_agents, self.shape.obs_size)
        if obs.shape[-2:] != expected:
            raise UserError(
                f"observations must end in (agents, numbers) = {expected}, not {tuple(obs.shape)}"
            )
        legal_or_all = None if legal is None else jnp.asarray(legal, bool)
        first = jnp.zeros(obs.shape[:-1], bool) if first is None else jnp.asarray(first, bool)
        choose: Choice = greedy if key is None else sampled
        key = jax.random.key(0) if key is None else key
        parts = (self.params, self.sharing, key, memory, Observation(obs, legal_or_all), first)
        return act(self.agent, choose, *parts)

    def act_by_name(
        self,
        obs: Mapping[str, Any],
        key: Key[Array, ""] | None = None,
        legal: Mapping[str, Any] | None = None,
    ) -> dict[str, int]:
        """Actions of the agents that are there, in the environment's own names and numbers.

        Args:
            obs: what each agent sees, as its environment gives it, action mask included.
            key: JAX key to draw with.
            legal: further masks of actions by agent; all actions where it is not given.

        Raises:
            UserError: an agent that the policy is not for, or an observation of another space.
        """
        seen = as_arrays(self.agents, obs, legal)
        actions = np.asarray(self.act(seen.obs, key, seen.legal))
        each = zip(self.agents.names, self.agents.spaces, actions, strict=True)
        return {name: int(a) + space.first_action for name, space, a in each if name in obs}

    def save(self, folder: RunFolder, seed: int, env_steps: int) -> None:
        """Keep it in a run's folder as a seed's policy of ``env_steps``.

        Raises:
            StorageError: it could not be written.
        """
        network, method = self.agent
        facts = {
            "schema": SCHEMA,
            "env_steps": env_steps,
            "agents": self.agents.to_json(),
            "network": part_to_json("network", network.options),
            "shape": _shape_to_json(network.shape),
            "method": None if method is DATA_ONLY else part_to_json("sharing", method),
        }
        # One entry, since the library writes several in any order.
        metadata, arrays = {"adaps": json.dumps(facts)}, to_arrays(Saved(self.params, self.sharing))
        folder.save_tensors(policy_file(folder.path, seed), arrays, metadata)


class Saved(NamedTuple):
    """The arrays of a policy's file."""

    params: Params
    sharing: Sharing


def load(folder: str | Path, seed: int | None = None, *, allow_code: bool = False) -> Policy:
    """The policy that a run's folder holds, of its first seed unless named.

    Args:
        folder: the run's.
        seed: whose policy; None: the first.
        allow_code: whether a network or sharing method of somebody's own, which the folder names,
            may be imported; one that you have imported already needs no such word.

    Raises:
        UserError: not a run's folder, no such seed, a damaged file, or code that is not allowed.
    """
    folder = Path(folder)
    seeds = _seeds(folder)
    file = policy_file(folder, seeds[0] if seed is None else seed)
    if not file.exists():
        raise UserError(f"{folder} has no policy of seed {seed}; it has {seeds}")
    try:
        with code_allowed(allow_code):
            return _loaded(Source(file, folder))
    except CodeError:
        raise
    except KeyError as error:
        raise UserError(f"{file} is damaged: it lacks {error}") from None
    except (SafetensorError, OSError, RecursionError, TypeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise UserError(f"{file} is damaged: {reason or ' '.join(str(error).split())}") from None


def all_of(folder: Path) -> dict[int, Policy]:
    """Every policy that a run's folder holds, by its seed.

    Raises:
        UserError: as :func:`load`.
    """
    return {seed: load(folder, seed) for seed in _seeds(folder)}


def _seeds(folder: Path) -> Sequence[int]:
    if not (seeds := saved_seeds(folder)):
        raise UserError(f"{folder} holds no trained policy")
    return seeds


def _loaded(source: Source) -> Policy:
    """What :meth:`Policy.save` saved; raises many kinds of errors where it is damaged."""
    file = source.file
    close_folder(source)
    with open_plain(file):
        arrays = load_file(file)
    with safe_open(file, "numpy") as opened:
        facts = parsed((opened.metadata() or {})["adaps"])
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise ValueError(f"it is of another version than this program's, {SCHEMA}")
    options = part_from_json("network", facts["network"], source)
    network = options.build(_shape_from_json(facts["shape"]))
    own = facts["method"]
    method = DATA_ONLY if own is None else part_from_json("sharing", own, source)
    prefix = "sharing."
    sharing = sharing_from_arrays(
        {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
    )
    check_sharing(network, sharing)
    _check_amount(network, sharing, arrays)
    like = Saved(method.init(jax.random.key(0), network, sharing), sharing)
    saved = from_arrays(like, arrays)
    agents = Agents.from_json(facts["agents"])
    _check_agents(network.shape, agents)
    return Policy(Agent(network, method), saved.params, saved.sharing, agents)


def _check_amount(network: Network, sharing: Sharing, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse a network for which the file has by far too few numbers, before any is made.

    Raises:
        ValueError: of its sizes.
    """
    obs_size, action_space, hidden = network.shape[1:]
    widths = (obs_size, *hidden, action_space[0])
    least = num_sets_used(sharing) * sum(one * other for one, other in pairwise(widths))
    if least > max(ROOM, sum(array.size for array in arrays.values())):
        raise ValueError(f"it does not hold the {least:,} numbers of a network of {widths}")


def _check_agents(shape: NetworkShape, agents: Agents) -> None:
    """Refuse agents of other sizes than the network's.

    Raises:
        ValueError: of the first.
    """
    if len(agents.names) != shape.num_agents or len(agents.spaces) != shape.num_agents:
        raise ValueError(f"it is for {shape.num_agents} agents, and names {len(agents.names)}")
    for name, space in zip(agents.names, agents.spaces, strict=True):
        sizes, most = (space.obs_size, space.num_actions), (shape.obs_size, shape.action_space[0])
        if not all(type(x) is int and 0 <= x <= y for x, y in zip(sizes, most, strict=True)):
            raise ValueError(f"agent {name!r:.40} is of another space than the network")


def check_sharing(network: Network, sharing: Sharing) -> None:
    """Refuse who-uses-what of another team or network, or that points to what is not there.

    Raises:
        ValueError: with what is wrong.
    """
    agents, obs_size = network.shape.num_agents, network.shape.obs_size
    _check_rows("param_set", sharing.param_set, agents, agents)
    _check_real("tags", sharing.tags, (agents, sharing.tags.size // agents))
    if sharing.masks.keys() != network.units.keys():
        raise ValueError(f"its masks are not those of the units {', '.join(network.units)}")
    for name, width in network.units.items():
        _check_real(f"the mask of {name}", sharing.masks[name], (agents, width))
    if sharing.scaling is not None:
        kinds = sharing.scaling.mean.size // obs_size
        _check_rows("scaling.kind", sharing.scaling.kind, agents, kinds)
        _check_real("scaling.mean", sharing.scaling.mean, (kinds, obs_size))
        _check_real("scaling.scale", sharing.scaling.scale, (kinds, obs_size))


def _check_real(name: str, array: Array, shape: tuple[int, ...]) -> None:
    if array.shape != shape or not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(
            f"{name} must be real numbers of shape {shape}, not {array.dtype} of {array.shape}"
        )


def _check_rows(name: str, rows: Array, num_agents: int, most: int) -> None:
    """Numbers of rows of another array, one for each agent."""
    if rows.shape != (num_agents,) or not jnp.issubdtype(rows.dtype, jnp.integer):
        raise ValueError(f"{name} must be {num_agents} whole numbers")
    if not (int(rows.min()) >= 0 and int(rows.max()) < most):
        raise ValueError(f"{name} must hold whole numbers below {most}")


def _shape_to_json(shape: NetworkShape) -> dict[str, Any]:
    return {**shape._asdict(), "action_space": shape.action_space._asdict()}


def _shape_from_json(data: Any) -> NetworkShape:
    """What :func:`_shape_to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: something else.
    """
    space = data["action_space"]
    made = Discrete(**space) if "num_actions" in space else Box(**space)
    hidden = tuple(data["hidden"])
    shape = NetworkShape(data["num_agents"], data["obs_size"], made, hidden)
    numbers = (shape.num_agents, shape.obs_size, *hidden, made[0])
    if not all(type(number) is int and 1 <= number <= 2**24 for number in numbers):
        raise ValueError(f"there is no network of these sizes: {numbers}")
    return shape
