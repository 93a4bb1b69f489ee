"""Environments by name, for this package and for other people's code. Stage: environment."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from adaps.envs.adapters.jaxmarl import from_jaxmarl
from adaps.envs.adapters.jumanji import from_jumanji
from adaps.envs.builtin import bps, foraging, rware
from adaps.envs.checked import checked, checked_types
from adaps.envs.names import Named, full_name, parse
from adaps.errors import UserError, unknown
from adaps.extensions import check_not_standard, load, needs_extra, theirs
from adaps.types import AnyEnvironment, Environment

if TYPE_CHECKING:
    import adaps.envs.adapters.pettingzoo
    import adaps.envs.export.jaxmarl
    import adaps.envs.export.pettingzoo

FAMILIES = (bps, rware, foraging)
"""Modules with ``NAMES``, ``PATTERNS`` and ``parse(name) → environment or None``."""


def make(name: str, task_seed: int = 0, agent_types: Any = None) -> AnyEnvironment:
    """The built-in environment of a name in upper or lower case, or somebody else's.

    Other projects' are named ``pettingzoo:MODULE``, ``jaxmarl:NAME`` and ``jumanji:NAME``, with
    options as in ``pettingzoo:mpe2.simple_tag_v3,max_cycles=50``. Your own is named
    ``package.module:thing,n=5``: what makes an environment with such options, or an environment
    itself; an :class:`adaps.Environment`, or any that one of the functions below takes.

    >>> make("bps-1").num_agents
    15

    Args:
        name: as ``adaps list`` shows them, or of somebody else's.
        task_seed: draws what an environment fixes once and for all: the field ``task_seed`` of
            one that is a dataclass with such a field.
        agent_types: the true type of each agent, for evaluation only; None: the environment's own.
            An :class:`adaps.Environment` takes them if it is a dataclass with such a field.

    Raises:
        UserError: no environment has that name (the message says which is nearest), it is not what
            it must be, or a task seed other than 0 or types of agents for an environment that
            takes none.
    """
    with theirs(f"environment '{name}' cannot be made"):
        env: Any = _made_by_name(name, agent_types)
        if _has_field(env, "task_seed"):
            return dataclasses.replace(env, task_seed=task_seed)
    if task_seed != 0:
        raise UserError(
            f"--task-seed {task_seed} cannot be had: environment '{name}' has no task seed"
        )
    return env


def accepted(env: Any, name: str = "", agent_types: Any = None) -> AnyEnvironment:
    """An environment that somebody made, checked.

    Args:
        env: the environment.
        name: what the user calls it; where it is not given, its own name.
        agent_types: as for :func:`make`.

    Raises:
        UserError: it is none, or gives something else than it must.
    """
    return _with_types(checked(env, name), agent_types)


def task_seed_of(env: Any) -> int:
    """An environment's own task seed; 0 where it has none."""
    return env.task_seed if _has_field(env, "task_seed") else 0


def _has_field(env: Any, name: str) -> bool:
    """Whether an environment is a dataclass with such an option."""
    fields = dataclasses.fields(env) if dataclasses.is_dataclass(env) else ()
    return any(field.name == name and field.init for field in fields)


def from_pettingzoo(
    make_env: Any,
    *,
    name: str | None = None,
    agent_types: Any = None,
    max_steps: Any = None,
    options: Mapping[str, Any] | None = None,
    **more: Any,
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
    return adapter.from_pettingzoo(
        make_env,
        name=name,
        agent_types=agent_types,
        max_steps=max_steps,
        options={**(options or {}), **more},
    )


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
    return own or parse(name) is not None


def _made_by_name(name: str, agent_types: Any) -> Any:
    if (named := parse(name)) is None:
        return _with_types(_built_in(name), agent_types)
    if not named.prefix:
        return _third_party(named, agent_types)
    make_foreign = FOREIGN[named.prefix]
    return make_foreign(named.name, agent_types=agent_types, options=named.options)


def _with_types(env: Any, agent_types: Any) -> Any:
    """An environment that states its agents' types itself, with others that are given."""
    if agent_types is None:
        return env
    if not _has_field(env, "agent_types"):
        raise UserError(
            f"agent_types (--agent-types) cannot be given: environment '{env.name}' says itself "
            "what they are"
        )
    types = checked_types(env.name, agent_types, env.num_agents)
    return dataclasses.replace(env, agent_types=types)


def _built_in(name: str) -> Environment:
    for family in FAMILIES:
        if (environment := family.parse(name.lower())) is not None:
            return environment
    known = [n for family in FAMILIES for n in (*family.NAMES, *family.PATTERNS)]
    raise unknown("environment", name, known)


def _third_party(named: Named, agent_types: Any) -> AnyEnvironment:
    name, thing = full_name(*named), load("environment", named.name)
    if inspect.isroutine(thing) or inspect.isclass(thing):
        # A function that a module took from Python's own, such as os.abort, makes no environment.
        check_not_standard("environment", name, thing.__module__ or "builtins")
    if named.options and not callable(thing):
        raise UserError(f"environment '{named.name}' is an object, which takes no options")
    made: Any = thing(**named.options) if callable(thing) else thing
    if _is_pettingzoo(made):
        if made is not thing:
            with suppress(UserError), theirs(f"environment '{name}' cannot be closed"):
                made.close()
        return from_pettingzoo(thing, name=name, agent_types=agent_types, options=named.options)
    if isinstance(made, AnyEnvironment):
        return accepted(made, name, agent_types)
    if all(hasattr(made, member) for member in ("agents", "step_env", "observation_space")):
        return from_jaxmarl(made, name=name, agent_types=agent_types)
    if all(hasattr(made, member) for member in ("num_agents", "observation_spec", "time_limit")):
        return from_jumanji(made, name=name, agent_types=agent_types)
    return checked(made, name)


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
