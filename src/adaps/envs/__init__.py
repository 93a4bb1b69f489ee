"""Environments by name, for this package and for other people's code. Stage: environment."""

import dataclasses
from typing import TYPE_CHECKING, Any

from adaps.envs import bps, foraging, rware
from adaps.envs.auto_reset import auto_reset
from adaps.errors import UserError, unknown
from adaps.extensions import is_dotted, load
from adaps.types import Environment

if TYPE_CHECKING:
    import adaps.envs.as_jaxmarl
    import adaps.envs.as_pettingzoo

FAMILIES = (bps, rware, foraging)
"""Modules with ``NAMES``, ``PATTERNS`` and ``parse(name) → environment or None``."""

__all__ = ["FAMILIES", "auto_reset", "make", "to_jaxmarl", "to_pettingzoo"]


def make(name: str, task_seed: int = 0) -> Environment:
    """The built-in environment of a name in upper or lower case, or a third party's.

    A third party's is named ``package.module:thing``, where ``thing`` is a class or function that
    makes an :class:`adaps.Environment` without arguments, or an environment itself.

    >>> make("bps-1").num_agents
    15

    Args:
        name: as ``adaps list`` shows them, or ``package.module:thing``.
        task_seed: draws what an environment fixes once and for all, such as the order in which
            each colour of the warehouse reads its observation: the field ``task_seed`` of an
            environment that is a dataclass with such a field.

    Raises:
        UserError: no environment has that name (the message says which is nearest), or a task
            seed other than 0 for an environment that has none.
    """
    env: Any = _third_party(name) if is_dotted(name) else _built_in(name.lower())
    if has_task_seed(env):
        return dataclasses.replace(env, task_seed=task_seed)
    if task_seed != 0:
        raise UserError(
            f"--task-seed {task_seed} cannot be had: environment '{name}' has no task seed"
        )
    return env


def has_task_seed(env: Any) -> bool:
    """Whether an environment is a dataclass with an option ``task_seed``."""
    fields = dataclasses.fields(env) if dataclasses.is_dataclass(env) else ()
    return any(field.name == "task_seed" and field.init for field in fields)


def task_seed_of(env: Environment) -> int:
    """An environment's own task seed; 0 where it has none."""
    return env.task_seed if has_task_seed(env) else 0  # pyright: ignore[reportAttributeAccessIssue]


def to_pettingzoo(env: str | Environment) -> "adaps.envs.as_pettingzoo.PettingZooEnv":
    """An environment, or the one of a name, as a PettingZoo ``ParallelEnv``.

    Raises:
        UserError: the extra ``pettingzoo`` is not installed, or no environment has that name.
    """
    try:
        from adaps.envs.as_pettingzoo import PettingZooEnv  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UserError(
            f"package {error.name} is missing: pip install 'adaps[pettingzoo]'"
        ) from error
    return PettingZooEnv(_made(env))


def to_jaxmarl(env: str | Environment) -> "adaps.envs.as_jaxmarl.JaxMARLEnv":
    """An environment, or the one of a name, with the interface of JaxMARL's ``MultiAgentEnv``.

    Its spaces are JaxMARL's own where the extra ``jaxmarl`` is installed; nothing else needs it.

    Raises:
        UserError: no environment has that name.
    """
    from adaps.envs.as_jaxmarl import JaxMARLEnv  # noqa: PLC0415

    return JaxMARLEnv(_made(env))


def _made(env: str | Environment) -> Environment:
    return make(env) if isinstance(env, str) else env


def _built_in(name: str) -> Environment:
    for family in FAMILIES:
        if (environment := family.parse(name)) is not None:
            return environment
    known = [n for family in FAMILIES for n in (*family.NAMES, *family.PATTERNS)]
    raise unknown("environment", name, known)


def _third_party(name: str) -> Environment:
    thing = load("environment", name)
    made = thing() if callable(thing) else thing
    if isinstance(made, Environment):
        return made
    members = ("name", "num_agents", "obs_size", "num_actions", "max_steps", "agent_types")
    lacking = [m for m in (*members, "reset", "step") if not hasattr(made, m)]
    raise UserError(f"environment '{name}' is no adaps.Environment: it lacks {', '.join(lacking)}")
