"""Environments in JAX, seen to give what they must before anything is written. Stage: environment.

Only shapes and types are computed (:func:`jax.eval_shape`), so this compiles nothing.
"""

import textwrap
from collections.abc import Mapping, Set
from contextlib import suppress
from operator import index
from typing import Any
from weakref import WeakValueDictionary

import jax
import jax.numpy as jnp

from adaps.errors import UserError
from adaps.extensions import theirs
from adaps.types import (
    AgentEnds,
    AgentSpace,
    AnyEnvironment,
    Discrete,
    HostEnvironment,
    Observation,
    Timestep,
    action_space_of,
)

MEMBERS = (
    *("name", "num_agents", "obs_size", "num_actions", "max_steps", "agent_types"),
    *("reset", "step"),
)
"""Of an :class:`adaps.Environment`."""
FLAG, NUMBER = jnp.dtype(bool), jnp.dtype(jnp.float32)
"""What arrays must hold: nothing else can take their place from step to step."""


def checked(env: Any, name: str = "") -> Any:
    """An environment as it is, once it is seen to keep to what :class:`adaps.Environment` says.

    Args:
        env: an environment; one that runs in Python is checked where it is stepped.
        name: what the user calls it; where it is not given, its own name.

    Raises:
        UserError: one line that names the environment, and what it gave instead.
    """
    called = name or str(getattr(env, "name", type(env).__name__))
    if not isinstance(env, AnyEnvironment):
        lacking = ", ".join(member for member in MEMBERS if not hasattr(env, member))
        raise UserError(f"environment '{called}' is no adaps.Environment: it lacks {lacking}")
    if isinstance(env, HostEnvironment) or _known.get(id(env)) is env:
        return env
    _check_members(called, env)
    _check_functions(called, env)
    with suppress(TypeError):  # some objects cannot be remembered
        _known[id(env)] = env
    return env


_known: WeakValueDictionary[int, Any] = WeakValueDictionary()
"""What was checked before, by identity."""


def _check_functions(called: str, env: Any) -> None:
    """See what ``reset`` and ``step`` give."""
    key = jax.random.key(0)
    with theirs(f"environment '{called}': reset fails"):
        begun = jax.eval_shape(env.reset, key)
    state, first = _both(called, "reset", begun)
    _check_timestep(called, "reset", env, first)
    with theirs(f"environment '{called}': step fails"):
        then = jax.eval_shape(env.step, key, state, _actions(env))
    new_state, second = _both(called, "step", then)
    _check_timestep(called, "step", env, second)
    _check_same(called, "the state", state, new_state)
    _check_same(called, "the Timestep", first, second)


def outlined(value: Any) -> str:
    """An array by its type and shape; anything else by its class.

    >>> outlined(jnp.zeros((2, 3))), outlined(None), outlined([1])
    ('float32[2, 3]', 'None', 'a list')
    """
    if value is None:
        return "None"
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype}{list(value.shape)}"
    return f"a {type(value).__name__}"


def checked_types(env: str, given: Any, num_agents: int) -> tuple[int, ...] | None:
    """True types, a whole number for each agent; None where they are not known.

    Raises:
        UserError: they are something else.
    """
    if given is None:
        return None
    try:
        if isinstance(given, str | bytes | Mapping | Set):
            raise TypeError
        types = tuple(index(own) for own in given)
    except TypeError:
        text = textwrap.shorten(repr(given), 100, placeholder=" …")
        raise UserError(
            f"{env}: agent_types must be {num_agents} whole numbers, one for each agent, not "
            f"{text}; give agent_types (--agent-types)"
        ) from None
    if len(types) != num_agents:
        raise UserError(f"{env}: {len(types)} agent types for {num_agents} agents")
    return types


def as_count(number: Any) -> int | None:
    """A whole number from 1; None for all else."""
    try:
        return index(number) if index(number) >= 1 else None
    except TypeError:
        return None


def checked_limit(env: str, max_steps: Any) -> int | None:
    """How far evaluation goes in an episode; None: to its end.

    Raises:
        UserError: it is neither None nor a whole number from 1.
    """
    limit = as_count(max_steps)
    if limit is None and max_steps is not None:
        raise UserError(f"{env}: max_steps must be a whole number from 1, not {max_steps!r}")
    return limit


def _check_members(name: str, env: Any) -> None:
    if not isinstance(env.name, str):
        raise UserError(f"environment '{name}': its name must be text, not {env.name!r:.40}")
    for member in ("num_agents", "obs_size", "num_actions", "max_steps"):
        value = getattr(env, member)
        if not (type(value) is int and value >= 1) and (member, value) != ("max_steps", None):
            kind = type(value).__name__
            raise UserError(
                f"environment '{name}': its {member} must be an int of at least 1, not "
                f"{value!r:.40} ({kind})"
            )
    types = env.agent_types
    checked_types(name, types, env.num_agents)
    if types is not None and not (
        isinstance(types, tuple | list) and all(type(own) is int for own in types)
    ):
        raise UserError(f"environment '{name}': its agent_types must be a tuple of int")
    _check_action_space(name, env)
    spaces = getattr(env, "spaces", None)
    if spaces is not None and not all(isinstance(space, AgentSpace) for space in spaces):
        raise UserError(f"environment '{name}': its spaces must be of type AgentSpace")
    lengths = {"spaces": "num_agents", "agent_names": "num_agents", "obs_names": "obs_size"}
    for member, size in lengths.items():
        given = getattr(env, member, None)
        if given is not None and len(given) != getattr(env, size):
            raise UserError(
                f"environment '{name}': its {member} are {len(given)}, and its {size} is "
                f"{getattr(env, size)}"
            )


def _check_action_space(name: str, env: Any) -> None:
    """See that it is of plain numbers, which can be hashed and saved."""
    space = action_space_of(env)
    size, *bounds = space
    plain = type(size) is int and all(isinstance(bound, int | float) for bound in bounds)
    if not plain or size != env.num_actions:
        raise UserError(
            f"environment '{name}': its action_space must be of plain numbers, and its size "
            f"num_actions, {env.num_actions}: not {space!r:.80}"
        )


def _actions(env: Any) -> jax.ShapeDtypeStruct:
    space = action_space_of(env)
    if isinstance(space, Discrete):
        return jax.ShapeDtypeStruct((env.num_agents,), jnp.int32)
    return jax.ShapeDtypeStruct((env.num_agents, space.size), jnp.float32)


def _both(name: str, what: str, given: Any) -> tuple[Any, Timestep]:
    """What ``reset`` or ``step`` returned."""
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], Timestep):
        return given
    came = f"{len(given)} values" if isinstance(given, tuple) else outlined(given)
    raise UserError(
        f"environment '{name}': {what} must return its state and an adaps.Timestep, not {came}"
    )


def _check_timestep(name: str, what: str, env: Any, given: Timestep) -> None:
    """See that every part has its shape and type."""
    agents = (env.num_agents,)
    wanted: dict[str, tuple[Any, tuple[int, ...], jnp.dtype]] = {
        "reward": (given.reward, agents, NUMBER),
        "terminated": (given.terminated, (), FLAG),
        "truncated": (given.truncated, (), FLAG),
    }
    for part in ("observation", "final"):
        seen = getattr(given, part)
        if not isinstance(seen, Observation):
            raise UserError(
                f"environment '{name}': {part} of {what} must be an adaps.Observation, not "
                f"{outlined(seen)}"
            )
        wanted[f"{part}.obs"] = (seen.obs, (*agents, env.obs_size), NUMBER)
        optional = {"legal": (*agents, env.num_actions), "here": agents}
        for own, shape in optional.items():
            if (value := getattr(seen, own)) is not None:
                wanted[f"{part}.{own}"] = (value, shape, FLAG)
    if given.agent_ends is not None:
        for end in AgentEnds._fields:
            wanted[f"agent_ends.{end}"] = (getattr(given.agent_ends, end), agents, FLAG)
    for part, (value, shape, dtype) in wanted.items():
        if getattr(value, "dtype", None) != dtype or value.shape != shape:
            raise UserError(
                f"environment '{name}': {part} of {what} is {outlined(value)}, and must be "
                f"{dtype}{list(shape)}"
            )


def _check_same(name: str, what: str, begun: Any, then: Any) -> None:
    """See that step gives the same arrays as reset: they stand in for each other."""
    if jax.tree.structure(begun) != jax.tree.structure(then):
        raise UserError(
            f"environment '{name}': {what} must have the same parts after reset and step: it is "
            f"{_short(begun)} after reset, and {_short(then)} after step"
        )
    paths = jax.tree_util.tree_leaves_with_path(begun)
    for (path, old), new in zip(paths, jax.tree.leaves(then), strict=True):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            part = f"{what}{jax.tree_util.keystr(path)}"
            raise UserError(
                f"environment '{name}': {part} is {outlined(old)} after reset, and {outlined(new)} "
                "after step; both must be the same"
            )


def _short(tree: Any) -> str:
    """A tree's structure, on one line."""
    text = str(jax.tree.structure(tree)).removeprefix("PyTreeDef(").removesuffix(")")
    return textwrap.shorten(text, 120, placeholder=" …")
