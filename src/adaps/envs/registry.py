"""Environments by name, for this package and for other people's code. Stage: environment."""

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from adaps.envs.adapters.jaxmarl import from_jaxmarl
from adaps.envs.adapters.jumanji import from_jumanji
from adaps.envs.builtin import bps, foraging, rware
from adaps.envs.names import parse
from adaps.errors import UserError, unknown
from adaps.extensions import is_dotted, load, needs_extra, theirs
from adaps.types import AnyEnvironment, Environment

if TYPE_CHECKING:
    import adaps.envs.adapters.pettingzoo
    import adaps.envs.export.jaxmarl
    import adaps.envs.export.pettingzoo

FAMILIES = (bps, rware, foraging)
"""Modules with ``NAMES``, ``PATTERNS`` and ``parse(name) → environment or None``."""


def make(
    name: str, task_seed: int = 0, made_with: Mapping[str, Any] | None = None
) -> AnyEnvironment:
    """The built-in environment of a name in upper or lower case, or somebody else's.

    Other projects' are named ``pettingzoo:MODULE``, ``jaxmarl:NAME`` and ``jumanji:NAME``, with
    options as in ``pettingzoo:mpe2.simple_tag_v3?max_cycles=50``. Your own is named
    ``package.module:thing``, where ``thing`` is a class or function that makes an environment
    without arguments, or an environment itself: an :class:`adaps.Environment`, or any that
    :func:`from_pettingzoo` (which needs what makes it), :func:`from_jaxmarl` or
    :func:`from_jumanji` takes.

    >>> make("bps-1").num_agents
    15

    Args:
        name: as ``adaps list`` shows them, or of somebody else's.
        task_seed: draws what an environment fixes once and for all, such as the order in which
            each colour of the warehouse reads its observation: the field ``task_seed`` of an
            environment that is a dataclass with such a field.
        made_with: what :func:`from_pettingzoo` is given in place of the options in the name:
            ``options``, ``agent_types``, ``max_steps``.

    Raises:
        UserError: no environment has that name (the message says which is nearest), or a task
            seed other than 0 for an environment that has none.
    """
    env: Any = _made_by_name(name, made_with or {})
    if _has_task_seed(env):
        return dataclasses.replace(env, task_seed=task_seed)
    if task_seed != 0:
        raise UserError(
            f"--task-seed {task_seed} cannot be had: environment '{name}' has no task seed"
        )
    return env


def task_seed_of(env: Any) -> int:
    """An environment's own task seed; 0 where it has none."""
    return env.task_seed if _has_task_seed(env) else 0


def _has_task_seed(env: Any) -> bool:
    """Whether an environment is a dataclass with an option ``task_seed``."""
    fields = dataclasses.fields(env) if dataclasses.is_dataclass(env) else ()
    return any(field.name == "task_seed" and field.init for field in fields)


def from_pettingzoo(
    make_env: Any, **options: Any
) -> "adaps.envs.adapters.pettingzoo.PettingZooTeam":
    """A PettingZoo environment to identify and train in: parallel, or one that can be made so.

    See :func:`adaps.envs.adapters.pettingzoo.from_pettingzoo` for what can be given.

    >>> from_pettingzoo("mpe2.simple_tag_v3", max_cycles=50).agent_names
    ('adversary_0', 'adversary_1', 'adversary_2', 'agent_0')

    Raises:
        UserError: the extra ``pettingzoo`` or what the environment needs is not installed, it
            cannot be made or looked at, its actions are not discrete, or it has no agents.
    """
    with needs_extra("pettingzoo"):
        from adaps.envs.adapters import pettingzoo as adapter  # noqa: PLC0415
    return adapter.from_pettingzoo(make_env, **options)


def to_pettingzoo(env: str | Environment) -> "adaps.envs.export.pettingzoo.PettingZooEnv":
    """An environment, or the one of a name, as a PettingZoo ``ParallelEnv``.

    Raises:
        UserError: the extra ``pettingzoo`` is not installed, or no environment has that name.
    """
    with needs_extra("pettingzoo"):
        from adaps.envs.export.pettingzoo import PettingZooEnv  # noqa: PLC0415
    return PettingZooEnv(_exported(env))


def to_jaxmarl(env: str | Environment) -> "adaps.envs.export.jaxmarl.JaxMARLEnv":
    """An environment, or the one of a name, with the interface of JaxMARL's ``MultiAgentEnv``.

    Its spaces are JaxMARL's own where the extra ``jaxmarl`` is installed; nothing else needs it.

    Raises:
        UserError: no environment has that name.
    """
    from adaps.envs.export.jaxmarl import JaxMARLEnv  # noqa: PLC0415

    return JaxMARLEnv(_exported(env))


FOREIGN: dict[str, Callable[..., AnyEnvironment]] = {
    "pettingzoo": from_pettingzoo,
    "jaxmarl": from_jaxmarl,
    "jumanji": from_jumanji,
}
"""What makes an environment of other projects, by the prefix of its name."""


def can_be_named(name: str) -> bool:
    """Whether :func:`make` knows such names, in any process."""
    if name.startswith("__main__:"):
        return False
    own = any(family.parse(name.lower()) is not None for family in FAMILIES)
    return own or is_dotted(name) or parse(name) is not None


def _made_by_name(name: str, made_with: Mapping[str, Any]) -> Any:
    if (foreign := parse(name)) is not None:
        given = _arguments(made_with) if foreign.prefix == "pettingzoo" else {}
        return FOREIGN[foreign.prefix](foreign.name, **(given or foreign.options))
    return _third_party(name, made_with) if is_dotted(name) else _built_in(name.lower())


def _arguments(made_with: Mapping[str, Any]) -> dict[str, Any]:
    """What :func:`from_pettingzoo` is given by name."""
    settings = {key: made_with[key] for key in ("agent_types", "max_steps") if key in made_with}
    return {**made_with.get("options", {}), **settings}


def _built_in(name: str) -> Environment:
    for family in FAMILIES:
        if (environment := family.parse(name)) is not None:
            return environment
    known = [n for family in FAMILIES for n in (*family.NAMES, *family.PATTERNS)]
    raise unknown("environment", name, known)


def _third_party(name: str, made_with: Mapping[str, Any]) -> AnyEnvironment:
    thing, options = load("environment", name), made_with.get("options", {})
    with theirs(f"environment '{name}' cannot be made"):
        made: Any = thing(**options) if callable(thing) else thing
    if _is_pettingzoo(made):
        if made is not thing:
            with suppress(Exception):
                made.close()
        return from_pettingzoo(thing, **{**_arguments(made_with), "name": name})
    if isinstance(made, AnyEnvironment):
        return made
    if all(hasattr(made, member) for member in ("agents", "step_env", "observation_space")):
        return from_jaxmarl(made, name=name)
    if all(hasattr(made, member) for member in ("num_agents", "observation_spec", "time_limit")):
        return from_jumanji(made, name=name)
    members = ("name", "num_agents", "obs_size", "num_actions", "max_steps", "agent_types")
    lacking = [m for m in (*members, "reset", "step") if not hasattr(made, m)]
    raise UserError(f"environment '{name}' is no adaps.Environment: it lacks {', '.join(lacking)}")


def _is_pettingzoo(made: Any) -> bool:
    """Whether it is one of PettingZoo's, which need not be installed."""
    bases = {f"{base.__module__}.{base.__name__}" for base in type(made).__mro__}
    return not bases.isdisjoint({"pettingzoo.utils.env.ParallelEnv", "pettingzoo.utils.env.AECEnv"})


def _exported(env: str | Environment) -> Environment:
    made = make(env) if isinstance(env, str) else env
    if not isinstance(made, Environment):
        raise UserError(
            f"{made.name} runs in Python already; only environments in JAX are exported"
        )
    return made
