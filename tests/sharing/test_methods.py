"""Identities between methods: one is another in disguise, bit for bit."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import adaps
from adaps.config.choices import algo_options
from adaps.config.training import TrainConfig
from adaps.networks.weights import num_sets, num_sets_used
from adaps.sharing import METHODS
from adaps.sharing.masks import keep_ratio
from adaps.sharing.method import DATA_ONLY, SharingMethod, hooks_of
from adaps.training import stages
from adaps.training.device_placement import Placement
from adaps.training.driver import Driver
from adaps.training.progress import Watch
from adaps.training.recorder import Recorder
from adaps.training.train import SeedGroup, share_out, train_seeds
from cores import agent_of, network_of, params_of, rollout_of, with_final_obs, with_obs

NETWORK = network_of(num_agents=4, obs_size=3, num_actions=5, hidden=(8, 6))
KEY = jax.random.key(0)
SHORT = {"steps": 2_000, "seeds": 1, "evaluations": 1, "eval_episodes": 8, "hidden": (16, 16)}


def trained(method):
    return adaps.train("bps:2-2", method, **SHORT).policies[0].params


@pytest.mark.parametrize(
    ("disguised", "method"),
    [
        (adaps.AdaPS(groups="oracle", threshold=1e-9), "fups"),
        (adaps.AdaPS(groups=[0, 0, 0, 0]), "fups"),
        (adaps.SNPPS(keep_ratio=(1.0,)), "fups"),
        (adaps.FuPSMask(keep_ratio=(1.0, 1.0)), "fups"),
        (adaps.SePS(clusters=1), "fups"),
        (adaps.SePS(groups=[[0, 1, 2, 3]]), "fups"),
        (adaps.FuPSGroupId(clusters=1), "fups"),
        (adaps.SePS(groups=[0, 1, 2, 3]), "nops"),
        (adaps.FuPSGroupId(groups=[0, 1, 2, 3]), "fups+id"),
    ],
    ids=str,
)
def test_one_method_is_another_bit_for_bit(disguised, method):
    jax.tree.map(np.testing.assert_array_equal, trained(disguised), trained(method))


def test_seps_with_as_many_clusters_as_agents_is_nops_after_gathering():
    codes = np.random.default_rng(0).normal(size=(4, 10))
    found = adaps.Identity(codes, np.arange(4), codes, {})
    assert_equal_sharing(adaps.SePS(clusters=4).build(KEY, NETWORK, found), nops())


def assert_equal_sharing(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def nops():
    return adaps.NoPS().build(KEY, NETWORK, None)


def updated(sharing, rollout, updates=3):
    algo, agent, params = adaps.A2C(), agent_of(NETWORK), params_of(NETWORK, sharing)
    learner = algo.init(KEY, agent, params)
    update = jax.jit(partial(algo.update, KEY, agent))
    for _ in range(updates):
        learner, _ = update(learner, sharing, rollout)
    return params, learner.params


def test_under_nops_another_agents_noise_changes_nothing():
    rollout = rollout_of(jax.random.key(1), NETWORK.shape)
    noise = 100 * jax.random.normal(jax.random.key(2), (5, 2))

    def noisy(obs):
        return obs.at[:, :, 0].add(noise[..., None])

    disturbed = with_final_obs(with_obs(rollout, noisy), noisy)._replace(
        reward=rollout.reward.at[:, :, 0].add(noise), action=rollout.action.at[:, :, 0].set(0)
    )
    (_, quiet), (_, disturbed) = (updated(nops(), r) for r in (rollout, disturbed))
    for a, b in zip(jax.tree.leaves(quiet), jax.tree.leaves(disturbed), strict=True):
        np.testing.assert_array_equal(a[1:], b[1:])
        assert (a[0] != b[0]).any()


def test_neurons_that_nobody_owns_are_never_trained():
    sharing = adaps.FuPSMask(keep_ratio=(0.5, 0.5)).build(KEY, NETWORK, None)
    rollout = rollout_of(jax.random.key(1), NETWORK.shape)
    before, after = (params.sets for params in updated(sharing, rollout))
    for part in ("actor", "critic"):
        layers = zip(getattr(before, part), getattr(after, part), strict=True)
        (first, first_after), (second, second_after), _ = layers
        dead = np.asarray(sharing.masks[f"{part}/0"][0]) == 0
        assert dead.sum() == 4
        np.testing.assert_array_equal(first.weight[0][:, dead], first_after.weight[0][:, dead])
        np.testing.assert_array_equal(first.bias[0][dead], first_after.bias[0][dead])
        np.testing.assert_array_equal(second.weight[0][dead], second_after.weight[0][dead])
        assert (first.weight[0][:, ~dead] != first_after.weight[0][:, ~dead]).all()


def test_snp_ps_keeps_the_given_share_of_each_layer_for_each_agent_apart():
    masks = adaps.SNPPS(keep_ratio=(0.25, 0.5)).build(KEY, NETWORK, None).masks
    for part in ("actor", "critic"):
        first, second = masks[f"{part}/0"], masks[f"{part}/1"]
        np.testing.assert_array_equal((np.asarray(first) > 0).sum(axis=1), [2, 2, 2, 2])
        np.testing.assert_array_equal((np.asarray(second) > 0).sum(axis=1), [3, 3, 3, 3])
        np.testing.assert_allclose(np.square(first).mean(axis=1), 1.0, rtol=1e-6)
        assert len(np.unique(first, axis=0)) > 1
    plain = adaps.SNPPS(rescale=False).build(KEY, NETWORK, None).masks["actor/0"]
    assert set(np.unique(plain)) == {0.0, 1.0}


def test_the_common_mask_is_common():
    for mask in adaps.FuPSMask().build(KEY, NETWORK, None).masks.values():
        assert (mask == mask[0]).all()
        assert keep_ratio(mask) == 0.5


@pytest.mark.parametrize("method", [adaps.SNPPS, adaps.FuPSMask])
def test_ratios_must_fit_the_layers(method):
    with pytest.raises(adaps.UserError, match="one for each of the 2 hidden layers, not 3"):
        method(keep_ratio=(0.5, 0.5, 0.5)).build(KEY, NETWORK, None)


def test_tags_say_who_and_which_group():
    codes = np.random.default_rng(0).normal(size=(2, 10))
    found = adaps.Identity(None, np.array([0, 1, 1, 0]), codes, {})
    assert adaps.FuPSId().build(KEY, NETWORK, None).tags.tolist() == np.eye(4).tolist()
    tags = adaps.FuPSGroupId().build(KEY, NETWORK, found).tags
    assert tags.tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]


def test_every_method_goes_by_its_name():
    assert all(method().name == name for name, method in METHODS.items())
    assert {"nops", "fups", "fups+id", "seps", "snp-ps", "adaps", "kaleidoscope"} <= set(METHODS)


class Uneven(adaps.SePS):
    """Finds two groups with one seed's key and three with the other's."""

    def build(self, key, network, identity):
        more = int(jax.random.key_data(key).sum()) % 2
        return (
            super()
            .build(key, network, identity)
            ._replace(
                param_set=jnp.array([0, 0, 1, 1 + more], jnp.int32),
                tags=jnp.ones((4, 2 + more)),
            )
        )


def test_seeds_with_more_and_with_fewer_groups_fit_into_one_program():
    env, seeds = adaps.make("bps:2-2"), [0, 3]
    options = {**SHORT, "seeds": 2}
    config = TrainConfig(env.name, Uneven(clusters=1), algo_options("a2c"), **options)
    recorder = Recorder(env, config, Placement([seeds], 1), None, Watch())
    driver = Driver(recorder, recorder.journal(seeds), seeds)
    made, keys = stages.make_jax_stages(env, config), stages.seed_keys(jnp.uint32(jnp.array(seeds)))
    group = SeedGroup(config, made, recorder, driver, seeds, keys)
    sets = [num_sets_used(s) for s in share_out(group, [None, None]).sharings]
    assert sorted(sets) == [2, 3]
    assert [num_sets(result.policy.params) for result in train_seeds(group)] == sets


def test_methods_that_are_only_data_have_no_hooks():
    data = [method() for method in METHODS.values() if method is not adaps.Kaleidoscope]
    assert all(hooks_of(method) is DATA_ONLY for method in data)
    assert hooks_of(Uneven(clusters=1)) is DATA_ONLY


@dataclass(frozen=True)
class Doubled(SharingMethod):
    """Acts with weights twice as large."""

    def build(self, key, network, identity):
        return adaps.FuPS().build(key, network, identity)

    def bind(self, params, sharing):
        return super().bind(jax.tree.map(lambda x: 2 * x, params), sharing)


class Penalised(adaps.FuPS):
    def penalty(self, params, sharing, loss):
        return 2 * loss, {}


class Transformed(adaps.FuPS):
    def transform(self):
        return optax.with_extra_args_support(optax.scale(2.0))


@pytest.mark.parametrize("method", [Doubled(), Penalised(), Transformed(), adaps.Kaleidoscope()])
def test_a_method_that_does_more_stands_for_itself(method):
    assert hooks_of(method) is method


def test_methods_that_are_only_data_share_their_programs():
    def programs(method):
        adaps.train("bps:2-2", method, **SHORT)
        return [f._cache_size() for f in (stages._advance, stages._begin, stages._evaluate)]

    once = programs(adaps.FuPS())
    assert programs(adaps.SNPPS()) == once
    more = programs(adaps.Kaleidoscope(renew_every=7))
    assert all(after == before + 1 for after, before in zip(more, once, strict=True))
    assert programs(adaps.Kaleidoscope(renew_every=7)) == more
