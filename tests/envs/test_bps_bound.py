"""The tabulated best return of Blind-Particle Spread."""

from pathlib import Path

import bps_planner
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bps_planner import BEAM, plan

from adaps.envs.builtin import bps
from adaps.envs.builtin.bps_bound import best_cost, load_table

REFERENCE = Path(__file__).parents[3] / "shared/reference/bps-planner.npz"


def random_offsets(count):
    """Offsets as resets draw them: landmarks in [-3, 3]², agents in [-1, 1]²."""
    landmark_key, agent_key = jax.random.split(jax.random.key(0))
    landmark = jax.random.uniform(landmark_key, (count, 2), minval=-3, maxval=3)
    return landmark - jax.random.uniform(agent_key, (count, 2), minval=-1, maxval=1)


@pytest.mark.parametrize("entry", [(0, 1), (3, 17), (25, 25), (61, 8), (40, 58)])
def test_planning_again_gives_the_table(entry):
    offsets, cost = load_table()
    assert plan(offsets[list(entry)]) == pytest.approx(cost[entry], abs=1e-4, rel=1e-5)


@pytest.mark.parametrize("offset", [(0.118, 0.223), (0.574, 0.110)])
def test_a_wider_beam_finds_hardly_anything_better(offset):
    assert plan(np.array(offset)) == pytest.approx(plan(np.array(offset), 2 * BEAM), rel=1e-3)


def test_a_narrow_beam_is_no_better_than_the_table():
    offsets, cost = load_table()
    for entry in [(5, 9), (30, 20)]:
        assert plan(offsets[list(entry)], beam=2) > cost[entry] - 1e-4


def test_an_agent_on_its_landmark_stays_there():
    assert plan(np.zeros(2)) == 0
    assert best_cost(jnp.zeros(2)) == 0


@pytest.mark.parametrize("offset", [(0.1, 0.1), (0.25, 0.4), (0.03, 0.9)])
def test_plan_of_a_short_episode_is_the_best_of_all_action_sequences(monkeypatch, offset):
    monkeypatch.setattr(bps_planner, "EPISODE_STEPS", 7)
    position, velocity, cost = np.array([offset]), np.zeros((1, 2)), np.zeros(1)
    for _ in range(7):
        velocity = (0.75 * velocity[:, None] + 0.5 * np.array(bps.DIRECTIONS)).reshape(-1, 2)
        position = np.repeat(position, 5, axis=0) + 0.1 * velocity
        cost = np.repeat(cost, 5) + np.linalg.norm(position, axis=1)
    assert plan(np.array(offset)) == pytest.approx(cost.min(), rel=1e-6)


def test_signs_and_order_of_the_axes_do_not_matter():
    _, cost = load_table()
    np.testing.assert_array_equal(cost, cost.T)
    twins = jnp.array([[0.33, -1.2], [-0.33, 1.2], [1.2, 0.33], [-1.2, -0.33]])
    np.testing.assert_allclose(best_cost(twins), best_cost(twins[0]), rtol=1e-6)


def test_cost_grows_with_the_offset():
    """Not from entry to entry near 0 (0.2 is one push, 0.175 is not), but over one push."""
    _, cost = load_table()
    assert np.all(cost[8:] > cost[:-8])


def test_best_cost_is_the_table_at_its_entries_and_between_them_elsewhere():
    offsets, cost = load_table()
    entries = jnp.stack(jnp.meshgrid(*2 * [jnp.array(offsets)], indexing="ij"), axis=-1)
    np.testing.assert_allclose(best_cost(entries), cost, rtol=1e-4, atol=1e-4)
    middle = best_cost(jnp.array([offsets[40:42].mean(), offsets[70:72].mean()]))
    np.testing.assert_allclose(middle, cost[40:42, 70:72].mean(), rtol=1e-5)


def test_offsets_beyond_the_table_cost_as_its_end():
    assert best_cost(jnp.array([5.0, -4.5])) == best_cost(jnp.array([4.0, 4.0]))


def test_best_cost_under_jit_and_vmap():
    offset = random_offsets(12).reshape(3, 4, 2)
    expected = best_cost(offset)
    assert expected.shape == (3, 4)
    np.testing.assert_allclose(jax.jit(best_cost)(offset), expected, rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(jax.vmap(best_cost))(offset), expected, rtol=1e-5)


@pytest.mark.parametrize("offset", [(0.61, 0.24), (1.17, 0.09), (0.06, 1.74)])
def test_costs_between_entries_are_near_the_planner_s(offset):
    assert best_cost(jnp.array(offset)) == pytest.approx(plan(np.array(offset)), abs=0.1)


def test_mean_best_return_over_resets():
    mean = -0.5 * 15 * best_cost(random_offsets(500_000)).mean()
    assert mean == pytest.approx(-201.8, rel=0.005)


@pytest.fixture
def reference():
    """Offsets i / 7, and their costs."""
    if not REFERENCE.exists():
        pytest.skip("shared/reference/bps-planner.npz is absent")
    with np.load(REFERENCE) as arrays:
        return arrays["offset"], arrays["cost"]


def test_table_agrees_with_the_reference_where_both_have_entries(reference):
    theirs = reference[1][::7, ::7]
    ours = load_table()[1][::40, ::40]
    assert np.all(ours <= theirs * (1 + 1e-4))
    np.testing.assert_allclose(ours, theirs, rtol=0.003)


@pytest.mark.parametrize("entry", [(0, 1), (2, 1), (3, 5), (6, 6), (2, 12)])
def test_plan_agrees_with_the_reference_elsewhere(reference, entry):
    offset, theirs = reference
    ours = plan(offset[list(entry)])
    assert ours <= theirs[entry] * (1 + 1e-4)
    assert theirs[entry] < 2 or ours == pytest.approx(theirs[entry], rel=0.003)
