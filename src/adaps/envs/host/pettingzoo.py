"""Somebody's PettingZoo environment, to be identified and trained in. Stage: environment.

Needs the extra ``pettingzoo``, so only :func:`adaps.envs.from_pettingzoo` imports it, when called.
"""

import importlib.util
import pkgutil
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import ModuleType
from typing import Any

from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils.conversions import aec_to_parallel

from adaps.envs.foreign import full_name
from adaps.envs.host.copies import Copies
from adaps.envs.host.spaces import view_of
from adaps.envs.host.team import MakeEnv, Roster
from adaps.errors import UserError, unknown
from adaps.extensions import dotted_name
from adaps.types import STEP_TIMEOUT, AgentSpace

MAX_STEPS = 10_000


@dataclass(frozen=True)
class PettingZooTeam:
    """An environment that runs in Python, in processes of its own; see :class:`HostEnvironment`."""

    name: str
    roster: Roster = field(repr=False)
    make_env: MakeEnv = field(repr=False)
    agent_types: tuple[int, ...] | None = None
    max_steps: int = MAX_STEPS

    @property
    def num_agents(self) -> int:
        return len(self.roster.names)

    @property
    def obs_size(self) -> int:
        return self.roster.obs_size

    @property
    def num_actions(self) -> int:
        return self.roster.num_actions

    @property
    def agent_names(self) -> tuple[str, ...]:
        return self.roster.names

    @property
    def spaces(self) -> tuple[AgentSpace, ...]:
        """What each agent sees and may do; those that differ are of different kinds."""
        return tuple(view.described for view in self.roster.views)

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
        return replace(self, make_env=partial(_make_drawing, self.make_env))


def from_pettingzoo(
    make_env: str | Callable[[], Any] | ModuleType,
    *,
    name: str | None = None,
    agent_types: Sequence[int] | None = None,
    max_steps: int = MAX_STEPS,
    **options: Any,
) -> PettingZooTeam:
    """A PettingZoo environment, parallel or agent by agent, to identify and train in.

    Args:
        make_env: makes an environment; or a module with ``parallel_env`` or ``env``, or its name,
            such as ``"mpe2.simple_tag_v3"``.
        name: what to call it; None finds a name that it can be made again by.
        agent_types: the true type of each possible agent, for evaluation only; None takes the
            environment's own ``agent_types``, if it has any.
        max_steps: evaluation goes no further than this many steps in an episode.
        options: for ``make_env``.

    Raises:
        UserError: it cannot be made, its actions are not discrete, or it has no agents.
    """
    name = name or _name_of(make_env, options)
    make = partial(_make, _maker(make_env), options)
    env = make_once(name, make)
    try:
        roster = _roster(name, env)
        types = getattr(env.unwrapped, "agent_types", None) if agent_types is None else agent_types
    finally:
        env.close()
    if types is not None and len(types) != len(roster.names):
        raise UserError(f"{name}: {len(types)} agent types for {len(roster.names)} agents")
    types = None if types is None else tuple(int(t) for t in types)
    return PettingZooTeam(name, roster, make, types, max_steps)


def make_once(name: str, make: MakeEnv) -> ParallelEnv:
    """One copy, to look at.

    Raises:
        UserError: it cannot be made, or is something else.
    """
    try:
        env = make()
    except UserError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(f"environment '{name}' cannot be made: {reason}") from error
    if not isinstance(env, ParallelEnv):
        raise UserError(
            f"environment '{name}' is a {type(env).__name__}, and not a PettingZoo ParallelEnv or "
            "AECEnv"
        )
    return env


def _make(maker: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Made in every process; agent by agent becomes parallel by PettingZoo's own conversion."""
    env = maker(**options)
    return aec_to_parallel(env) if isinstance(env, AECEnv) else env


def _make_drawing(make_env: MakeEnv) -> ParallelEnv:
    """With ``render_mode="rgb_array"``, where it is an option."""
    if not isinstance(make_env, partial):
        return make_env()
    maker, options = make_env.args
    try:
        return _make(maker, {**options, "render_mode": "rgb_array"})
    except TypeError:
        return make_env()


def _roster(name: str, env: ParallelEnv) -> Roster:
    agents = list(getattr(env, "possible_agents", ()))
    if not agents:
        raise UserError(f"{name} has no agents: its possible_agents are empty")
    views = tuple(view_of(name, a, env.observation_space(a), env.action_space(a)) for a in agents)
    return Roster(name, tuple(map(str, agents)), views)


def _maker(make_env: str | Callable[[], Any] | ModuleType) -> Callable[..., Any]:
    if isinstance(make_env, str):
        make_env = _module(make_env)
    if isinstance(make_env, ModuleType):
        for function in ("parallel_env", "env"):
            if hasattr(make_env, function):
                return getattr(make_env, function)
        raise UserError(f"module {make_env.__name__} has no parallel_env and no env")
    return make_env


def _module(name: str) -> ModuleType:
    """The module of this name, which may leave out ``pettingzoo.``."""
    for full in (name, f"pettingzoo.{name}"):
        try:
            return importlib.import_module(full)
        except ModuleNotFoundError as error:
            if error.name is None or not full.startswith(error.name):
                raise UserError(
                    f"environment '{name}' needs the package {error.name}: pip install {error.name}"
                ) from error
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise UserError(f"environment '{name}' cannot be imported: {reason}") from error
    hint = "name its module, such as mpe2.simple_tag_v3"
    raise unknown("PettingZoo environment", name, _known(), see=hint)


def _known() -> list[str]:
    """Modules with environments, without importing them: pettingzoo's families and mpe2's."""
    families = {"mpe2": "mpe2"} | {f"pettingzoo.{f}": f for f in ("butterfly", "classic", "atari")}
    return [
        f"{short}.{module.name}"
        for package, short in families.items()
        if (spec := importlib.util.find_spec(package)) and spec.submodule_search_locations
        for module in pkgutil.iter_modules(spec.submodule_search_locations)
        if re.search(r"_v\d+$", module.name)
    ]


def _name_of(make_env: str | Callable[[], Any] | ModuleType, options: dict[str, Any]) -> str:
    """What ``adaps train`` would make the same environment by, as far as there is such a name."""
    if isinstance(make_env, ModuleType):
        make_env = make_env.__name__
    if isinstance(make_env, str):
        return full_name("pettingzoo", make_env, options)
    if hasattr(make_env, "__qualname__"):
        return dotted_name(make_env)
    return type(make_env).__name__
