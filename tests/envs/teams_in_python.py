"""Small PettingZoo teams, some of which misbehave. Importable by worker processes."""

import os
import sys
import time
from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from pettingzoo import ParallelEnv


class Counting(ParallelEnv):
    """Agents see who they are and how far the episode is; ``leave`` says after which step.

    ``spoil`` changes what step returns at the moment ``at``: episode and step.
    """

    metadata: ClassVar = {"name": "counting"}
    render_mode = None

    def __init__(
        self,
        names=("a", "b"),
        length=4,
        leave=None,
        join=None,
        flaw=None,
        at=(0, 0),
        spoil=None,
    ):
        self.possible_agents = list(names)
        self.agents = []
        self.length, self.leave, self.join = length, leave or {}, join or {}
        self.flaw, self.at, self.spoil = flaw, at, spoil
        self.time = self.episode = 0

    def observation_space(self, agent):
        more = self.flaw == "other observations" and self.episode > 1
        return Box(-1e6, 1e6, (4 if more else 3,), np.float32)

    def action_space(self, agent):
        if self.flaw == "continuous":
            return Box(-1, 1, (2,))
        more = self.flaw == "other actions" and self.episode > 1
        return Discrete(3 if more else 2)

    def reset(self, seed=None, options=None):
        self.time, self.episode = 0, self.episode + 1
        self.seed = seed
        self.agents = [a for a in self.possible_agents if a not in self.join]
        if self.flaw == "raises in reset" and self.now:
            raise ValueError("no level\nto load")
        if self.flaw == "nobody":
            self.agents = []
        return {a: self.sees(a) for a in self.agents}, {a: {} for a in self.agents}

    @property
    def now(self):
        return (self.episode, self.time) == (self.at[0] + 1, self.at[1])

    def sees(self, agent):
        seen = np.array([self.possible_agents.index(agent), self.time, 1], np.float32)
        if self.flaw and self.now and agent == "b":
            flaws = {
                "nan": seen * np.nan,
                "infinite": np.array([np.inf, 0, 0], np.float32),
                "shape": seen[:2],
                "dtype": np.array(["x", "y", "z"]),
            }
            return flaws.get(self.flaw, seen)
        return seen

    def step(self, actions):
        acted = list(self.agents)
        assert set(actions) == set(acted)
        self.time += 1
        if self.now and self.flaw == "raises":
            raise RuntimeError("the simulator crashed")
        if self.now and self.flaw == "hangs":
            time.sleep(60)
        over = self.time >= self.length
        dead = [a for a in acted if self.leave.get(a) == self.time]
        self.agents = [] if over else [a for a in acted if a not in dead]
        self.agents += [] if over else [a for a, when in self.join.items() if when == self.time]
        seen = {a: self.sees(a) for a in {*acted, *self.agents}}
        rewards = {a: float(actions[a]) for a in acted}
        if self.flaw and self.now:
            if self.flaw == "no observation":
                del seen["b"]
            if self.flaw == "no reward":
                del rewards["b"]
            if self.flaw == "reward nan":
                rewards["b"] = float("nan")
            if self.flaw == "reward text":
                rewards["b"] = "much"
            if self.flaw == "four values":
                return seen, rewards, {}, {}
            if self.flaw == "stranger":
                self.agents = [*self.agents, "stranger"]
        returned = (
            seen,
            rewards,
            {a: a in dead for a in acted},
            {a: over and a not in dead for a in acted},
            {a: {} for a in acted},
        )
        return self.spoil(self, *returned) if self.spoil and self.now else returned

    def close(self):
        if self.flaw == "raises in close":
            raise RuntimeError("nothing to close")


class Mixed(ParallelEnv):
    """Every kind of observation space, and numbers of actions that differ."""

    metadata: ClassVar = {"name": "mixed"}
    spaces: ClassVar = {
        "dict": Dict({"observation": Box(0, 9, (2, 2), np.int32), "extra": Discrete(3)}),
        "masked": Dict({"observation": Box(0, 1, (2,)), "action_mask": MultiBinary(4)}),
        "tuple": Tuple((MultiBinary(3), MultiDiscrete([2, 3]))),
        "number": Discrete(5),
    }
    numbers: ClassVar = {"dict": 2, "masked": 4, "tuple": 3, "number": 2}

    def __init__(self):
        self.possible_agents = list(self.spaces)
        self.agents = []

    def observation_space(self, agent):
        return self.spaces[agent]

    def action_space(self, agent):
        return Discrete(self.numbers[agent], start=1 if agent == "tuple" else 0)

    def _seen(self):
        return {
            "dict": {"observation": np.arange(4, dtype=np.int32).reshape(2, 2), "extra": 2},
            "masked": {
                "observation": np.array([0.5, 1.0], np.float32),
                "action_mask": np.array([0, 1, 0, 1], np.int8),
            },
            "tuple": (np.array([1, 0, 1], np.int8), np.array([1, 2])),
            "number": 4,
        }

    def reset(self, seed=None, options=None):
        self.agents = list(self.possible_agents)
        return self._seen(), {"number": {"action_mask": [1, 0]}}

    def step(self, actions):
        assert all(actions[a] in self.action_space(a) for a in self.agents)
        assert actions["masked"] in (1, 3)
        self.last = actions
        no = dict.fromkeys(self.agents, False)
        rewards = dict.fromkeys(self.agents, 1.0)
        return self._seen(), rewards, no, no, {"number": {"action_mask": [1, 0]}}


class Shifting(Counting):
    """The shell says who is in it and what they see; agents named "up…" earn for 1, others for 0.

    All see the same: only their names tell them apart.
    """

    def __init__(self, length=4, spare=None):
        super().__init__(os.environ.get("AGENTS", "up_a,down_a,up_b").split(","), length)

    def observation_space(self, agent):
        return Box(-1e6, 1e6, (int(os.environ.get("NUMBERS", "3")),), np.float32)

    def action_space(self, agent):
        return Discrete(
            int(os.environ.get("ACTIONS", "2")), start=int(os.environ.get("FIRST", "0"))
        )

    def sees(self, agent):
        return np.full(self.observation_space(agent).shape, self.time, np.float32)

    def step(self, actions):
        seen, _, *rest = super().step(actions)
        earned = {a: float(action == a.startswith("up")) for a, action in actions.items()}
        return seen, earned, *rest


class Weighing(Counting):
    """Its rewards are how many heavy packages the process that steps it has imported."""

    def step(self, actions):
        seen, rewards, *rest = super().step(actions)
        heavy = {"jax", "matplotlib", "optax", "pandas", "scipy", "sklearn"} & sys.modules.keys()
        return seen, dict.fromkeys(rewards, len(heavy)), *rest


def odd(**members):
    """A class of teams like :class:`Counting`, with some members replaced."""
    return type("Odd", (Counting,), members)


def mixed():
    return Mixed()


def counting():
    return Counting(leave={"a": 2})


COUNTING = counting()
