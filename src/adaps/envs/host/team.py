"""One copy of somebody's PettingZoo environment: stepped, checked, reset. Stage: environment.

Runs in the processes that step environments. Whatever an environment does wrong is said in one line
that names environment, agent and step.
"""

import contextlib
import math
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from adaps.envs.action_masks import legal_actions
from adaps.envs.host.making import MakeEnv
from adaps.envs.host.spaces import MASK, View, view_of
from adaps.envs.host.values import READ, RETURNED, check_returned
from adaps.errors import HostEnvironmentError, UserError, is_interrupt, shown
from adaps.extensions import told

ALL = "__all__"
"""Among flags, what some environments say besides of all agents; each agent's own flags count."""


class Record(NamedTuple):
    """What becomes of a step, for all agents of one copy; written in place."""

    obs: Float[np.ndarray, "agent obs"]
    last_obs: Float[np.ndarray, "agent obs"]
    legal: Float[np.ndarray, "agent action"]
    reward: Float[np.ndarray, " agent"]
    here: Float[np.ndarray, " agent"]
    agent_terminated: Float[np.ndarray, " agent"]
    agent_truncated: Float[np.ndarray, " agent"]
    terminated: Float[np.ndarray, "1"]
    truncated: Float[np.ndarray, "1"]
    all_but_obs: Float[np.ndarray, " number"]
    """The others once more, in one row."""


class Roster(NamedTuple):
    """Who may take part, and what each sees and may do."""

    env: str
    names: tuple[str, ...]
    views: tuple[View, ...]

    @property
    def obs_size(self) -> int:
        """Numbers of the largest observation."""
        return max(view.size for view in self.views)

    @property
    def num_actions(self) -> int:
        """Actions of the agent that has most."""
        return max(view.num_actions for view in self.views)

    @property
    def record_type(self) -> np.dtype:
        """How a record lies in a row of numbers."""
        agents = len(self.names)
        shapes = {
            "obs": (agents, self.obs_size),
            "last_obs": (agents, self.obs_size),
            "legal": (agents, self.num_actions),
            **dict.fromkeys(("reward", "here", "agent_terminated", "agent_truncated"), (agents,)),
            **dict.fromkeys(("terminated", "truncated"), (1,)),
        }
        return np.dtype([(name, np.float32, shape) for name, shape in shapes.items()])

    def record_of(self, row: Float[np.ndarray, " number"]) -> Record:
        """A row of numbers by its parts."""
        parts = row.view(self.record_type)[0]
        obs_numbers = len(self.names) * self.obs_size
        return Record(
            **{name: parts[name] for name in parts.dtype.names}, all_but_obs=row[obs_numbers:]
        )


class Team:
    """One copy of an environment; each reset has a seed of its own, drawn from the copy's.

    Raises:
        HostEnvironmentError: from every method.
    """

    def __init__(self, make_env: MakeEnv, roster: Roster) -> None:
        self.roster = roster
        self._index = {name: i for i, name in enumerate(roster.names)}
        self._steps = 0
        self._env = self._call("making it", make_env)
        self._agents: list[str] = []
        self._pausing: set[str] = set()
        """Who acted in this episode, and left the agents without a flag; some may be back."""
        self._spaces: dict[str, tuple[Any, Any]] = {}
        """Observation and action space of each agent, as they were when last checked."""
        self._seeds = np.random.default_rng()

    @property
    def innermost(self) -> Any:
        """The environment itself, without what is wrapped around it."""
        return getattr(self._env, "unwrapped", self._env)

    def reset(self, seed: int, record: Record) -> None:
        """Begin the first episode of a seed."""
        self._seeds = np.random.default_rng(seed)
        self._begin(record)
        record.reward[:] = record.terminated[:] = record.truncated[:] = 0
        record.agent_terminated[:] = record.agent_truncated[:] = 0
        record.last_obs[:] = record.obs

    def step(self, action: Int[np.ndarray, " agent"], record: Record) -> None:
        """Act; where the episode ends with that, begin the next one."""
        index, views = self._index, self.roster.views
        acted, self._steps = self._agents, self._steps + 1
        chosen = action.tolist()
        actions = {a: chosen[index[a]] + views[index[a]].first_action for a in acted}
        seen, rewards, terminated, truncated, infos = self._call("step", self._env.step, actions)
        record.all_but_obs.fill(0)
        self._agents = self._those_who_act()
        for name in acted:
            record.reward[index[name]] = self._value("reward", name, rewards)
            ends = self._value("termination", name, terminated)
            cut_off = self._value("truncation", name, truncated)
            if self._is_out(name, ends, cut_off):
                self._leave(name, seen, ends, cut_off, record)
        if not len(acted) == len(rewards) == len(terminated) == len(truncated):
            self._hear_of_others(acted, rewards, terminated, truncated, record)
        for name in self._agents:
            self._see(name, seen, infos, record)
        # A sum is finite only if every number is, and quicker to be had.
        if not math.isfinite(record.all_but_obs.sum()):
            self._find_what_is_not_finite(record)
        if self._agents:
            record.obs[:] = record.last_obs
            return
        cut_off = record.agent_truncated.any()
        record.terminated[0], record.truncated[0] = not cut_off, cut_off
        self._begin(record)

    def render(self) -> Any:
        """The environment's own picture of how it stands; None where it draws none."""
        draws = getattr(self._env, "render_mode", None) is not None
        return self._call("render", self._env.render) if draws else None

    def close(self) -> None:
        """Let the environment clean up after itself; nothing depends on whether it can."""
        with contextlib.suppress(HostEnvironmentError):
            self._call("close", self._env.close)

    def _begin(self, record: Record) -> None:
        """A new episode's first observations; ``last_obs`` stays what it was."""
        self._steps = 0
        self._pausing.clear()
        seed = int(self._seeds.integers(2**31))
        seen, infos = self._call("reset", self._env.reset, seed=seed)
        self._agents = self._those_who_act()
        if not self._agents:
            raise self._wrong(None, "no agent takes part")
        for name in self._agents:
            self._check_spaces(name)
        first = record._replace(last_obs=record.obs)
        for part in (first.last_obs, first.legal, first.here):
            part[:] = 0
        for name in self._agents:
            self._see(name, seen, infos, first)
        self._find_what_is_not_finite(first)

    def _see(self, name: str, seen: Any, infos: Any, record: Record) -> None:
        """What an agent that goes on is given, and what it may do."""
        i = self._index[name]
        num_actions = self.roster.views[i].num_actions
        mask, info = self._observe(name, seen, record), infos.get(name)
        if mask is None and info is not None:
            if not isinstance(info, dict | Mapping):
                raise self._wrong(name, f"its info is a {type(info).__name__}, not a dict")
            mask = info.get(MASK)
        try:
            legal = 1 if mask is None else legal_actions(mask, num_actions)
        except ValueError as error:
            raise self._wrong(name, f"its action mask is wrong: {error}") from None
        record.legal[i, :num_actions] = legal
        record.here[i] = 1

    def _is_out(self, name: str, ends: bool, cut_off: bool) -> bool:
        """Whether an agent does not act next, as it must not if its part is over."""
        if name not in self._agents:
            return True
        if ends or cut_off:
            end = "terminated" if ends else "truncated"
            raise self._wrong(name, f"it is {end}, but still among the environment's agents")
        return False

    def _leave(self, name: str, seen: Any, ends: bool, cut_off: bool, record: Record) -> None:
        """What an agent that acted and is out saw last, which matters unless it is terminated."""
        if name in seen or (cut_off and not ends):
            self._observe(name, seen, record)
        elif not ends:  # it has seen nothing new
            record.last_obs[self._index[name]] = record.obs[self._index[name]]
        self._end(name, ends, cut_off, record)

    def _end(self, name: str, ends: bool, cut_off: bool, record: Record) -> None:
        """Whether the part of an agent that is out is over, which only flags say."""
        record.agent_terminated[self._index[name]] = ends
        record.agent_truncated[self._index[name]] = cut_off and not ends
        if ends or cut_off:
            self._pausing.discard(name)
        else:
            self._pausing.add(name)

    def _hear_of_others(
        self, acted: list[str], rewards: Any, terminated: Any, truncated: Any, record: Record
    ) -> None:
        """What agents that did not act are paid, and whether their part is over."""
        for name in {**rewards, **terminated, **truncated}:
            if name in acted or (name == ALL and name not in rewards):
                continue
            if name not in self._index:
                text = "it has a reward or a flag, but is not among the possible agents"
                raise self._wrong(name, text)
            if name in rewards:
                record.reward[self._index[name]] = self._value("reward", name, rewards)
            ends = name in terminated and self._value("termination", name, terminated)
            cut_off = name in truncated and self._value("truncation", name, truncated)
            if self._is_out(name, ends, cut_off) and name in self._pausing:
                self._end(name, ends, cut_off, record)

    def _observe(self, name: str, seen: Any, record: Record) -> Any:
        """Write down an observation; returns the action mask that comes with it, if one does."""
        i = self._index[name]
        view = self.roster.views[i]
        if name not in seen:
            raise self._wrong(name, "there is no observation of it")
        try:
            numbers, mask = view.flatten(seen[name])
            record.last_obs[i, : view.size] = numbers
        except BaseException as error:
            if is_interrupt(error):
                raise
            text = f"its observation is not in its space: {shown(error, str)}"
            raise self._wrong(name, text) from None
        return mask

    def _value(self, what: str, name: str, values: Any) -> Any:
        """One agent's reward, or whether its part is over."""
        if name not in values:
            raise self._wrong(name, f"there is no {what} of it")
        read, otherwise = READ[what]
        try:
            return read(values[name])
        except (TypeError, ValueError, OverflowError):
            text = f"its {what} is {otherwise}: {shown(values[name])}"
            raise self._wrong(name, text) from None

    def _those_who_act(self) -> list[str]:
        now = getattr(self._env, "agents", None)
        if not isinstance(now, list | tuple):
            raise self._wrong(None, f"its agents are {shown(now)}, not a list")
        for name in now:
            if name not in self._index:
                raise self._wrong(name, "it is not among the possible agents")
        return list(now)

    def _find_what_is_not_finite(self, record: Record) -> None:
        for i, name in enumerate(self.roster.names):
            for what, values in (("observation", record.last_obs[i]), ("reward", record.reward[i])):
                numbers = np.ravel(values)
                if not np.isfinite(numbers).all():
                    wrong = numbers[~np.isfinite(numbers)][0]
                    raise self._wrong(name, f"its {what} is not finite: {wrong}")

    def _check_spaces(self, name: str) -> None:
        """See that an agent's spaces are those that it had when the roster was made."""
        now = (
            self._call("observation_space", self._env.observation_space, name),
            self._call("action_space", self._env.action_space, name),
        )
        if self._spaces.get(name) == now:
            return
        before = self.roster.views[self._index[name]].described
        try:
            described = view_of(self.roster.env, name, *now).described
        except UserError:
            described = None
        if described != before:
            text = f"its spaces are now {' and '.join(map(shown, now))}; before: {before['label']}"
            raise self._wrong(name, text)
        self._spaces[name] = now

    def _call(self, what: str, function: Callable, *args: Any, **kwargs: Any) -> Any:
        try:
            answer = function(*args, **kwargs)
        except BaseException as error:
            if is_interrupt(error):
                raise
            text = f"{what} raised {told(error)}"
            raise self._wrong(None, text, traceback.format_exc()) from None
        if what in RETURNED:
            try:
                check_returned(what, answer)
            except ValueError as error:
                raise self._wrong(None, str(error)) from None
        return answer

    def _wrong(self, agent: str | None, what: str, trace: str = "") -> HostEnvironmentError:
        who = "" if agent is None else f", agent {agent}"
        text = f"{self.roster.env}{who}, step {self._steps}: {what}"
        return HostEnvironmentError(text, trace)
