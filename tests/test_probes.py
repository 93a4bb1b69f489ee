"""Probe environments through the whole of ``adaps.train``."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adaps
from cores import outputs
from probes import OPPOSITE, Probe, constant, late, one_action, what_is_seen

FAST = adaps.A2C(learning_rate=5e-3)
GATHER = {"gather_steps": 1_600, "encoder": adaps.VAE(updates=600)}
SMALL = {"steps": 8_000, "seeds": 1, "hidden": (16,), "evaluations": 1, "eval_episodes": 32}


def values(result, obs):
    policy = result.policies[0]
    obs = jnp.array(obs)[None, :, None]
    return outputs(policy.agent, policy.params, policy.sharing, obs)[1][0]


def test_the_critic_learns_a_constant():
    result = adaps.train(Probe("constant", constant), "fups", FAST, **SMALL)
    np.testing.assert_allclose(values(result, [1.0, -1.0]), 1.0, atol=0.05)


def test_the_critic_bootstraps_through_truncation_but_not_termination():
    discount = 0.5
    algo = dataclasses.replace(FAST, discount=discount)
    ends = adaps.train(Probe("ends", constant, max_steps=1), "fups", algo, **SMALL)
    cut = adaps.train(Probe("cut", constant, max_steps=1, terminates=False), "fups", algo, **SMALL)
    np.testing.assert_allclose(values(ends, [1.0, -1.0]), 1.0, atol=0.1)
    np.testing.assert_allclose(values(cut, [1.0, -1.0]), 1 / (1 - discount), atol=0.2)


def test_values_reach_back_in_time():
    algo = dataclasses.replace(FAST, discount=0.5)
    # The value is a mean over both steps of an episode, since no observation tells them apart.
    result = adaps.train(Probe("late", late, max_steps=2), "fups", algo, **SMALL)
    np.testing.assert_allclose(values(result, [1.0, -1.0]), [0.75, -0.75], atol=0.15)


@pytest.mark.parametrize("reward", [one_action, what_is_seen])
def test_the_actor_learns(reward):
    result = adaps.train(Probe(reward.__name__, reward), "fups", FAST, **SMALL)
    assert result.return_mean == pytest.approx(2.0)


CAN = ["nops", "fups+id", "seps", "snp-ps", "adaps", "kaleidoscope", "fups+group-id"]
ORACLES = [adaps.AdaPS(groups="oracle"), adaps.SePS(groups=[[0, 1, 2], [3, 4, 5]])]
CANNOT = [
    "fups",
    "fups+mask",
    adaps.AdaPS(groups="shuffled"),
    adaps.SePS(groups="shuffled"),
    adaps.FuPSGroupId(groups="shuffled"),
    adaps.AdaPS(clusters=1),
]


def opposites(method):
    """Learned masks are given more to learn with: every threshold has far to go."""
    slow = method == "kaleidoscope"
    algo = adaps.A2C(learning_rate=2e-2) if slow else FAST
    steps = {"steps": 16_000} if slow else {}
    return adaps.train(OPPOSITE, method, algo, **SMALL | steps | {"hidden": (32,)}, **GATHER)


@pytest.mark.parametrize("method", [*CAN, *ORACLES], ids=str)
def test_one_observation_is_answered_in_two_ways(method):
    result = opposites(method)
    assert result.adjusted_rand_index in ([1.0], [None])
    assert result.return_mean == pytest.approx(30.0)


@pytest.mark.parametrize("method", CANNOT, ids=str)
def test_sharing_among_unlike_agents_cannot(method):
    assert opposites(method).return_mean <= 10.0  # of 30: some agents are always wrong


def test_a_policy_of_a_custom_environment_comes_back(tmp_path: Path):
    out = tmp_path / "run"
    result = adaps.train(OPPOSITE, "fups", FAST, **SMALL, out=out)
    obs = jnp.ones((6, 1))
    loaded = adaps.load(out).act(obs, key=jax.random.key(1))
    assert (loaded == result.policies[0].act(obs, key=jax.random.key(1))).all()
