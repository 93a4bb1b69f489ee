"""How many kinds held-out errors speak for, where the truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score

from adaps.identity.prediction import (
    CHANNELS,
    LEAST_EFFECT,
    MOST_REPORTED,
    by_channel,
    cluster_nodes,
    cut,
    gather_evidence,
    growth_by_number,
    labels_of,
    resampled,
)

NUM_BLOCKS = 16


def evidence(types, vectors, seed=0, spread=0.02, noise=0.05, channel=-1):
    """Codes that lie near their type's vector, and errors that grow with the distance from it.

    Noise is each agent's and block's own, and the same whatever the code: a harder block is
    harder for all.
    """
    types, vectors = np.asarray(types), np.asarray(vectors, float)
    rng = np.random.default_rng(seed)
    codes = vectors[types] + spread * rng.normal(size=(len(types), vectors.shape[1]))
    hardness = 1 + noise * rng.normal(size=(len(types), NUM_BLOCKS))
    wobble = noise * rng.normal(size=(len(types), NUM_BLOCKS, vectors.shape[1]))

    def pair_errors(agent, code):
        errors = np.zeros((len(agent), NUM_BLOCKS, 4))
        errors[..., 1] = hardness[agent]
        away = code[:, None] - vectors[types[agent]][:, None] + 0.1 * wobble[agent]
        errors[..., channel] += np.square(away).sum(axis=-1)
        return errors

    return gather_evidence(codes, pair_errors)


def clusters_of(evidence, blocks=None):
    return labels_of(evidence, cluster_nodes(evidence, blocks))


def labels(types, **options):
    vectors = 0.5 * np.eye(max(6, max(types) + 1))
    return clusters_of(evidence(types, vectors, **options))


@pytest.mark.parametrize("channel", [-1, 0], ids=["reward", "dynamics"])
@pytest.mark.parametrize(
    "types",
    [
        [0] * 8,
        [0],
        [0, 0],
        [0, 1],
        list(range(6)),
        [0, 1, 2, 0, 1, 2, 0, 1],
        [0] * 20 + [1],
        [1] + [0] * 20,
        [0] * 12 + [1] * 9 + [2] * 3 + [3] + [4, 4],
    ],
    ids=str,
)
def test_the_true_groups_are_found(types, channel):
    assert adjusted_rand_score(labels(types, channel=channel), types) == 1.0


def test_codes_that_lie_apart_for_nothing_are_one_kind():
    """Codes in two blobs, while every code predicts every agent as well."""
    codes = np.repeat([[0.0, 0.0], [5.0, 5.0]], 4, axis=0)
    noise = np.random.default_rng(0).normal(size=(8, NUM_BLOCKS, 3))

    def pair_errors(agent, code):
        return 1 + noise[agent] ** 2

    assert clusters_of(gather_evidence(codes, pair_errors)).tolist() == [0] * 8


def test_codes_that_mean_the_same_are_one_kind_though_none_between_them_means_anything():
    """Two kinds with two codes each; a code of the other kind is nearer than the other own one."""
    codes = np.array([[0.0], [4.0], [0.1], [4.1], [2.0], [6.0], [2.1], [6.1]])
    types = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    noise = np.random.default_rng(0).normal(size=(8, NUM_BLOCKS, 2))

    def pair_errors(agent, code):
        own = np.where(types[agent] == 0, 4.0, 2.0)
        away = np.abs(code[:, 0] % 4 - own % 4)
        return (np.minimum(away, 4 - away) > 0.5)[:, None, None] + 1 + 0.01 * noise[agent]

    found = gather_evidence(codes, pair_errors)
    assert clusters_of(found).tolist() == types.tolist()
    assert (np.abs(found.codes[cluster_nodes(found)] % 4 - [[0.05], [2.05]]) < 0.1).all()


def test_what_chance_can_explain_does_not_part_agents():
    """Errors under the other's code are greater in the mean, but not in most blocks."""
    growth = np.zeros(NUM_BLOCKS)
    growth[0] = 4.0

    def pair_errors(agent, code):
        errors = np.ones((len(agent), NUM_BLOCKS, 2))
        errors[code[:, 0] != codes[agent, 0]] += growth[:, None]
        return errors

    codes = np.array([[-1.0], [1.0]])
    assert clusters_of(gather_evidence(codes, pair_errors)).tolist() == [0, 0]
    growth[:] = 0.25
    assert clusters_of(gather_evidence(codes, pair_errors)).tolist() == [0, 1]
    growth[:] = 0.9 * LEAST_EFFECT
    assert clusters_of(gather_evidence(codes, pair_errors)).tolist() == [0, 0]


@given(
    types=st.lists(st.integers(0, 4), min_size=1, max_size=16),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_grouping_is_found_again(types, seed):
    assert adjusted_rand_score(labels(types, seed=seed), types) == 1.0


def test_a_node_holds_its_childrens_agents_and_their_errors():
    found = evidence([0, 0, 1, 1, 2], np.eye(3))
    assert len(found.members) == len(found.errors) == 9
    for number, (first, second) in enumerate(found.linkage[:, :2].astype(int), 5):
        assert found.members[number] == found.members[first] + found.members[second]
    for members, errors in zip(found.members, found.errors, strict=True):
        assert errors.shape == (len(members), NUM_BLOCKS, len(CHANNELS))
    assert sorted(found.members[-1]) == [0, 1, 2, 3, 4]


def test_the_last_output_is_the_reward():
    errors = np.arange(24.0).reshape(2, 3, 4)
    channels = by_channel(errors)
    np.testing.assert_array_equal(channels[..., 0], errors[..., 3])
    np.testing.assert_array_equal(channels[..., 1], errors[..., :3].sum(axis=-1))


def test_resamples_repeat_from_their_seed():
    found = evidence([0, 0, 1, 1, 2, 2], 0.1 * np.eye(3), noise=0.6)
    one, other, third = (resampled(found, 30, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, other)
    assert np.shape(one) == (30, 6)
    assert (np.array(one) != np.array(third)).any()


def test_resamples_of_a_clear_case_agree():
    types = [0, 0, 1, 1, 2]
    for found in resampled(evidence(types, np.eye(3)), 20, seed=0):
        assert adjusted_rand_score(found, types) == 1.0


def test_repeated_blocks_are_asked_as_often():
    found = evidence([0, 1], 0.5 * np.eye(2))
    assert clusters_of(found, np.arange(NUM_BLOCKS)).tolist() == clusters_of(found).tolist()
    assert clusters_of(found, np.zeros(NUM_BLOCKS, int)).tolist() == [0, 1]


@given(
    points=st.lists(
        st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=2, max_size=12, unique=True
    )
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_cuts_are_those_of_scipy(points):
    # Distances that are not equal, so that there is one tree.
    codes = np.array(points) + np.random.default_rng(0).normal(size=(len(points), 2))
    tree = linkage(codes, "ward")
    members = [[agent] for agent in range(len(codes))]
    for first, second in tree[:, :2].astype(int):
        members.append(members[first] + members[second])
    for k in range(1, len(codes) + 1):
        nodes = cut(tree, k)
        assert len(nodes) == k
        own = np.full(len(codes), -1)
        for label, node in enumerate(nodes):
            own[members[node]] = label
        assert adjusted_rand_score(own, fcluster(tree, k, "maxclust")) == 1.0


def test_the_growth_of_the_error_falls_to_nothing():
    found = growth_by_number(evidence([0, 0, 1, 1, 2], np.eye(3)))
    assert set(found) == set(CHANNELS)
    reward = found["reward"]
    assert list(reward) == [1, 2, 3, 4, 5]
    assert reward[5] == (0.0, 0.0)
    assert found["dynamics"][5] == (0.0, 0.0)
    assert reward[1][0] > reward[2][0] > 0.1
    assert abs(reward[3][0]) < 0.01
    assert all(error >= 0 for _, error in reward.values())


def test_the_growth_of_one_agent_and_of_many():
    assert growth_by_number(evidence([0], np.eye(2))) == {
        name: {1: (0.0, 0.0)} for name in CHANNELS
    }
    many = growth_by_number(evidence(np.arange(60) % 3, np.eye(3)))
    assert list(many["reward"]) == list(range(1, MOST_REPORTED + 1))
