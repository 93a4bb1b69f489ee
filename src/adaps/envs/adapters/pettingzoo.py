"""Somebody's PettingZoo environment, to be identified and trained in. Stage: environment.

Needs the extra ``pettingzoo``, so only :func:`adaps.envs.from_pettingzoo` imports it, when called.
"""

import importlib
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from types import ModuleType
from typing import Any

from pettingzoo import ParallelEnv

from adaps.envs.adapters.common import SizedBySpaces
from adaps.envs.checked import checked_limit, checked_types
from adaps.envs.code import known_modules
from adaps.envs.description import is_plain
from adaps.envs.host.copies import Copies
from adaps.envs.host.making import MakeEnv, make_parallel
from adaps.envs.host.spaces import view_of
from adaps.envs.host.team import Roster
from adaps.envs.names import full_name
from adaps.errors import UserError, shown, unknown
from adaps.extensions import (
    check_not_standard,
    dotted_name,
    look_in_working_directory,
    theirs,
)
from adaps.types import STEP_TIMEOUT, AgentSpace


@dataclass(frozen=True)
class PettingZooTeam(SizedBySpaces):
    """An environment that runs in Python, in processes of its own; see :class:`HostEnvironment`."""

    name: str
    spaces: tuple[AgentSpace, ...] = field(repr=False)
    """What each agent sees and may do."""
    roster: Roster = field(repr=False)
    make_env: MakeEnv = field(repr=False)
    agent_types: tuple[int, ...] | None = None
    max_steps: int | None = None
    made_with: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """What :func:`from_pettingzoo` was given: ``maker`` and its ``options``."""

    @property
    def agent_names(self) -> tuple[str, ...]:
        return self.roster.names

    def in_order(self, names: Sequence[str]) -> "PettingZooTeam":
        """The same, with its agents in the order of ``names``, which are all of theirs."""
        order = [self.roster.names.index(name) for name in names]
        spaces, views, types = (
            None if each is None else tuple(each[i] for i in order)
            for each in (self.spaces, self.roster.views, self.agent_types)
        )
        roster = self.roster._replace(names=tuple(names), views=views)
        return replace(self, spaces=spaces, roster=roster, agent_types=types)

    def open(
        self,
        num_copies: int,
        workers: int,
        timeout: float = STEP_TIMEOUT,
        stop: threading.Event | None = None,
    ) -> Copies:
        """Copies to step, in at most so many processes; to be closed."""
        return Copies(self.make_env, self.roster, num_copies, workers, timeout, stop)

    def drawing(self) -> "PettingZooTeam":
        """The same, whose copies draw pictures if they can."""
        return replace(self, make_env=partial(make_drawing, self.make_env))


def from_pettingzoo(
    make_env: Any,
    *,
    name: str | None = None,
    agent_types: Any = None,
    max_steps: Any = None,
    options: Mapping[str, Any] | None = None,
    **more: Any,
) -> PettingZooTeam:
    """A PettingZoo environment to identify and train in: parallel, or one that can be made so.

    Args:
        make_env: a function or class that makes an environment; or a module with ``parallel_env``
            or ``env``, or its name, such as ``"mpe2.simple_tag_v3"``.
        name: what to call it; None finds a name that it can be made again by.
        agent_types: the true type of each possible agent, as whole numbers, in their order or by
            name, for evaluation only; None takes the environment's own ``agent_types``, if it has
            any.
        max_steps: evaluation goes no further than this many steps in an episode; None: to its end.
        options: for ``make_env``, whatever they are called.
        more: further options.

    Raises:
        UserError: it cannot be made or looked at, its actions are not discrete, or it has no
            agents.
    """
    options = {**(options or {}), **more}
    name = name or _name_of(make_env, options)
    limit = checked_limit(name, max_steps)
    maker = _maker(name, make_env)
    make = partial(make_parallel, name, maker, options)
    roster, types = _look(name, make, agent_types)
    made_with = {"maker": maker, "options": options}
    spaces = tuple(AgentSpace(**view.described) for view in roster.views)
    return PettingZooTeam(name, spaces, roster, make, types, limit, made_with)


def make_drawing(make_env: MakeEnv) -> ParallelEnv:
    """With ``render_mode="rgb_array"``, where it is an option."""
    if not (isinstance(make_env, partial) and make_env.func is make_parallel):
        return make_env()
    name, maker, options = make_env.args
    with suppress(UserError), theirs(f"environment '{name}' cannot be made to draw"):
        return make_parallel(name, maker, {**options, "render_mode": "rgb_array"})
    return make_env()


def make_once(name: str, make: MakeEnv) -> ParallelEnv:
    """One copy, to look at.

    Raises:
        UserError: it cannot be made, or is something else.
    """
    with theirs(f"environment '{name}' cannot be made"):
        env = make()
    if not isinstance(env, ParallelEnv):
        raise UserError(
            f"environment '{name}' is a {type(env).__name__}, and not a PettingZoo ParallelEnv or "
            "AECEnv"
        )
    return env


def _look(name: str, make: MakeEnv, agent_types: Any) -> tuple[Roster, tuple[int, ...] | None]:
    """Who takes part, and their true types: those that are given, or else the environment's own."""
    env = make_once(name, make)
    try:
        roster = _roster(name, env)
        if agent_types is None:
            with theirs(f"{name}: its agent_types cannot be had"):
                agent_types = getattr(env.unwrapped, "agent_types", None)
    finally:
        # It was only looked at: how it ends does not matter.
        with suppress(UserError), theirs(f"{name} cannot be closed"):
            env.close()
    if isinstance(agent_types, Mapping) and agent_types.keys() == set(roster.names):
        agent_types = [agent_types[agent] for agent in roster.names]
    return roster, checked_types(name, agent_types, len(roster.names))


def _roster(name: str, env: ParallelEnv) -> Roster:
    with theirs(f"{name}: its possible_agents cannot be had"):
        agents = _names(name, getattr(env, "possible_agents", None))
    views = []
    for agent in agents:
        with theirs(f"{name}: the spaces of {agent} cannot be had"):
            both = env.observation_space(agent), env.action_space(agent)
            views.append(view_of(name, agent, *both))
    return Roster(name, tuple(agents), tuple(views))


def _names(name: str, agents: Any) -> list[str]:
    """Possible agents, checked."""
    if agents is None or isinstance(agents, str | bytes):
        raise UserError(f"{name}: its possible_agents must be a list of names, not {shown(agents)}")
    agents = list(agents)
    if not agents:
        raise UserError(f"{name} has no agents: its possible_agents are empty")
    for agent in agents:
        if not isinstance(agent, str):
            raise UserError(
                f"{name}: the names of its possible_agents must be text, such as 'agent_0', not "
                f"{shown(agent)}"
            )
        if agents.count(agent) > 1:
            raise UserError(f"{name}: its possible_agents name '{agent}' twice")
    return agents


def _maker(name: str, make_env: Any) -> Callable[..., Any]:
    if isinstance(make_env, str):
        make_env = _module(make_env)
    if isinstance(make_env, ModuleType):
        for function in ("parallel_env", "env"):
            if hasattr(make_env, function):
                return getattr(make_env, function)
        raise UserError(f"module {make_env.__name__} has no parallel_env and no env")
    if not callable(make_env):
        raise UserError(
            f"environment '{name}' is an object, {type(make_env).__name__}: name a function or a "
            "class that makes it, since every process makes its own"
        )
    return make_env


def _module(name: str) -> ModuleType:
    """The module of this name, which may leave out ``pettingzoo.``, or be where one works."""
    check_not_standard("PettingZoo environment", name, name)
    known = known_modules()
    if name not in known:
        look_in_working_directory()
    is_name = re.fullmatch(r"\w+(\.\w+)*", name)
    guesses = (name, f"pettingzoo.{name}") if is_name else ()
    for full in (known[name],) if name in known else guesses:
        with theirs(f"environment '{name}' cannot be imported"):
            try:
                return importlib.import_module(full)
            except ModuleNotFoundError as error:
                missing = error.name
                if missing is None or not f"{full}.".startswith(f"{missing}."):
                    text = f"environment '{name}' needs the package {missing}"
                    raise UserError(f"{text}: pip install {missing}") from error
    hint = "name its module, such as mpe2.simple_tag_v3"
    raise unknown("PettingZoo environment", name, known, see=hint)


def _name_of(make_env: Any, options: dict[str, Any]) -> str:
    """What ``adaps train`` would make the same environment by, as far as there is such a name."""
    options = {name: value for name, value in options.items() if is_plain(value)}
    if isinstance(make_env, ModuleType):
        make_env = make_env.__name__
    if isinstance(make_env, str):
        return full_name("pettingzoo", make_env, options)
    if hasattr(make_env, "__qualname__"):
        return full_name("", dotted_name(make_env), options)
    return type(make_env).__name__
