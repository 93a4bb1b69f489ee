"""Agents that were not there when the kinds were found."""

import jax
import numpy as np
import pytest

import adaps
from adaps.collect.jax import JaxCollector, uniform
from adaps.identity import samples
from adaps.identity.samples import Rows
from adaps.types import action_space_of

ENV = adaps.make("bps:2-2")
NUM_ROWS = 50


@pytest.fixture(scope="module")
def known(two_kinds):
    assert two_kinds.clusters.tolist() == [0, 0, 1, 1]
    return two_kinds.known


@pytest.fixture(scope="module")
def steps():
    """Transitions from copies that nothing was learnt from: ``[time, env, agent]``."""
    collector, space = JaxCollector(ENV), action_space_of(ENV)
    run = jax.jit(lambda position: collector.collect(uniform(space), position, NUM_ROWS))
    rollout = run(collector.start(jax.random.key(123), NUM_ROWS))[1]
    return jax.device_get(samples.as_steps(rollout, space))


def rows_of(steps, agent, reward=None):
    """Of each copy one transition, each at another time."""
    number = np.arange(NUM_ROWS)
    own = jax.tree.map(lambda x: x[number, number, agent], steps)
    return jax.tree.map(np.asarray, samples.regression(own._replace(reward=own.reward)
        if reward is None else own._replace(reward=reward(own).astype(np.float32))))  # fmt: skip


def as_rows(rows):
    return Rows(*map(jax.numpy.asarray, rows))


@pytest.mark.parametrize("agent", range(4))
def test_a_further_agent_is_placed_with_its_kind(known, steps, agent):
    placement = known.place(as_rows(rows_of(steps, agent)))
    assert placement.cluster == ENV.agent_types[agent]
    assert placement.is_known
    assert placement.errors.shape == (2, 2)
    reward = placement.errors[:, 0]
    assert reward[placement.cluster] < 0.5 * reward[1 - placement.cluster]


@pytest.mark.parametrize(
    "reward",
    [
        lambda own: -own.reward,
        lambda own: np.linalg.norm(own.obs[:, 2:4], axis=-1),
        lambda own: 0 * own.reward + 3,
    ],
    ids=["negated", "from the middle", "constant"],
)
@pytest.mark.parametrize("agent", [0, 3])
def test_who_is_rewarded_for_something_else_is_not_known(known, steps, agent, reward):
    assert not known.place(as_rows(rows_of(steps, agent, reward))).is_known


def test_who_moves_otherwise_is_not_known(known, steps):
    rows = rows_of(steps, 0)
    given = rows.given.copy()
    given[:, ENV.obs_size :] = np.roll(given[:, ENV.obs_size :], 2, axis=1)
    assert not known.place(as_rows(Rows(given, rows.target))).is_known


def test_one_row_is_placed_and_many_are(known, steps):
    rows = rows_of(steps, 2)
    one = known.place(as_rows(Rows(*(x[:1] for x in rows))))
    assert np.isfinite(one.errors).all()
    many = known.place(as_rows(Rows(*(np.tile(x, (100, 1)) for x in rows))))
    assert many.cluster == 1
    np.testing.assert_allclose(many.errors, known.place(as_rows(rows)).errors, rtol=1e-4)


def test_the_same_seed_places_the_same(known, steps):
    rows = as_rows(rows_of(steps, 1))
    one, other = known.place(rows, seed=4), known.place(rows, seed=4)
    assert one[:2] == other[:2]
    np.testing.assert_array_equal(one.errors, other.errors)


def test_no_rows_or_rows_of_another_size_are_refused(known, steps):
    given, target = rows_of(steps, 0)
    wrong = [
        (given[:0], target[:0], "not 0 of 8"),
        (given[:, 1:], target[:, 1:], "of 8 observed numbers are needed .* not 50 of 7"),
        (given[:, :-1], target, "with 5 actions are needed .* not with 4"),
        (np.pad(given, ((0, 0), (0, 1))), target, "with 5 actions are needed .* not with 6"),
    ]
    for *rows, says in wrong:
        with pytest.raises(adaps.UserError, match=says):
            known.place(as_rows(rows))


def test_what_is_remembered_are_the_held_out_rows_of_each_kind(two_kinds, known):
    assert len(known.own_errors) == 2
    rows = two_kinds.findings["gathered"]["rows_per_agent"]
    assert {errors.shape for errors in known.own_errors} == {(2 * rows // 2, 2)}
    np.testing.assert_allclose(known.centres, two_kinds.centres, rtol=1e-5)
    for errors in known.own_errors:
        assert errors.mean(axis=0)[0] < 0.3
