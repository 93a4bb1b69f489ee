"""Somebody's JaxMARL environment, to be identified and trained in. Stage: environment.

Needs the extra ``jaxmarl`` only where an environment is made by name.
"""

import contextlib
import io
import math
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from adaps.envs.adapters.common import SizedBySpaces, made_by_name, timestep
from adaps.envs.autoreset import auto_reset
from adaps.envs.names import full_name
from adaps.errors import UserError
from adaps.extensions import needs_extra
from adaps.types import AgentEnds, AgentSpace, EnvState, Observation, Timestep

MAX_STEPS = 1_000


class State(NamedTuple):
    """JaxMARL's own state, and who still takes part."""

    inner: EnvState
    here: Bool[Array, " agent"]


@dataclass(frozen=True)
class JaxMARLTeam(SizedBySpaces):
    """An environment with the interface of JaxMARL's ``MultiAgentEnv``, as ours.

    JaxMARL's ``dones`` do not tell the time limit from ends by the rules. Here an episode is cut
    off where its step counter has come to ``max_steps``, unless a team of SMAX has lost all units.
    """

    env: Any = field(repr=False)
    name: str
    spaces: tuple[AgentSpace, ...] = field(repr=False)
    agent_types: tuple[int, ...] | None
    max_steps: int

    @property
    def agent_names(self) -> tuple[str, ...]:
        return tuple(self.env.agents)

    def reset(self, key: Key[Array, ""]) -> tuple[State, Timestep]:
        obs, inner = self.env.reset(key)
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
        actions = {name: action[i] for i, name in enumerate(self.agent_names)}
        obs, inner, rewards, dones, _ = self.env.step_env(key, state.inner, actions)
        ended = dones["__all__"]
        at_limit = self._at_limit(inner)
        own_ends = jnp.stack([dones[name] for name in self.agent_names])
        here = state.here & ~own_ends & ~ended
        left, cut_off = state.here & ~here, ended & at_limit
        ends = AgentEnds(left & ~cut_off, left & cut_off) if self._may_leave else None
        reward = jnp.stack([jnp.float32(rewards[name]) for name in self.agent_names])
        observation = self._observation(obs, inner, here)
        return State(inner, here), timestep(observation, reward, ended, at_limit, ends)

    def _observation(
        self, obs: dict[str, Array], inner: EnvState, here: Bool[Array, " agent"]
    ) -> Observation:
        present = here if self._may_leave else None
        return Observation(self._padded(obs), self._legal(inner), here=present)

    def _padded(self, obs: dict[str, Array]) -> Float[Array, "agent obs"]:
        flat = [jnp.ravel(jnp.float32(obs[name])) for name in self.agent_names]
        return jnp.stack([jnp.pad(row, (0, self.obs_size - len(row))) for row in flat])

    def _legal(self, inner: EnvState) -> Bool[Array, "agent action"]:
        """Actions that an agent has, and that the environment allows it now."""
        has = jnp.arange(self.num_actions) < jnp.array([[s.num_actions] for s in self.spaces])
        try:
            allowed = self.env.get_avail_actions(inner)
        except NotImplementedError:
            return has
        rows = [jnp.ravel(jnp.asarray(allowed[name], bool)) for name in self.agent_names]
        padded = jnp.stack([jnp.pad(row, (0, self.num_actions - len(row))) for row in rows])
        return has & padded

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
    env: Any, *, name: str | None = None, max_steps: int | None = None, **options: Any
) -> JaxMARLTeam:
    """An environment of JaxMARL's, to identify and train in.

    Args:
        env: an environment, or a name as ``jaxmarl.make`` takes it.
        name: what to call it; None takes its own name.
        max_steps: no episode is longer; None takes the environment's own limit, or 1,000.
        options: for ``jaxmarl.make``; SMAX's ``scenario`` may be a map's name.

    Raises:
        UserError: the extra ``jaxmarl`` is not installed, there is no such environment, or its
            actions are not discrete.
    """
    made = _made(env, options) if isinstance(env, str) else env
    called = name or full_name("jaxmarl", env if isinstance(env, str) else made.name, options)
    spaces = tuple(_space(called, agent, made) for agent in made.agents)
    limit = max_steps or getattr(made, "max_steps", None) or MAX_STEPS
    # SMAX looks at its limit before it counts, so that an episode may take a step more.
    return JaxMARLTeam(made, called, spaces, _types(made), int(limit) + 1)


def _made(name: str, options: dict[str, Any]) -> Any:
    with needs_extra("jaxmarl"), _quietly():
        import jaxmarl  # noqa: PLC0415  # pyright: ignore[reportMissingImports]
        from jaxmarl.environments.smax import map_name_to_scenario  # noqa: PLC0415  # pyright: ignore[reportMissingImports]
        from jaxmarl.registration import registered_envs  # noqa: PLC0415  # pyright: ignore[reportMissingImports]

    def make(name: str, **options: Any) -> Any:
        if isinstance(options.get("scenario"), str):
            options["scenario"] = map_name_to_scenario(options["scenario"])
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


def _space(env: str, agent: str, made: Any) -> AgentSpace:
    actions, obs = made.action_space(agent), made.observation_space(agent)
    if not hasattr(actions, "n"):
        raise UserError(
            f"{env}: the actions of {agent} are {type(actions).__name__}; only discrete actions "
            "can be trained: choose the environment's discrete setting (action_type)"
        )
    shape = obs.shape if getattr(obs, "shape", None) else (int(obs.n),)
    size = int(math.prod(shape))
    label = f"{' × '.join(map(str, shape))} numbers, {int(actions.n)} actions"
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
