"""What a user is told to do."""

import numpy as np
import pytest

from adaps.identity.advice import Comparable, IdentityConfidence, advise, advise_space_groups
from adaps.networks.mlp import num_params
from adaps.types import Discrete, NetworkShape


def growth(num_agents, num_kinds):
    """Errors that are greater with fewer kinds than there are."""
    reward = {k: (max(0.0, 0.3 * (num_kinds - k)), 0.01) for k in range(1, num_agents + 1)}
    return {"reward": reward, "dynamics": dict.fromkeys(reward, (0.0, 0.0))}


def advice(sizes, found=None, agreement=1.0):
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    shape = NetworkShape(len(clusters), 8, Discrete(5), (64, 64))
    confidence = IdentityConfidence(found or {len(sizes): 1.0}, agreement)
    return advise(clusters, confidence, growth(len(clusters), len(sizes)), shape)


@pytest.mark.parametrize(
    ("sizes", "verdict", "sentence"),
    [
        ((1,), "share all", "There is one agent: it has nobody to share with."),
        ((4,), "share all", "Share all: the 4 agents are alike."),
        ((1, 1), "do not share", "Do not share: the 2 agents are all different."),
        ((1, 1, 1), "do not share", "Do not share: the 3 agents are all different."),
        ((2, 2), "share by kind", "Share by kind: K = 2, 2 kinds of 2 and 2 agents."),
        ((3, 1, 2), "share by kind", "Share by kind: K = 3, 3 kinds of 3, 1 and 2 agents."),
        ((2,) * 13, "share by kind", "Share by kind: K = 13, 13 kinds among 26 agents."),
    ],
    ids=str,
)
def test_verdicts(sizes, verdict, sentence):
    found = advice(sizes)
    assert (found["verdict"], found["sentence"]) == (verdict, sentence)


@pytest.mark.parametrize(
    ("sizes", "found", "agreement", "verdict"),
    [
        ((2, 2), {2: 0.79, 3: 0.21}, 1.0, "not sure"),
        ((2, 2), {2: 0.8, 3: 0.2}, 1.0, "share by kind"),
        ((2, 2), {3: 1.0}, 1.0, "not sure"),
        ((2, 2), {2: 1.0}, 0.79, "not sure"),
        ((2, 2), {2: 1.0}, 0.8, "share by kind"),
        ((2, 2), {2: 1.0}, None, "share by kind"),
        ((4,), {1: 0.5, 2: 0.5}, 1.0, "not sure"),
        ((1, 1), {2: 0.5, 1: 0.5}, 1.0, "not sure"),
        ((1,), {1: 0.0}, 0.0, "share all"),
    ],
)
def test_who_is_not_sure_says_so(sizes, found, agreement, verdict):
    assert advice(sizes, found, agreement)["verdict"] == verdict


def test_not_sure_says_what_is_likely_and_what_to_do():
    assert advice((4,), {1: 0.6, 2: 0.4})["sentence"] == (
        "Not sure: one kind is most likely; gather more with --gather-steps before you rely on it."
    )


def test_reasons_speak_of_fewer_and_more_kinds_and_of_sureness():
    reasons = advice((2, 2), {2: 0.9, 3: 0.1}, 0.9)["reasons"]
    assert reasons == [
        "With one kind the held-out error of reward would be 0.3 variances greater.",
        "Giving each agent a code of its own would not improve held-out prediction "
        "(at most 0 % of the variance).",
        "Resamples of the held-out transitions find 2 kinds in 90 % and 3 kinds in 10 %.",
        "The kinds found in the two halves of the data agree with an adjusted Rand index of 0.90.",
    ]


def test_one_kind_has_no_fewer_and_different_agents_no_more():
    assert not [reason for reason in advice((3,))["reasons"] if "With " in reason]
    assert not [reason for reason in advice((1, 1))["reasons"] if "each agent" in reason]
    assert not [reason for reason in advice((2, 2), agreement=None)["reasons"] if "Rand" in reason]


def test_the_number_of_kinds_may_be_beyond_the_path():
    """Errors are not reported for very many kinds: nothing is said of them then."""
    clusters = np.arange(50)
    shape = NetworkShape(50, 8, Discrete(5), (64, 64))
    found = advise(clusters, IdentityConfidence({50: 1.0}, 1.0), growth(40, 40), shape)
    assert found["verdict"] == "do not share"
    assert len(found["reasons"]) == 2


def test_parameters_are_counted_for_every_choice():
    shape = NetworkShape(6, 8, Discrete(5), (64, 64))
    one = num_params(shape)
    assert advice((3, 1, 2))["parameters"] == {
        "fups": one,
        "adaps": one,
        "seps": 3 * one,
        "nops": 6 * one,
    }


def test_what_agrees_with_itself_is_not_sure_where_there_is_too_little():
    shape = NetworkShape(4, 8, Discrete(5), (64, 64))
    clusters, sure = np.zeros(4, int), IdentityConfidence({1: 1.0}, 1.0)
    found = advise(clusters, sure, growth(4, 1), shape, ["Only 5 steps."])
    assert found["verdict"] == "not sure"
    assert found["sentence"] == (
        "Not sure: there is too little evidence, so one kind is no more than a guess."
    )
    assert found["reasons"][0] == "Only 5 steps."


def of_groups(*sizes, confidence, too_little=()):
    """Advice on groups of agents, by how many agents and numbers each has."""
    groups = [
        Comparable([f"a{size}_{i}" for i in range(count)], f"{size} numbers, 5 actions", size, 5)
        for count, size in sizes
    ]
    clusters = np.repeat(np.arange(len(sizes)), [count for count, _ in sizes])
    shape = NetworkShape(len(clusters), 8, Discrete(5), (64, 64))
    return advise_space_groups(clusters, confidence, groups, shape, too_little)


def test_agents_that_cannot_be_compared_are_not_said_to_be_surely_different():
    found = of_groups((1, 12), (1, 8), confidence=IdentityConfidence({}, None))
    assert found["verdict"] == "nothing to compare"
    assert found["sentence"] == (
        "Nothing to compare: the 2 agents differ by construction (12 and 8 numbers)."
    )
    assert found["reasons"] == [
        "Agents whose observations or actions are of another number or layout cannot be compared, "
        "and are of different kinds by construction: a12_0 (12 numbers, 5 actions); a8_0 (8 "
        "numbers, 5 actions)."
    ]


def test_what_is_sure_within_groups_is_told_from_what_is_by_construction():
    sure = IdentityConfidence({2: 1.0}, 1.0)
    found = of_groups((2, 12), (1, 8), confidence=sure)
    assert found["sentence"] == (
        "Share by kind: K = 2, 2 kinds of 2 and 1 agents. 2 groups differ by construction "
        "(12 and 8 numbers)."
    )
    unsure = of_groups((2, 12), (1, 8), confidence=sure, too_little=["Of a12: not sure."])
    assert unsure["verdict"] == "not sure"
    assert unsure["reasons"][1] == "Of a12: not sure."


def test_groups_that_differ_in_actions_or_layout_alone_are_told_by_that():
    space = {"names": ["a"], "label": "x"}
    both = [Comparable(**space, obs_size=4, num_actions=n) for n in (3, 5)]
    shape, nothing = NetworkShape(2, 4, Discrete(5), (64,)), IdentityConfidence({}, None)
    found = advise_space_groups(np.arange(2), nothing, both, shape)
    assert "(3 and 5 actions)" in found["sentence"]
    found = advise_space_groups(np.arange(2), nothing, [both[0]] * 2, shape)
    assert "(the layout of what they see)" in found["sentence"]
