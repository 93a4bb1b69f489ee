"""How differently agents act where they see the same."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adaps
from adaps.collect.diversity import MOST_OWNERS, behaviour_distance, between_groups, snd
from adaps.sharing.method import hooks_of
from adaps.types import Identity
from cores import agent_of, network_of, observation_of, params_of

KINDS = np.array([0, 0, 1])
NETWORK = network_of(3, 4, 5)


def distance(method, network=NETWORK, seed=0, change=lambda params: params):
    key, num_agents = jax.random.key(seed), network.shape.num_agents
    kinds = np.resize(KINDS, num_agents)
    identity = Identity(None, kinds, np.random.default_rng(0).normal(size=(2, 3)), {})
    sharing = method.build(key, network, identity)
    params = params_of(network, sharing, method, seed)
    # The last layer is small at first; larger weights make larger distances.
    params = change(jax.tree.map(lambda x: 5 * x, params))
    agent, seen = agent_of(network, hooks_of(method)), observation_of(key, network.shape, (6,))
    return np.asarray(behaviour_distance(agent, params, sharing, seen))


def test_agents_with_one_network_act_alike():
    assert np.allclose(distance(adaps.FuPS()), 0, atol=1e-6)


@pytest.mark.parametrize("method", [adaps.NoPS(), adaps.FuPSId(), adaps.SNPPS()])
def test_a_distance_is_a_metric_in_its_range(method):
    found = distance(method)
    assert np.allclose(found, found.T)
    assert np.allclose(np.diagonal(found), 0, atol=1e-6)
    assert (found <= 1).all()
    assert (found[~np.eye(3, dtype=bool)] > 1e-3).all()
    assert (found[0, 2] <= found[0, 1] + found[1, 2] + 1e-6).all()


@pytest.mark.parametrize("method", [adaps.AdaPS(), adaps.SePS()])
def test_alike_agents_act_alike_and_unlike_ones_do_not(method):
    found = distance(method)
    assert found[0, 1] == pytest.approx(0, abs=1e-6)
    assert found[0, 2] > 1e-3


def test_opposite_agents_are_as_far_apart_as_can_be():
    def opposite(params):
        *layers, last = params.sets.actor
        bias = jnp.full((3, 5), -100.0).at[jnp.arange(3), jnp.arange(3)].set(100.0)
        last = last._replace(weight=jnp.zeros_like(last.weight), bias=bias)
        return params._replace(sets=params.sets._replace(actor=(*layers, last)))

    found = distance(adaps.NoPS(), change=opposite)
    assert np.allclose(found, 1 - np.eye(3))
    assert snd(found) == pytest.approx(1.0)


def test_large_teams_show_some_observations_to_all():
    network = network_of(3 * MOST_OWNERS, 4, 5)
    assert distance(adaps.AdaPS(), network).shape == (48, 48)


def test_one_agent_has_no_diversity():
    assert snd(distance(adaps.NoPS(), network_of(1, 4, 5))) == 0.0


def test_groups_by_hand():
    apart = np.array([[0.0, 0.2, 0.6], [0.2, 0.0, 0.8], [0.6, 0.8, 0.0]])
    assert np.allclose(between_groups(apart, [4, 4, 7]), [[0.2, 0.7], [0.7, 0.0]])
    assert snd(apart) == pytest.approx((0.2 + 0.6 + 0.8) / 3)


def test_every_evaluation_says_how_diverse_the_team_is(short_run):
    folder, result = short_run
    for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()):
        assert 0 <= line["snd"] <= 1
        between = np.array(line["behaviour_distance"])
        found = result.clusters[result.seeds.index(line["seed"])]
        assert between.shape == (len(set(found)),) * 2
        assert np.allclose(np.diagonal(between), 0, atol=1e-4)
