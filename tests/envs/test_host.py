"""Environments that run in Python: spaces, comings and goings, processes, and what goes wrong."""

import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
from functools import partial
from pathlib import Path

import jax
import numpy as np
import psutil
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, Text, Tuple
from pettingzoo import AECEnv

import adaps
from adaps.envs import from_pettingzoo, make, to_pettingzoo
from adaps.envs.action_masks import legal_actions
from adaps.envs.agent_io import Agents, agents_of, as_arrays
from adaps.envs.host.spaces import flatten_as, view_of
from adaps.envs.names import full_name
from adaps.errors import HostEnvironmentError, UserError
from adaps.identity.space_groups import space_groups_of
from adaps.types import AgentEnds, AgentSpace
from envs.teams_in_python import Counting, Mixed, Weighing, counting, mixed, odd

SPREAD = "bps:2-2"
TESTS = Path(__file__).parents[1]


def spread():
    return to_pettingzoo(SPREAD)


def team(**options):
    return from_pettingzoo(lambda: Counting(**options), name="counting")


def played(env, actions, workers=0, seeds=(0,)):
    """Every timestep of some copies: the reset's, then one per action."""
    copies = env.open(len(seeds), workers)
    try:
        steps = [copies.reset(seeds)]
        steps += [copies.step(np.full((len(seeds), env.num_agents), a)) for a in actions]
    finally:
        copies.close()
    return steps


def test_spaces_are_flattened_filled_up_and_told_apart():
    env = from_pettingzoo(mixed)
    assert (env.num_agents, env.obs_size, env.num_actions) == (4, 8, 4)
    assert [s.obs_size for s in env.spaces] == [7, 2, 8, 5]
    assert [s.num_actions for s in env.spaces] == [2, 4, 3, 2]
    assert len(set(env.spaces)) == 4
    first = played(env, [])[0]
    np.testing.assert_array_equal(first.obs[0, 0], [0, 0, 1, 0, 1, 2, 3, 0])
    np.testing.assert_array_equal(first.obs[0, 1], [0.5, 1, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(first.obs[0, 2], [1, 0, 1, 0, 1, 0, 0, 1])
    np.testing.assert_array_equal(first.obs[0, 3], [0, 0, 0, 0, 1, 0, 0, 0])
    legal = [[1, 1, 0, 0], [0, 1, 0, 1], [1, 1, 1, 0], [1, 0, 0, 0]]
    np.testing.assert_array_equal(first.observation.legal[0], np.array(legal, bool))


PAIR, MANY = Box(0, 9, (2,)), Box(np.arange(99.0), np.arange(99.0) + 1, dtype=np.float64)
MASKED = {"action_mask": MultiBinary(2)}
SPACES = {
    "unsorted": Dict([("z", PAIR), ("a", Discrete(3))]),
    "unsorted within": Tuple((Dict([("z", Dict([("y", PAIR), ("b", PAIR)])), ("a", PAIR)]), PAIR)),
    "keys of two types": Dict([(1, PAIR), ("1", Discrete(2)), (0, PAIR)]),
    "starts": Tuple((MultiDiscrete([2, 3], start=[5, -1]), Discrete(2, start=7))),
    "binary": Tuple((MultiBinary(3), MultiBinary([2, 2]), Box(0, 255, (2, 2), np.uint8))),
    "mask beside a dict": Dict({"observation": Dict([("z", PAIR), ("a", PAIR)]), **MASKED}),
    "mask beside a number": Dict({"observation": Discrete(5), **MASKED}),
    "mask among others": Dict({"observation": PAIR, "z": Discrete(2), "a": PAIR, **MASKED}),
}


@pytest.mark.parametrize("kind", SPACES)
def test_a_saved_policy_flattens_as_training_did(kind):
    space = SPACES[kind]
    space.seed(3)
    view = view_of("odd", "a", space, Discrete(2))
    saved = Agents.from_json(Agents(("a",), (AgentSpace(**view.described),)).to_json())
    for _ in range(5):
        in_training, mask = view.flatten(seen := space.sample())
        numbers, same_mask = flatten_as(saved.spaces[0].layout, seen)
        np.testing.assert_array_equal(numbers, in_training)
        assert (len(numbers), mask is same_mask) == (view.size, True)


def sees(space, seen):
    """A class of teams whose agents see this."""
    return odd(observation_space=lambda self, agent: space, sees=lambda self, agent: seen)


def test_a_dict_within_the_observation_is_flattened_beside_its_mask():
    seen = {"observation": {"z": np.zeros(2), "a": np.ones(2)}, "action_mask": np.array([0, 1])}
    first = played(from_pettingzoo(sees(SPACES["mask beside a dict"], seen)), [])[0]
    np.testing.assert_array_equal(first.obs[0, 0], [0, 0, 1, 1])
    np.testing.assert_array_equal(first.observation.legal[0, 0], [False, True])


FIVE = {"observation": 4, "action_mask": [1, 0]}


@pytest.mark.parametrize(
    ("kind", "seen", "reason"),
    [
        ("mask beside a number", FIVE | {"extra": 1}, "it has 'extra' besides observation, action"),
        ("mask beside a number", {"action_mask": [1, 0], "extra": 1}, "it lacks observation"),
        ("mask beside a number", {"observation": 4}, "it lacks action_mask"),
        ("mask beside a number", np.zeros(5), "it is a ndarray, and no dict with action_mask"),
        ("unsorted", {"z": np.zeros(2)}, "it lacks a"),
        ("unsorted", {"z": np.zeros(2), "a": 1, "b": 1}, "it has 'b' besides z, a"),
        ("unsorted", np.zeros(5), "it is a ndarray, and no dict"),
    ],
)
def test_what_an_observation_has_too_much_or_too_little_is_named(kind, seen, reason):
    with pytest.raises(HostEnvironmentError, match=f"is not in its space: {reason}"):
        played(from_pettingzoo(sees(SPACES[kind], seen)), [])


NUMBERS = Box(-1, 1, (4,))
READ_ALIKE = {
    "bounds": (NUMBERS, Box(-9, np.arange(4, 8, dtype=np.float32))),
    "types of numbers": (NUMBERS, Box(0, 255, (4,), np.uint8), MultiBinary(4)),
    "starts": (Discrete(3), Discrete(3, start=1), MultiDiscrete([3], start=[5])),
    "names of keys": (Dict({"a": NUMBERS, "z": PAIR}), Dict({"b": NUMBERS, "c": PAIR})),
    "a mask": (NUMBERS, Dict({"observation": NUMBERS, **MASKED})),
}


@pytest.mark.parametrize("spaces", READ_ALIKE.values(), ids=READ_ALIKE)
def test_what_spaces_state_is_no_evidence_that_agents_are_unlike(spaces):
    names = tuple(f"agent_{i}" for i in range(len(spaces)))
    of = dict(zip(names, spaces, strict=True))
    made = odd(observation_space=lambda self, agent: of[agent])
    (group,) = space_groups_of(from_pettingzoo(partial(made, names)))
    assert group.agents == tuple(range(len(names)))


UNLIKE = {
    "sizes": (NUMBERS, PAIR),
    "layouts": (NUMBERS, Box(-1, 1, (2, 2)), Discrete(4), MultiDiscrete([2, 2])),
}


@pytest.mark.parametrize("spaces", UNLIKE.values(), ids=UNLIKE)
def test_agents_who_cannot_read_each_others_observations_are_kept_apart(spaces):
    names = tuple(f"agent_{i}" for i in range(len(spaces)))
    of = dict(zip(names, spaces, strict=True))
    made = odd(observation_space=lambda self, agent: of[agent])
    env = from_pettingzoo(partial(made, names))
    assert [group.agents for group in space_groups_of(env)] == [(i,) for i in range(len(names))]
    fewer = odd(action_space=lambda self, agent: Discrete(2 if agent == "a" else 3))
    assert len(space_groups_of(from_pettingzoo(fewer))) == 2


def test_a_space_is_told_by_what_its_numbers_are():
    of = {"a": SPACES["unsorted"], "b": Box(0, 9, (2, 2))}
    env = from_pettingzoo(odd(observation_space=lambda self, agent: of[agent]))
    assert [space.label for space in env.spaces] == [
        "2 numbers and one of 3, 2 actions",
        "2 × 2 numbers, 2 actions",
    ]


def test_bounds_may_change_from_reset_to_reset():
    def observation_space(self, agent):
        return Box(-1 - self.episode, 9, (3,), np.float32)

    steps = played(from_pettingzoo(odd(observation_space=observation_space)), [1] * 9)
    assert sum(step.truncated.sum() for step in steps) == 2


def test_integers_of_another_width_are_taken_where_they_fit():
    flatten = view_of("odd", "a", Box(0, 255, (2,), np.uint8), Discrete(2)).flatten
    np.testing.assert_array_equal(flatten(np.array([0, 255]))[0], [0, 255])
    for wrong in ([0, 256], [-1, 0], [0.0, 1.0]):
        with pytest.raises(ValueError, match=r"its numbers are .*64, not uint8"):
            flatten(np.array(wrong))


@pytest.mark.parametrize("dtype", ["int8", "bool", "uint8", "int64", "float32", "list"])
def test_masks_are_zeros_and_ones(dtype):
    mask = [0, 1, 1] if dtype == "list" else np.array([0, 1, 1], dtype)
    np.testing.assert_array_equal(legal_actions(mask, 3), [False, True, True])


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        ([0, 1], "it has 2 entries, not 3"),
        (np.ones(4, np.int8), "it has 4 entries, not 3"),
        (np.zeros(3, bool), "it allows no action"),
        (np.array([0, 2, 1], np.int8), "its entries must be 0 or 1, not 2"),
        (np.array([0, 257, 1]), "its entries must be 0 or 1, not 257"),
        ([0, 1, -1], "its entries must be 0 or 1, not -1"),
        ([0, 1, 0.5], r"its entries must be 0 or 1, not 0\.5"),
        ([0, 1, np.nan], "its entries must be 0 or 1, not nan"),
        (np.array([0, 1, None]), "its entries are object, not 0 or 1"),
        ([[0, 1], [1]], "it is no row of zeros and ones"),
        ("yes", "it has 1 entries, not 3"),
    ],
)
def test_what_is_no_mask_is_told_why(mask, reason):
    with pytest.raises(ValueError, match=f"^{reason}"):
        legal_actions(mask, 3)


@pytest.mark.parametrize(
    ("obs", "legal", "message"),
    [
        (None, None, "observations must be a dict by agents' names, not a NoneType"),
        ({"a": None}, None, "the observation of a is not in its space: it is None"),
        ({"a": [0, np.nan, 1]}, None, "the observation of a is not finite: nan"),
        ({"a": [0, 1e300, 1]}, None, "the observation of a is not finite: inf"),
        ({"a": [0, 1, 1]}, {"c": [1, 1]}, "the policy knows no agent 'c'; it is for a, b"),
        ({"a": [0, 1, 1]}, [1, 1], "masks of legal actions must be a dict .*, not a list"),
        ({"a": [0, 1, 1]}, {"a": [1]}, "the action mask of a is wrong: it has 1 entries, not 2"),
        ({"a": [0, 1, 1]}, {"a": [0, 0]}, "the action mask of a is wrong: it allows no action"),
        ({"a": [0, 1, 1]}, {"a": [2, 1]}, "the action mask of a is wrong: its entries must be"),
    ],
)
def test_a_policy_is_asked_about_what_it_knows(obs, legal, message):
    agents = agents_of(team())
    for spaces in (agents.spaces, [space._replace(layout="") for space in agents.spaces]):
        with pytest.raises(UserError, match=f"^{message}"):
            as_arrays(agents._replace(spaces=tuple(spaces)), obs, legal)


def test_actions_count_from_the_first_one():
    made = []

    def make_one():
        made.append(Mixed())
        return made[-1]

    env = from_pettingzoo(make_one)
    copies = env.open(1, 0)
    copies.reset([0])
    copies.step(np.array([[1, 3, 2, 0]]))
    assert made[-1].last == {"dict": 1, "masked": 3, "tuple": 3, "number": 0}


def test_an_episode_that_is_cut_off_keeps_its_last_observation():
    first, *steps = played(team(length=2), [1, 0, 1])
    np.testing.assert_array_equal(first.obs[0, :, 1], 0)
    np.testing.assert_array_equal([s.truncated[0] for s in steps], [False, True, False])
    assert not any(s.terminated[0] for s in steps)
    np.testing.assert_array_equal([s.final.obs[0, 0, 1] for s in steps], [1, 2, 1])
    np.testing.assert_array_equal([s.obs[0, 0, 1] for s in steps], [1, 0, 1])
    np.testing.assert_array_equal([s.reward[0] for s in steps], [[1, 1], [0, 0], [1, 1]])
    assert steps[1].agent_ends.truncated.all()
    assert steps[1].observation.here.all()


def test_an_agent_that_dies_is_gone_until_the_next_episode():
    _, *steps = played(team(length=3, leave={"a": 1}), [1, 1, 1, 1])
    here = [s.observation.here[0].tolist() for s in steps]
    assert here == [[False, True], [False, True], [True, True], [False, True]]
    assert [s.agent_ends.terminated[0, 0] for s in steps] == [True, False, False, True]
    np.testing.assert_array_equal([s.reward[0, 0] for s in steps], [1, 0, 0, 1])
    assert steps[0].final.obs[0, 0, 1] == 1
    assert [s.truncated[0] for s in steps] == [False, False, True, False]


def test_the_episode_ends_when_all_have_left():
    _, *steps = played(team(leave={"a": 1, "b": 2}), [0, 0, 0])
    assert [s.terminated[0] for s in steps] == [False, True, False]
    assert not any(s.truncated[0] for s in steps)


def test_an_agent_may_join_later():
    first, *steps = played(team(join={"b": 2}), [1, 1, 1])
    assert first.observation.here[0].tolist() == [True, False]
    assert [s.observation.here[0, 1] for s in steps] == [False, True, True]
    assert [s.reward[0, 1] for s in steps] == [0, 0, 1]


def test_who_leaves_without_a_flag_pauses():
    """Its part ends with a later flag, or with the episode."""
    spoil = lambda env, o, r, t, c, i: (leaving(env, "b"), (o, r, t, c, i))[1]  # noqa: E731
    _, *steps = played(team(length=4, spoil=spoil, at=(0, 2)), [1] * 4)
    assert [s.observation.here[0, 1] for s in steps] == [True, False, False, True]
    assert not any(ended[0, 1] for s in steps for ended in s.agent_ends)
    assert [s.ends.truncated[0, 1] for s in steps] == [False, False, False, True]
    assert steps[1].final.obs[0, 1, 1] == 2


def unseen(env, o, r, t, c, i):
    leaving(env, "b")
    return without(o, "b"), r, t, c, i


def test_who_pauses_and_is_shown_nothing_saw_last_what_it_acted_on():
    _, *steps = played(team(spoil=unseen, at=(0, 2)), [1] * 2)
    assert [s.final.obs[0, 1, 1] for s in steps] == [1, 1]


class Paid(Counting):
    """Agent b is out after its first step; ``meanwhile`` is what it is told at step 2."""

    def __init__(self, back=(), **meanwhile):
        super().__init__()
        self.back, self.meanwhile = back, meanwhile

    def step(self, actions):
        seen, rewards, terminated, truncated, infos = super().step(actions)
        flags = {"terminated": terminated, "truncated": truncated}
        if self.time == 1:
            self.agents = ["a"]
        if self.time == 2:
            rewards["b"] = 7.0
            self.agents = ["a", *self.back]
            for flag, value in self.meanwhile.items():
                flags[flag]["b"] = value
        return seen | {"b": self.sees("b")}, rewards, terminated, truncated, infos


@pytest.mark.parametrize("flag", ["terminated", "truncated"])
def test_who_pauses_is_paid_and_may_be_told_that_it_is_over(flag):
    _, *steps = played(from_pettingzoo(lambda: Paid(**{flag: True}), name="paid"), [1] * 5)
    np.testing.assert_array_equal([s.reward[0, 1] for s in steps], [1, 7, 0, 0, 1])
    for name in AgentEnds._fields:
        ended = [getattr(s.agent_ends, name)[0, 1] for s in steps]
        assert ended == [False, name == flag, False, False, False]
    message = f"agent b, step 2: it is {flag}, but still among the environment's agents"
    with pytest.raises(HostEnvironmentError, match=message):
        played(from_pettingzoo(lambda: Paid(["b"], **{flag: True}), name="paid"), [1] * 2)


@pytest.mark.parametrize(
    ("flags", "terminated"),
    [
        ({}, True),
        ({"terminated": "ab"}, True),
        ({"truncated": "ab"}, False),
        ({"terminated": "a", "truncated": "b"}, False),
        ({"terminated": "ab", "truncated": "b"}, True),
    ],
)
def test_flags_say_how_an_episode_ends(flags, terminated):
    """With no flag at all, it ends by the rules; one agent that is cut off cuts the episode off."""

    def spoil(env, o, r, t, c, i):
        leaving(env, "a", "b")
        told = [{a: a in flags.get(name, "") for a in "ab"} for name in AgentEnds._fields]
        return o, r, *told, i

    last = played(team(spoil=spoil, at=(0, 2)), [1] * 2)[-1]
    assert (last.terminated[0], last.truncated[0]) == (terminated, not terminated)
    ended = last.ends.terminated | last.ends.truncated
    assert ended.all()
    assert not (last.ends.terminated & last.ends.truncated).any()


def test_who_was_cut_off_earlier_does_not_cut_off_the_episode():
    def spoil(env, o, r, t, c, i):
        leaving(env, "a")
        return o, r, t, {**c, "a": True}, i

    env = team(spoil=spoil, at=(0, 1), leave={"b": 3})
    _, *steps = played(env, [1] * 3)
    assert [s.agent_ends.truncated[0, 0] for s in steps] == [True, False, False]
    assert (steps[2].terminated[0], steps[2].truncated[0]) == (True, False)


def test_processes_change_nothing():
    env = from_pettingzoo(spread)
    rng = np.random.default_rng(0)
    actions = rng.integers(0, env.num_actions, 60)
    alone, split = (played(env, actions, workers, range(4)) for workers in (0, 2))
    for one, other in zip(alone, split, strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, other)


def test_processes_import_nothing_heavy():
    env = from_pettingzoo(Weighing)
    assert (played(env, [0], workers=1)[1].reward == 0).all()
    assert (played(env, [0], workers=0)[1].reward > 0).all()


def test_what_was_given_is_not_changed_by_later_steps():
    first, second = played(team(), [1])[:2]
    assert (first.obs[0, 0, 1], second.obs[0, 0, 1]) == (0, 1)


def test_bps_by_way_of_pettingzoo_takes_the_same_steps():
    theirs, ours = from_pettingzoo(spread), to_pettingzoo(SPREAD)
    assert (theirs.agent_types, theirs.name) == ((0, 0, 1, 1), "test_host:spread")
    rng = np.random.default_rng(7)
    copies = theirs.open(1, 0)
    now = copies.reset([3])
    seeds = np.random.default_rng(3)
    seen, _ = ours.reset(seed=int(seeds.integers(2**31)))
    for _ in range(110):
        np.testing.assert_array_equal(now.obs[0], list(seen.values()))
        action = rng.integers(0, 5, 4)
        now = copies.step(action[None])
        seen, rewards, _, truncated, _ = ours.step(dict(zip(ours.agents, action, strict=True)))
        np.testing.assert_array_equal(now.final.obs[0], list(seen.values()))
        np.testing.assert_array_equal(now.reward[0], np.float32(list(rewards.values())))
        assert now.truncated[0] == any(truncated.values())
        if now.truncated[0]:
            seen, _ = ours.reset(seed=int(seeds.integers(2**31)))


FLAWS = {
    "nan": "agent b, step 2: its observation is not finite: nan",
    "infinite": "agent b, step 2: its observation is not finite: inf",
    "shape": r"agent b, step 2: its observation is not in its space: its shape is \(2,\)",
    "dtype": "agent b, step 2: its observation is not in its space",
    "no observation": "agent b, step 2: there is no observation of it",
    "no reward": "agent b, step 2: there is no reward of it",
    "reward nan": "agent b, step 2: its reward is not finite: nan",
    "reward text": "agent b, step 2: its reward is no number: 'much'",
    "four values": "step 2: step must return 5 values",
    "stranger": "agent stranger, step 2: it is not among the possible agents",
    "raises": "step 2: step raised RuntimeError: the simulator crashed",
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_what_goes_wrong_is_said_in_a_line(flaw):
    with pytest.raises(HostEnvironmentError, match=f"^counting, {FLAWS[flaw]}") as caught:
        played(team(flaw=flaw, at=(0, 2)), [1, 1, 1])
    assert "\n" not in str(caught.value)
    assert ("the simulator crashed" in caught.value.trace) == (flaw == "raises")


def without(part, agent):
    return {name: value for name, value in part.items() if name != agent}


def leaving(env, *agents):
    env.agents = [a for a in env.agents if a not in agents]


SPOILT = {
    "observations None": (
        lambda env, o, r, t, c, i: (None, r, t, c, i),
        "step 2: step must return observations as a dict by agent, not as None",
    ),
    "rewards of a list": (
        lambda env, o, r, t, c, i: (o, [1, 2], t, c, i),
        "step 2: step must return rewards as a dict by agent, not as a list",
    ),
    "infos None": (
        lambda env, o, r, t, c, i: (o, r, t, c, None),
        "step 2: step must return infos as a dict by agent, not as None",
    ),
    "an info of a list": (
        lambda env, o, r, t, c, i: (o, r, t, c, {"b": []}),
        "agent b, step 2: its info is a list, not a dict",
    ),
    "a mask of three": (
        lambda env, o, r, t, c, i: (o, r, t, c, {"b": {"action_mask": [1, 1, 0]}}),
        "agent b, step 2: its action mask is wrong: it has 3 entries, not 2",
    ),
    "a mask of none": (
        lambda env, o, r, t, c, i: (o, r, t, c, {"b": {"action_mask": [0, 0]}}),
        "agent b, step 2: its action mask is wrong: it allows no action",
    ),
    "a reward beyond all numbers": (
        lambda env, o, r, t, c, i: (o, {**r, "b": 10**400}, t, c, i),
        "agent b, step 2: its reward is no number: 1000",
    ),
    "a reward of None": (
        lambda env, o, r, t, c, i: (o, {**r, "b": None}, t, c, i),
        "agent b, step 2: its reward is no number: None",
    ),
    "a reward too large for float32": (
        lambda env, o, r, t, c, i: (o, {**r, "b": 1e300}, t, c, i),
        "agent b, step 2: its reward is not finite: inf",
    ),
    "no termination": (
        lambda env, o, r, t, c, i: (o, r, without(t, "b"), c, i),
        "agent b, step 2: there is no termination of it",
    ),
    "no truncation": (
        lambda env, o, r, t, c, i: (o, r, t, without(c, "b"), i),
        "agent b, step 2: there is no truncation of it",
    ),
    "a flag of text": (
        lambda env, o, r, t, c, i: (o, r, {**t, "b": "False"}, c, i),
        "agent b, step 2: its termination is neither true nor false: 'False'",
    ),
    "a flag of two": (
        lambda env, o, r, t, c, i: (o, r, t, {**c, "b": np.zeros(2, bool)}, i),
        "agent b, step 2: its truncation is neither true nor false",
    ),
    "a reward of a stranger": (
        lambda env, o, r, t, c, i: (o, {**r, "who": 1}, t, c, i),
        "agent who, step 2: it has a reward or a flag, but is not among the possible agents",
    ),
    "a flag of a stranger": (
        lambda env, o, r, t, c, i: (o, r, {**t, "who": False}, c, i),
        "agent who, step 2: it has a reward or a flag, but is not among the possible agents",
    ),
    "over, but still there": (
        lambda env, o, r, t, c, i: (o, r, {**t, "b": True}, c, i),
        "agent b, step 2: it is terminated, but still among the environment's agents",
    ),
    "cut off unseen": (
        lambda env, o, r, t, c, i: (
            leaving(env, "b"),
            (without(o, "b"), r, t, {**c, "b": True}, i),
        )[1],
        "agent b, step 2: there is no observation of it",
    ),
    "agents None": (
        lambda env, *returned: (setattr(env, "agents", None), returned)[1],
        "step 2: its agents are None, not a list",
    ),
    "exit": (lambda env, *returned: sys.exit("bye"), "step 2: step raised SystemExit: bye"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_returned_is_checked(what):
    spoil, message = SPOILT[what]
    with pytest.raises(HostEnvironmentError, match=f"^counting, {message}"):
        played(team(spoil=spoil, at=(0, 2)), [1, 1, 1])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda env, o, r, t, c, i: (o, {**r, "b": np.array([1.0])}, t, c, i),
        lambda env, o, r, t, c, i: (o, r, {**t, "b": np.False_}, {**c, "b": 0}, i),
        lambda env, o, r, t, c, i: (o, r, t, c, {}),
        lambda env, o, r, t, c, i: (o, r, t, c, {"b": None}),
        lambda env, o, r, t, c, i: ({**o, "who": 1}, r, t, c, {"who": 1}),
        lambda env, o, r, t, c, i: (o, r, {**t, "__all__": False}, {**c, "__all__": False}, i),
    ],
)
def test_what_can_be_understood_is(spoil):
    _, *steps = played(team(spoil=spoil, at=(0, 2)), [1, 1, 1])
    np.testing.assert_array_equal([s.reward[0] for s in steps], [[1, 1]] * 3)


def test_closing_hides_no_failure():
    with pytest.raises(HostEnvironmentError, match="there is no reward of it"):
        played(team(flaw="no reward", at=(0, 2)), [1, 1, 1])
    played(team(flaw="raises in close"), [1])


class Odd(BaseException):
    """Which ``except Exception`` lets pass."""

    def __str__(self):
        raise SystemExit


RAISED = [
    SystemExit,
    SystemExit(0),
    GeneratorExit,
    KeyboardInterrupt,
    Odd,
    ValueError("two\nlines"),
]
PLACES = ["reset", "step", "observation_space", "action_space", "agents"]


def failing(place, error, looks=0):
    """A class of teams that raise something in a place, after so many looks from outside."""
    seen = []

    def fail(*args, **options):
        seen.append(place)
        if len(seen) > looks:
            raise error
        return getattr(Counting, place)(*args, **options)

    is_value = place.endswith("agents")
    return odd(**{place: property(fail, lambda self, value: None) if is_value else fail})


@pytest.fixture
def ctrl_c_is_for_others():
    """As in the processes that step copies."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_is_for_others")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("error", RAISED, ids=ascii)
def test_whatever_is_raised_is_said_in_a_line(place, error):
    looks = 2 if place.endswith("space") else 0  # from outside: one for each agent
    env = from_pettingzoo(failing(place, error, looks), name="counting")
    with pytest.raises(HostEnvironmentError, match=r"^counting") as caught:
        played(env, [1, 1])
    kind = error if isinstance(error, type) else type(error)
    assert kind.__name__ in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.trace.startswith("Traceback")


@pytest.mark.usefixtures("ctrl_c_is_for_others")
@pytest.mark.parametrize("error", RAISED, ids=ascii)
def test_whatever_is_raised_from_outside_is_said_in_a_line(error):
    for place in ("__init__", "observation_space", "action_space", "possible_agents"):
        with pytest.raises(UserError) as caught:
            from_pettingzoo(failing(place, error))
        assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("ctrl_c_is_for_others")
@pytest.mark.parametrize("error", RAISED, ids=ascii)
def test_how_it_is_closed_does_not_matter(error):
    env = from_pettingzoo(failing("close", error), name="counting")
    assert [step.reward.sum() for step in played(env, [1, 1])] == [0, 2, 2]


def test_what_is_raised_in_a_process_is_said_in_a_line():
    def make():
        return failing("step", KeyboardInterrupt)()

    with pytest.raises(HostEnvironmentError, match=r"step 1: step raised KeyboardInterrupt$"):
        played(from_pettingzoo(make, name="counting"), [1, 1], workers=1)


class Unsayable:
    """What nobody can print."""

    def __repr__(self):
        raise SystemExit

    __float__ = __len__ = __array__ = __str__ = __repr__


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda env, o, r, *more: (o, {**r, "b": Unsayable()}, *more), "SystemExit"),
        (lambda env, o, *more: ({**o, "b": Unsayable()}, *more), "its observation is not"),
        (lambda env, o, *more: ({**o, "b": [[1], [2]]}, *more), "its observation is not"),
    ],
)
def test_what_cannot_be_printed_is_said_all_the_same(spoil, says):
    with pytest.raises(HostEnvironmentError, match=f"^counting.*{says}") as caught:
        played(team(spoil=spoil, at=(0, 2)), [1, 1, 1])
    assert "\n" not in str(caught.value)


def test_many_numbers_of_a_wrong_observation_are_one_line():
    space = MultiDiscrete(np.full((10, 20), 3))
    seen = np.full((10, 20), 7)
    members = {
        "observation_space": lambda *_: space,
        "reset": lambda self, **_: (self.__dict__.update(agents=["a"]), ({"a": seen}, {}))[1],
    }
    with pytest.raises(HostEnvironmentError, match="not in its space") as caught:
        played(from_pettingzoo(odd(**members), name="counting"), [])
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 400


def test_copies_are_not_one_and_the_same():
    one = Counting()
    env = from_pettingzoo(lambda: one, name="counting")
    with pytest.raises(HostEnvironmentError, match="counting: what makes it returned the same env"):
        played(env, [1], seeds=(0, 1))


@pytest.mark.parametrize(
    ("flaw", "at", "message"),
    [
        ("raises in reset", (1, 0), "step 0: reset raised ValueError: no level to load"),
        ("other actions", (0, 0), r"agent a, step 0: its spaces are now .*Discrete\(3\); before:"),
        ("other observations", (0, 0), r"agent a, step 0: its spaces are now .*\(4,\).*; before:"),
        ("nobody", (0, 0), "step 0: no agent takes part"),
    ],
)
def test_a_reset_may_go_wrong_too(flaw, at, message):
    with pytest.raises(HostEnvironmentError, match=f"^counting, {message}"):
        played(team(flaw=flaw, at=at, length=2), [1, 1, 1])


def test_a_failure_in_a_process_arrives_with_its_traceback():
    env = from_pettingzoo(lambda: Counting(flaw="raises", at=(0, 2)), name="counting")
    with pytest.raises(HostEnvironmentError, match="step 2: step raised RuntimeError") as caught:
        played(env, [1, 1, 1], workers=2, seeds=(0, 1))
    assert "in step" in caught.value.trace


def test_a_step_that_never_returns_is_ended():
    env = from_pettingzoo(lambda: Counting(flaw="hangs", at=(0, 1)), name="counting")
    copies = env.open(1, 1, 60.0)
    copies.reset([0])
    copies._timeout = 0.5
    with pytest.raises(HostEnvironmentError, match=r"step 1 did not return within 0\.5 seconds"):
        copies.step(np.zeros((1, 2), int))
    assert not any(process.is_alive() for process in copies._vector.processes)
    copies.close()


def test_a_step_that_hangs_is_given_up_when_told_to_stop(monkeypatch):
    monkeypatch.setattr("adaps.envs.host.copies.STOP_SECONDS", 0.1)
    env = from_pettingzoo(lambda: Counting(flaw="hangs", at=(0, 1)), name="counting")
    copies = env.open(1, 1, 60.0, stop := threading.Event())
    copies.reset([0])
    stop.set()
    with pytest.raises(HostEnvironmentError, match="step 1 was given up when told to stop"):
        copies.step(np.zeros((1, 2), int))
    copies.close()


def test_processes_end_with_the_one_above():
    lines = """
        import os, numpy as np
        from adaps.envs import from_pettingzoo
        from envs.teams_in_python import Counting
        env = from_pettingzoo(lambda: Counting(flaw="hangs", at=(0, 1)), name="counting")
        copies = env.open(1, 1)
        copies.reset([0])
        copies._vector.step_async(np.zeros((1, 1, 2), int))
        print(copies._vector.processes[0].pid, flush=True)
        os.kill(os.getpid(), 9)
    """
    run = [sys.executable, "-c", textwrap.dedent(lines)]
    ended = subprocess.run(run, capture_output=True, check=False, cwd=TESTS, text=True)
    assert ended.returncode == -9
    pid, until = int(ended.stdout), time.monotonic() + 20
    while psutil.pid_exists(pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not psutil.pid_exists(pid)


def test_a_process_that_dies_is_missed():
    env = from_pettingzoo(counting)
    copies = env.open(2, 2)
    copies.reset([0, 1])
    copies._vector.processes[1].kill()
    copies._vector.processes[1].join()
    with pytest.raises(HostEnvironmentError, match="that steps copies of it has died in step 1"):
        copies.step(np.zeros((2, 2), int))
    copies.close()


def broke(*_):
    raise RuntimeError("it\nbroke")


def observing(space):
    return odd(observation_space=lambda self, agent: space)


def members(**values):
    """What makes a team and then sets these."""

    def make_one():
        one = Counting()
        vars(one).update(values)
        return one

    return make_one


def prop(name):
    """A class of teams that have a property that cannot be read."""
    return odd(**{name: property(broke, lambda self, value: None)})


class Turns(AECEnv):
    """One agent after the other, as in chess."""

    metadata = {}  # noqa: RUF012
    possible_agents = ["a", "b"]  # noqa: RUF012


@pytest.mark.parametrize(
    ("make_env", "message"),
    [
        (lambda: Counting(flaw="continuous"), "the actions of a are Box.*only Discrete actions"),
        (lambda: Counting(names=()), "has no agents: its possible_agents are empty"),
        (object, "is a object, and not a PettingZoo ParallelEnv or AECEnv"),
        (lambda: 1 / 0, "cannot be made: ZeroDivisionError: division by zero"),
        (sys.exit, "cannot be made: SystemExit$"),
        (Counting(), "name a function or a class that makes it"),
        (lambda: Counting(names=(0, 1)), "the names of its possible_agents must be text, .* not 0"),
        (lambda: Counting(names=("a", "b", "a")), "its possible_agents name 'a' twice"),
        (members(possible_agents=None), "possible_agents must be a list of names, not None"),
        (members(possible_agents="ab"), "possible_agents must be a list of names, not 'ab'"),
        (members(possible_agents=5), "its possible_agents cannot be had: TypeError"),
        (odd(__init__=lambda self: None), "possible_agents must be a list of names, not None"),
        (prop("possible_agents"), "its possible_agents cannot be had: RuntimeError: it broke"),
        (odd(observation_space=broke), "the spaces of a cannot be had: RuntimeError: it broke"),
        (odd(action_space=broke), "the spaces of a cannot be had: RuntimeError: it broke"),
        (observing(None), "the observation space of a is None, and no space"),
        (odd(action_space=lambda *_: None), "the actions of a are None; only Discrete"),
        (odd(action_space=lambda *_: Discrete(2**40)), "a has 1,099,511,627,776 actions; up to"),
        (observing(Discrete(2**40)), "come to 1,099,511,627,776 numbers"),
        (observing(Text(3)), "Text.*, cannot be flattened; wrap it so that they are of Box, "),
        (observing(Graph(PAIR, None)), "Graph.*, cannot be flattened; wrap it"),
        (observing(Dict([((0, 1), PAIR)])), "cannot be flattened; .*keys are text or whole"),
        (odd(action_space=lambda *_: MANY), r"the actions of a are Box\(.* …; only Discrete"),
        (members(agent_types="ab"), "agent_types must be 2 whole numbers, .* not 'ab'; give agent"),
        (members(agent_types=5), "agent_types must be 2 whole numbers, one for each agent, not 5"),
        (members(agent_types={0: 1, 1: 1}), "agent_types must be 2 whole numbers"),
        (members(agent_types=[0, None]), "agent_types must be 2 whole numbers"),
        (members(agent_types=[0.5, 0.7]), "agent_types must be 2 whole numbers"),
        (members(agent_types=[0, 0, 1]), "3 agent types for 2 agents"),
        (prop("agent_types"), "its agent_types cannot be had: RuntimeError: it broke"),
        (Turns, "is turn-based: PettingZoo makes an AECEnv parallel only where"),
    ],
)
def test_what_cannot_be_trained_is_refused(make_env, message):
    with pytest.raises(UserError, match=message) as caught:
        from_pettingzoo(make_env)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("max_steps", [2.5, 0, -1, "x"])
def test_episodes_are_cut_off_after_whole_steps(max_steps):
    with pytest.raises(UserError, match="max_steps must be a whole number from 1, not"):
        from_pettingzoo(counting, max_steps=max_steps)


def test_how_a_look_ends_does_not_matter():
    assert from_pettingzoo(odd(close=broke, agent_types=np.array([0, 1]))).agent_types == (0, 1)


def test_pictures_are_an_option():
    def picky(render_mode=None):
        if render_mode is not None:
            raise ValueError(f"{render_mode} is none of my modes")
        return Counting()

    played(from_pettingzoo(picky).drawing(), [1])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pettingzoo:mpe2.simple_tak_v3", "did you mean 'mpe2.simple_tag_v3'"),
        ("pettingzoo:", "names no environment"),
        ("pettingzoo:mpe2.simple_tag_v3?max_cycles", "write options as"),
        ("pettingzoo:mpe2.simple_tag_v3?cycles=1", "cannot be made: TypeError"),
        ("pettingzoo:mpe2.simple_tag_v3?continuous_actions=True", "only Discrete actions"),
        ("pettingzoo:msgspec", "has no parallel_env and no env"),
        ("pettingzoo:json", "is of Python's standard library"),
        ("pettingzoo:..x", "unknown PettingZoo environment '..x'"),
        ("pettingzoo:envs.teams_in_python:counting", "unknown PettingZoo environment"),
        ("pettingzoo:mpe2.simple_tag_v3,max_steps=9", "argument 'max_steps'"),
        ("pettingzoo:mpe2.simple_tag_v3,max_cycles=9,render", "write options as"),
        ("envs.teams_in_python:Counting,size=9", "cannot be made: TypeError: .* argument 'size'"),
        ("envs.teams_in_python:COUNTING,length=9", "is an object, which takes no options"),
        ("envs.teams_in_python:COUNTING", "name a function or a class that makes it"),
    ],
)
def test_names_that_mean_nothing_are_refused(name, message):
    with pytest.raises(UserError, match=message):
        make(name)


def test_environments_are_made_by_name():
    env = make("PettingZoo:mpe2.simple_tag_v3?max_cycles=7&num_good=2")
    assert env.name == "pettingzoo:mpe2.simple_tag_v3,max_cycles=7,num_good=2"
    assert env.agent_names[3:] == ("agent_0", "agent_1")
    mine = make("envs.teams_in_python:counting")
    assert (mine.name, mine.num_agents) == ("envs.teams_in_python:counting", 2)
    steps = played(env, [0] * 7)
    assert [bool(s.truncated[0]) for s in steps] == [False] * 7 + [True]


OPTIONS = {"max_steps": 7, "name": "x", "agent_types": [0, 1], "options": "a,b=c", "env": None}
"""Of an environment, with the names of ours."""


def with_options(**options):
    assert options == OPTIONS
    return Counting()


@pytest.mark.parametrize("prefix", ["", "pettingzoo"])
def test_what_stands_behind_a_name_is_the_environments(prefix, monkeypatch):
    module = types.ModuleType("with_options")
    module.parallel_env = module.make_env = with_options
    monkeypatch.setitem(sys.modules, "with_options", module)
    name = full_name(prefix, "with_options" if prefix else "with_options:make_env", OPTIONS)
    env = make(name, agent_types=(4, 5))
    assert (env.name, env.agent_types, env.max_steps) == (name, (4, 5), None)
    assert played(env, [0])[0].reward.tolist() == [[0, 0]]


def test_options_reach_what_makes_an_environment():
    env = from_pettingzoo(Counting, options={"names": ("x", "y", "z")}, length=2, max_steps=5)
    assert (env.num_agents, env.max_steps) == (3, 5)
    assert env.name == "envs.teams_in_python:Counting,names=('x', 'y', 'z'),length=2"
    assert make(env.name).agent_names == env.agent_names


def test_modules_in_the_working_directory_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "team_here.py").write_text(
        "from envs.teams_in_python import counting as parallel_env"
    )
    assert make("pettingzoo:team_here").num_agents == 2
    (tmp_path / "team_there.py").write_text("import te")
    with pytest.raises(UserError, match="needs the package te: pip install te"):
        make("pettingzoo:team_there")


def test_one_after_the_other_becomes_side_by_side():
    from mpe2 import simple_v3  # noqa: PLC0415

    env = from_pettingzoo(simple_v3.env, max_cycles=5)
    assert isinstance(env, adaps.HostEnvironment)
    assert [bool(s.truncated[0]) for s in played(env, [1] * 5)] == [False] * 5 + [True]
