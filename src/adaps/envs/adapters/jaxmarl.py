"""Somebody's JaxMARL environment, to be identified and trained in. Stage: environment.

Needs the extra ``jaxmarl`` only where an environment is made by name.
"""

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from adaps.envs.adapters.common import (
    SizedBySpaces,
    flag,
    made_already,
    made_by_name,
    number,
    numbers,
    state_types,
    timestep,
    with_types,
)
from adaps.envs.autoreset import auto_reset
from adaps.envs.checked import as_count, checked, checked_limit, checked_types, outlined
from adaps.envs.names import full_name
from adaps.errors import UserError, unknown
from adaps.extensions import needs_extra, theirs
from adaps.types import AgentEnds, AgentSpace, EnvState, Observation, Timestep

ALL = "__all__"
"""Stands for all agents among rewards and ends."""


class State(NamedTuple):
    """JaxMARL's own state, and who still takes part."""

    inner: EnvState
    here: Bool[Array, " agent"]


@dataclass(frozen=True)
class JaxMARLTeam(SizedBySpaces):
    """An environment with the interface of JaxMARL's ``MultiAgentEnv``, as ours.

    JaxMARL's ``dones`` do not tell the time limit from ends by the rules. Here an episode is cut
    off where its step counter has come to ``max_steps``, unless a team of SMAX has lost all units.
    A reward that all share is split evenly, so that the sum over agents is the environment's.
    """

    env: Any = field(repr=False)
    name: str
    spaces: tuple[AgentSpace, ...] = field(repr=False)
    agent_types: tuple[int, ...] | None
    max_steps: int | None
    state_types: Any = field(repr=False, compare=False)
    """Of the environment's own state; see :func:`adaps.envs.adapters.common.state_types`."""

    @property
    def agent_names(self) -> tuple[str, ...]:
        return tuple(self.env.agents)

    def reset(self, key: Key[Array, ""]) -> tuple[State, Timestep]:
        obs, inner = _returned(self.name, "reset", self.env.reset(key), ("obs", "state"))
        inner = with_types(inner, self.state_types)
        everybody, nobody = jnp.ones(self.num_agents, bool), jnp.zeros(self.num_agents, bool)
        rewards, no = jnp.zeros(self.num_agents), jnp.zeros((), bool)
        ends = AgentEnds(nobody, nobody) if self._may_leave else None
        observation = self._observation(obs, inner, everybody)
        return State(inner, everybody), timestep(observation, rewards, no, no, ends)

    def step(
        self, key: Key[Array, ""], state: State, action: Int[Array, " agent"]
    ) -> tuple[State, Timestep]:
        step_key, reset_key = jax.random.split(key)
        return auto_reset(self.reset, reset_key, *self._advance(step_key, state, action))

    def _advance(
        self, key: Key[Array, ""], state: State, action: Int[Array, " agent"]
    ) -> tuple[State, Timestep]:
        obs, inner, rewards, dones, _ = _stepped(self.name, self.env, key, state.inner, action)
        inner = with_types(inner, self.state_types)
        ended, own_ends = self._ends(dones)
        at_limit = self._at_limit(inner)
        here = state.here & ~own_ends & ~ended
        left, cut_off = state.here & ~here, ended & at_limit
        ends = AgentEnds(left & ~cut_off, left & cut_off) if self._may_leave else None
        observation = self._observation(obs, inner, here)
        return State(inner, here), timestep(
            observation, self._rewards(rewards), ended, at_limit, ends
        )

    def _ends(self, dones: Any) -> tuple[Bool[Array, ""], Bool[Array, " agent"]]:
        """Whether the episode is over, and each agent's part in it."""
        dones = dones if isinstance(dones, Mapping) else {ALL: dones}
        own = {
            agent: flag(self.name, f"done of {agent}", dones[agent])
            for agent in self.agent_names
            if agent in dones
        }
        if ALL in dones:
            ended = flag(self.name, f"done of {ALL}", dones[ALL])
        elif len(own) == self.num_agents:
            ended = jnp.stack([*own.values()]).all()
        else:
            names = ", ".join(map(str, dones)) or "nobody"
            raise UserError(f"{self.name}: done names {names}, but neither {ALL} nor all agents")
        return ended, jnp.stack([own.get(agent, ended) for agent in self.agent_names])

    def _rewards(self, given: Any) -> Float[Array, " agent"]:
        """Each agent's own, or its part of what all share."""
        if isinstance(given, Mapping) and (ALL not in given or self.agent_names[0] in given):
            each = _of_agents(self.name, "reward", self.agent_names, given)
            return jnp.stack([number(self.name, f"reward of {a}", r) for a, r in each.items()])
        shared = given[ALL] if isinstance(given, Mapping) else given
        part = number(self.name, f"reward of {ALL}", shared) / self.num_agents
        return jnp.broadcast_to(part, (self.num_agents,))

    def _observation(self, obs: Any, inner: EnvState, here: Bool[Array, " agent"]) -> Observation:
        present = here if self._may_leave else None
        return Observation(self._padded(obs), self._legal(inner), here=present)

    def _padded(self, obs: Any) -> Float[Array, "agent obs"]:
        rows = []
        each = _of_agents(self.name, "observation", self.agent_names, obs)
        for (agent, seen), space in zip(each.items(), self.spaces, strict=True):
            row = numbers(self.name, f"observation of {agent}", seen)
            if len(row) != space.obs_size:
                raise UserError(
                    f"{self.name}: observation of {agent} has {len(row)} numbers after a step, "
                    f"and {space.obs_size} after a reset"
                )
            rows.append(jnp.pad(row, (0, self.obs_size - len(row))))
        return jnp.stack(rows)

    def _legal(self, inner: EnvState) -> Bool[Array, "agent action"]:
        """Actions that an agent has, and that the environment allows it now."""
        has = jnp.arange(self.num_actions) < jnp.array([[s.num_actions] for s in self.spaces])
        try:
            allowed = _avail_actions(self.env, inner)
        except NotImplementedError:
            return has
        rows = []
        each = _of_agents(self.name, "available actions", self.agent_names, allowed)
        for (agent, own), space in zip(each.items(), self.spaces, strict=True):
            row = numbers(self.name, f"available actions of {agent}", own) != 0
            if not space.num_actions <= len(row) <= self.num_actions:
                raise UserError(
                    f"{self.name}: available actions of {agent} are {len(row)} numbers, and it has "
                    f"{space.num_actions} actions"
                )
            rows.append(jnp.pad(row, (0, self.num_actions - len(row))))
        return has & jnp.stack(rows)

    def _at_limit(self, inner: EnvState) -> Bool[Array, ""]:
        """Whether an episode that is over was so by its time limit."""
        core = getattr(inner, "state", inner)
        units = getattr(core, "unit_alive", None)
        if units is not None:
            ours = self.num_agents
            return units[:ours].any() & units[ours:].any()
        steps, limit = getattr(core, "step", None), getattr(self.env, "max_steps", None)
        return jnp.zeros((), bool) if steps is None or limit is None else steps >= limit

    @property
    def _may_leave(self) -> bool:
        """Whether agents may be done before the episode is; in MPE they never are."""
        return all(base.__name__ != "SimpleMPE" for base in type(self.env).__mro__)


def from_jaxmarl(
    env: Any,
    *,
    name: str | None = None,
    agent_types: Any = None,
    max_steps: Any = None,
    options: Mapping[str, Any] | None = None,
    **more: Any,
) -> JaxMARLTeam:
    """An environment of JaxMARL's, to identify and train in.

    Args:
        env: an environment, or a name as ``jaxmarl.make`` takes it.
        name: what to call it; None takes its own name.
        agent_types: the true type of each agent, as whole numbers, for evaluation only; None takes
            SMAX's kinds of units, or the environment's classes of agents.
        max_steps: evaluation goes no further than this many steps in an episode; None: to its end.
        options: for ``jaxmarl.make``, whatever they are called; SMAX's ``scenario`` may be a map's
            name, and Overcooked's ``layout`` a layout's.
        more: further options.

    Raises:
        UserError: the extra ``jaxmarl`` is not installed, there is no such environment, its
            actions are not discrete, or what it returns cannot be used.
    """
    options = {**(options or {}), **more}
    by_name = isinstance(env, str)
    own_name = env if by_name else getattr(env, "name", type(env).__name__)
    called = name or full_name("jaxmarl", own_name, options)
    made = _made(env, options) if by_name else made_already(called, env, options)
    types = checked_types(called, agent_types, len(made.agents))
    team = JaxMARLTeam(
        made,
        called,
        _spaces(called, made),
        _types(made) if types is None else types,
        checked_limit(called, max_steps) or _limit(made),
        _state_types(called, made),
    )
    return checked(team, called)


def _avail_actions(env: Any, state: EnvState) -> Any:
    """What JaxMARL calls available actions, and in Hanabi legal moves.

    Raises:
        NotImplementedError: the environment does not say.
    """
    for name in ("get_legal_moves", "get_avail_actions"):
        if hasattr(env, name):
            return getattr(env, name)(state)
    raise NotImplementedError


def _limit(made: Any) -> int | None:
    """Steps of its longest episode, where it says so.

    SMAX looks at its limit before it counts, so that an episode may take a step more.
    """
    stated = as_count(getattr(made, "max_steps", None))
    return None if stated is None else stated + 1


def _state_types(name: str, made: Any) -> Any:
    def reset() -> EnvState:
        return _returned(name, "reset", made.reset(jax.random.key(0)), ("obs", "state"))[1]

    def step(state: EnvState) -> EnvState:
        actions = jnp.zeros(len(made.agents), jnp.int32)
        return _stepped(name, made, jax.random.key(0), state, actions)[1]

    return state_types(name, reset, step)


def _stepped(name: str, env: Any, key: Any, state: EnvState, action: Any) -> tuple[Any, ...]:
    actions = {agent: action[i] for i, agent in enumerate(env.agents)}
    parts = ("obs", "state", "rewards", "dones", "infos")
    return _returned(name, "step_env", env.step_env(key, state, actions), parts)


def _returned(name: str, what: str, given: Any, parts: tuple[str, ...]) -> tuple[Any, ...]:
    """What ``reset`` or ``step_env`` returned, seen to be so many values."""
    if isinstance(given, tuple | list) and len(given) == len(parts):
        return tuple(given)
    came = f"{len(given)} values" if isinstance(given, tuple | list) else outlined(given)
    raise UserError(f"{name}: {what} must return {', '.join(parts)}, not {came}")


def _of_agents(name: str, what: str, agents: Any, given: Any) -> dict[str, Any]:
    """Something of each agent, in the agents' order."""
    if not isinstance(given, Mapping):
        raise UserError(f"{name}: the {what} must be a dict by agent, not {outlined(given)}")
    if lacking := [agent for agent in agents if agent not in given]:
        names = ", ".join(map(str, given)) or "nobody"
        raise UserError(f"{name}: there is no {what} of agent {lacking[0]}; it names {names}")
    return {agent: given[agent] for agent in agents}


def _made(name: str, options: dict[str, Any]) -> Any:
    with needs_extra("jaxmarl"), _quietly():
        import jaxmarl  # noqa: PLC0415  # pyright: ignore[reportMissingImports]
        from jaxmarl.environments.overcooked import overcooked_layouts  # noqa: PLC0415  # pyright: ignore[reportMissingImports]
        from jaxmarl.environments.smax import map_name_to_scenario  # noqa: PLC0415  # pyright: ignore[reportMissingImports]
        from jaxmarl.registration import registered_envs  # noqa: PLC0415  # pyright: ignore[reportMissingImports]

    def make(name: str, **options: Any) -> Any:
        if isinstance(options.get("scenario"), str):
            options["scenario"] = map_name_to_scenario(options["scenario"])
        if name == "overcooked" and isinstance(layout := options.get("layout"), str):
            if layout not in overcooked_layouts:
                raise unknown("layout", layout, overcooked_layouts)
            options["layout"] = overcooked_layouts[layout]
        return jaxmarl.make(name, **options)

    return made_by_name("JaxMARL", name, registered_envs, make, options)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """JaxMARL prints and warns while it is imported, and takes the terminal for its own."""
    kept, nowhere = (sys.__stdout__, sys.__stderr__), io.StringIO()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        sys.__stdout__ = sys.__stderr__ = nowhere  # pyright: ignore[reportAttributeAccessIssue]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            sys.__stdout__, sys.__stderr__ = kept  # pyright: ignore[reportAttributeAccessIssue]


def _spaces(env: str, made: Any) -> tuple[AgentSpace, ...]:
    """What each agent sees, as a reset gives it, and may do."""
    with theirs(f"environment '{env}': reset fails"):
        given = jax.eval_shape(lambda: made.reset(jax.random.key(0)))
    obs, _ = _returned(env, "reset", given, ("obs", "state"))
    each = _of_agents(env, "observation", made.agents, obs)
    return tuple(_space(env, agent, made, seen) for agent, seen in each.items())


def _space(env: str, agent: str, made: Any, seen: Any) -> AgentSpace:
    with theirs(f"{env}: the actions of {agent} cannot be had"):
        actions = made.action_space(agent)
    if not hasattr(actions, "n"):
        raise UserError(
            f"{env}: the actions of {agent} are {type(actions).__name__}; only discrete actions "
            "can be trained: choose the environment's discrete setting (action_type)"
        )
    size = jax.eval_shape(lambda x: numbers(env, f"observation of {agent}", x), seen).size
    shapes = [" × ".join(map(str, leaf.shape)) or "1" for leaf in jax.tree.leaves(seen)]
    label = f"{' and '.join(shapes)} numbers, {int(actions.n)} actions"
    return AgentSpace(size, int(actions.n), label)


def _types(made: Any) -> tuple[int, ...] | None:
    """SMAX's kinds of units, or the classes that an environment tells apart; None elsewhere.

    A single class is no statement: some environments have one for agents of unlike spaces.
    """
    inner = getattr(made, "_env", made)
    units = getattr(inner, "scenario", None)
    if units is not None and not getattr(inner, "smacv2_unit_type_generation", False):
        return tuple(int(unit) for unit in jnp.asarray(units)[: len(made.agents)])
    try:
        classes: Any = made.agent_classes
        classes = classes() if callable(classes) else classes
    except (AttributeError, NotImplementedError):
        return None
    of_agent = {agent: number for number, own in enumerate(classes.values()) for agent in own}
    known = len(classes) > 1 and all(agent in of_agent for agent in made.agents)
    return tuple(of_agent[agent] for agent in made.agents) if known else None
