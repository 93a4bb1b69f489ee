"""What the adapters have in common. Stage: environment."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from adaps.envs.checked import outlined
from adaps.errors import UserError, unknown
from adaps.extensions import theirs
from adaps.types import AgentEnds, AgentSpace, EnvState, Observation, Timestep

REAL = (jnp.bool_, jnp.integer, jnp.floating)
"""Kinds of types that are real numbers."""


class SizedBySpaces:
    """A team whose agents' spaces may differ: its sizes are those of the largest."""

    spaces: tuple[AgentSpace, ...]

    @property
    def num_agents(self) -> int:
        return len(self.spaces)

    @property
    def obs_size(self) -> int:
        return max(space.obs_size for space in self.spaces)

    @property
    def num_actions(self) -> int:
        return max(space.num_actions for space in self.spaces)


def made_by_name(
    project: str, name: str, known: Iterable[str], make: Callable[..., Any], options: dict[str, Any]
) -> Any:
    """Another project's environment.

    Raises:
        UserError: there is none of that name, or it cannot be made.
    """
    prefix = project.lower()
    if name not in known:
        raise unknown(f"{project} environment", name, known, see=f"as {prefix}.make takes it")
    with theirs(f"environment '{prefix}:{name}' cannot be made"):
        return make(name, **options)


def made_already(name: str, env: Any, options: Mapping[str, Any]) -> Any:
    """An environment that somebody made.

    Raises:
        UserError: options, which come too late.
    """
    if options:
        raise UserError(
            f"environment '{name}' is made already: {', '.join(options)} cannot be given any more"
        )
    return env


def timestep(
    observation: Observation,
    reward: Float[Array, " agent"],
    ended: Bool[Array, ""],
    at_limit: Bool[Array, ""],
    agent_ends: AgentEnds | None = None,
) -> Timestep:
    """What agents of an environment in JAX are given, before any reset.

    ``ended`` says whether the episode is over, and ``at_limit`` whether that is by its time limit.
    """
    truncated = ended & at_limit
    return Timestep(
        observation=observation,
        reward=reward,
        terminated=ended & ~truncated,
        truncated=truncated,
        final=observation,
        agent_ends=agent_ends,
    )


def number(env: str, what: str, value: Any) -> Float[Array, ""]:
    """One real number, also where it is whole or comes as an array of one.

    Raises:
        UserError: it is something else.
    """
    return _only_entry(env, what, value, "one number", REAL).astype(jnp.float32)


def flag(env: str, what: str, value: Any) -> Bool[Array, ""]:
    """True or false, also where it is 0 or 1 or comes as an array of one.

    Raises:
        UserError: it is something else.
    """
    return _only_entry(env, what, value, "true or false", (jnp.bool_, jnp.integer)).astype(bool)


def numbers(env: str, what: str, value: Any) -> Float[Array, " number"]:
    """All numbers of an array, or of arrays in dicts and tuples; of a dict in its keys' order.

    Raises:
        UserError: something in it is no number, or there is none.
    """
    rows = []
    for leaf in jax.tree.leaves(value):
        array = _as_array(leaf)
        if array is None or not _is_any(array, REAL):
            raise UserError(f"{env}: {what} holds {outlined(leaf)}, and can only be numbers")
        rows.append(jnp.ravel(array.astype(jnp.float32)))
    if not sum(map(len, rows)):
        raise UserError(f"{env}: {what} holds no numbers")
    return jnp.concatenate(rows)


def _only_entry(env: str, what: str, value: Any, wanted: str, kinds: tuple[Any, ...]) -> Array:
    array = _as_array(value)
    if array is None or array.size != 1 or not _is_any(array, kinds):
        raise UserError(f"{env}: {what} is {outlined(value)}, not {wanted}")
    return array.reshape(())


def _as_array(value: Any) -> Array | None:
    try:
        return jnp.asarray(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _is_any(array: Any, kinds: tuple[Any, ...]) -> bool:
    return any(jnp.issubdtype(array.dtype, kind) for kind in kinds)


def state_types(env: str, reset: Callable[..., Any], step: Callable[..., Any]) -> Any:
    """Shapes and types that all arrays of a state can have from step to step.

    What is whole after a reset and a fraction after a step, is a fraction throughout; Python's own
    numbers become arrays.

    Args:
        env: its name.
        reset: ``reset() → state``.
        step: ``step(state) → state``.

    Raises:
        UserError: the state's parts or their shapes change with a step.
    """
    with theirs(f"environment '{env}': reset fails"):
        before = jax.eval_shape(reset)
    while True:
        with theirs(f"environment '{env}': step_env fails"):
            after = jax.eval_shape(step, before)
        if jax.tree.structure(before) != jax.tree.structure(after):
            raise UserError(
                f"environment '{env}': the parts of its state after a step are not those after a "
                "reset"
            )
        old = jax.tree_util.tree_leaves_with_path(before)
        both = zip(old, jax.tree.leaves(after), strict=True)
        wide = [_wider(env, path, one, other) for (path, one), other in both]
        if [leaf.dtype for leaf in wide] == [leaf.dtype for _, leaf in old]:
            return before
        before = jax.tree.unflatten(jax.tree.structure(before), wide)


def _wider(env: str, path: Any, old: Any, new: Any) -> jax.ShapeDtypeStruct:
    """What holds the numbers of both."""
    if (old.shape, old.dtype) == (new.shape, new.dtype):
        return old
    if old.shape != new.shape or not all(_is_any(x, REAL) for x in (old, new)):
        raise UserError(
            f"environment '{env}': its state{jax.tree_util.keystr(path)} is {outlined(old)} after "
            f"a reset, and {outlined(new)} after a step"
        )
    return jax.ShapeDtypeStruct(old.shape, jnp.promote_types(old.dtype, new.dtype))


def with_types(state: EnvState, types: Any) -> EnvState:
    """A state whose arrays have the types that :func:`state_types` found."""

    def cast(x: Any, like: jax.ShapeDtypeStruct) -> Array:
        return x if getattr(x, "dtype", None) == like.dtype else jnp.asarray(x, like.dtype)

    return jax.tree.map(cast, state, types)
