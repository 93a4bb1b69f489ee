"""Identities between methods: one is another in disguise, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adaps
from adaps.config.choices import algo_options
from adaps.config.training import TrainConfig
from adaps.networks.mlp import init_params, num_sets_of
from adaps.sharing import METHODS
from adaps.sharing.masks import keep_ratio
from adaps.training.device_placement import Placement
from adaps.training.progress import Watch
from adaps.training.recorder import Recorder
from adaps.training.stages import make_stages
from adaps.training.train import Program, share_out, train_seeds
from adaps.types import NetworkShape, Transition

SHAPE = NetworkShape(num_agents=4, obs_size=3, num_actions=5, hidden=(8, 6))
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
    assert_equal_sharing(adaps.SePS(clusters=4).build(KEY, SHAPE, found), nops())


def assert_equal_sharing(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def nops():
    return adaps.NoPS().build(KEY, SHAPE, None)


def transitions(key):
    obs_key, action_key, reward_key = jax.random.split(key, 3)
    obs = jax.random.normal(obs_key, (6, 2, 4, 3))
    return Transition(
        obs=obs[:-1],
        legal=jnp.ones((5, 2, 4, 5), bool),
        action=jax.random.randint(action_key, (5, 2, 4), 0, 5),
        reward=jax.random.normal(reward_key, (5, 2, 4)),
        terminated=jnp.zeros((5, 2), bool),
        truncated=jnp.zeros((5, 2), bool),
        last_obs=obs[1:],
    )


def updated(sharing, data, updates=3):
    algorithm = adaps.A2C().build()
    params = init_params(KEY, SHAPE, num_sets_of(sharing), sharing.tags.shape[-1], sharing.learned)
    learner = algorithm.init(params)
    update = jax.jit(algorithm.update)
    for _ in range(updates):
        learner, _ = update(learner, sharing, data)
    return params, learner.params


def test_under_nops_another_agents_noise_changes_nothing():
    data = transitions(jax.random.key(1))
    noise = 100 * jax.random.normal(jax.random.key(2), (5, 2))
    disturbed = data._replace(
        obs=data.obs.at[:, :, 0].add(noise[..., None]),
        reward=data.reward.at[:, :, 0].add(noise),
        action=data.action.at[:, :, 0].set(0),
        last_obs=data.last_obs.at[:, :, 0].add(noise[..., None]),
    )
    (_, quiet), (_, noisy) = (updated(nops(), d) for d in (data, disturbed))
    for a, b in zip(jax.tree.leaves(quiet), jax.tree.leaves(noisy), strict=True):
        np.testing.assert_array_equal(a[1:], b[1:])
        assert (a[0] != b[0]).any()


def test_neurons_that_nobody_owns_are_never_trained():
    sharing = adaps.FuPSMask(keep_ratio=(0.5, 0.5)).build(KEY, SHAPE, None)
    before, after = updated(sharing, transitions(jax.random.key(1)))
    for network, masks in sharing.masks._asdict().items():
        layers = zip(getattr(before, network), getattr(after, network), strict=True)
        (first, first_after), (second, second_after), _ = layers
        dead = np.asarray(masks[0][0]) == 0
        assert dead.sum() == 4
        np.testing.assert_array_equal(first.weight[0][:, dead], first_after.weight[0][:, dead])
        np.testing.assert_array_equal(first.bias[0][dead], first_after.bias[0][dead])
        np.testing.assert_array_equal(second.weight[0][dead], second_after.weight[0][dead])
        assert (first.weight[0][:, ~dead] != first_after.weight[0][:, ~dead]).all()


def test_snp_ps_keeps_the_given_share_of_each_layer_for_each_agent_apart():
    masks = adaps.SNPPS(keep_ratio=(0.25, 0.5)).build(KEY, SHAPE, None).masks
    for first, second in masks:
        np.testing.assert_array_equal((np.asarray(first) > 0).sum(axis=1), [2, 2, 2, 2])
        np.testing.assert_array_equal((np.asarray(second) > 0).sum(axis=1), [3, 3, 3, 3])
        np.testing.assert_allclose(np.square(first).mean(axis=1), 1.0, rtol=1e-6)
        assert len(np.unique(first, axis=0)) > 1
    plain = adaps.SNPPS(rescale=False).build(KEY, SHAPE, None).masks.actor[0]
    assert set(np.unique(plain)) == {0.0, 1.0}


def test_the_common_mask_is_common():
    masks = adaps.FuPSMask().build(KEY, SHAPE, None).masks
    for mask in (*masks.actor, *masks.critic):
        assert (mask == mask[0]).all()
        assert keep_ratio(mask) == 0.5


@pytest.mark.parametrize("method", [adaps.SNPPS, adaps.FuPSMask])
def test_ratios_must_fit_the_layers(method):
    with pytest.raises(adaps.UserError, match="one for each of the 2 hidden layers, not 3"):
        method(keep_ratio=(0.5, 0.5, 0.5)).build(KEY, SHAPE, None)


def test_tags_say_who_and_which_group():
    codes = np.random.default_rng(0).normal(size=(2, 10))
    found = adaps.Identity(None, np.array([0, 1, 1, 0]), codes, {})
    assert adaps.FuPSId().build(KEY, SHAPE, None).tags.tolist() == np.eye(4).tolist()
    tags = adaps.FuPSGroupId().build(KEY, SHAPE, found).tags
    assert tags.tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]


def test_every_method_goes_by_its_name():
    assert all(method().name == name for name, method in METHODS.items())
    assert {"nops", "fups", "fups+id", "seps", "snp-ps", "adaps", "kaleidoscope"} <= set(METHODS)


def test_seeds_with_more_and_with_fewer_groups_fit_into_one_program():
    class Uneven(adaps.SePS):
        """Finds two groups with one seed's key and three with the other's."""

        def build(self, key, shape, identity):
            more = int(jax.random.key_data(key).sum()) % 2
            return (
                super()
                .build(key, shape, identity)
                ._replace(
                    group=jnp.array([0, 0, 1, 1 + more], jnp.int32),
                    tags=jnp.ones((4, 2 + more)),
                )
            )

    env = adaps.make("bps:2-2")
    options = {**SHORT, "seeds": 2}
    config = TrainConfig(env.name, Uneven(clusters=1), algo_options("a2c"), **options)
    recorder = Recorder(env, config, Placement([[0, 3]], 1), None, Watch())
    stages = make_stages(env, config, 2)
    seeds = [0, 3]
    keys = stages.keys(jnp.array(seeds, jnp.uint32))
    program = Program(config, stages, recorder, recorder.journal(seeds), seeds, keys)
    sets = [num_sets_of(s) for s in share_out(program, [None, None]).sharings]
    assert sorted(sets) == [2, 3]
    results = train_seeds(config, stages, recorder, seeds)
    assert [len(r.policy.params.actor[0].bias) for r in results] == sets
