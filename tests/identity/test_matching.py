"""Kinds that are found again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaps.identity.matching import Move, match
from adaps.types import Identity


def identity(clusters, first=0.0):
    """Each cluster's centre is its number, counted from ``first``."""
    clusters = np.asarray(clusters)
    centres = first + np.arange(clusters.max() + 1.0)[:, None]
    return Identity(centres[clusters], clusters, centres, {})


def centres(found):
    return found.identity.centres[:, 0].tolist()


@given(
    clusters=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    order=st.permutations(range(5)),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_same_kinds_by_other_numbers_change_nothing(clusters, order):
    _, clusters = np.unique(clusters, return_inverse=True)
    _, renamed = np.unique(np.array(order)[clusters], return_inverse=True)
    old = identity(clusters)
    found = match(old, identity(renamed, first=100))
    assert found.moved == []
    np.testing.assert_array_equal(found.identity.clusters, clusters)
    np.testing.assert_array_equal(found.identity.centres, old.centres)
    np.testing.assert_array_equal(old.clusters[found.predecessors], clusters)


@given(
    before=st.lists(st.integers(0, 3), min_size=8, max_size=8),
    after=st.lists(st.integers(0, 3), min_size=8, max_size=8),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_two_groupings_are_matched(before, after):
    before, after = (np.unique(x, return_inverse=True)[1] for x in (before, after))
    found = match(identity(before), identity(after, first=100))
    together = found.identity.clusters[:, None] == found.identity.clusters
    np.testing.assert_array_equal(together, after[:, None] == after)
    assert sorted(set(found.identity.clusters.tolist())) == list(range(len(centres(found))))
    moved = {move.agent for move in found.moved}
    for agent in range(8):
        centre = centres(found)[found.identity.clusters[agent]]
        assert (centre == before[agent]) == (agent not in moved)
        assert (centre >= 100) == (found.predecessors[agent] < 0)


def test_an_agent_that_moved_is_named():
    found = match(identity([0, 0, 0, 1, 1, 1]), identity([0, 0, 1, 1, 1, 1], first=100))
    assert found.moved == [Move(2, 0, 1)]
    assert centres(found) == [0, 1]
    assert found.predecessors.tolist() == [0, 0, 3, 3, 3, 3]


def test_a_new_kind_comes_last_with_its_own_centre():
    found = match(identity([0, 0, 0, 1, 1]), identity([0, 1, 1, 2, 2], first=100))
    assert found.identity.clusters.tolist() == [2, 0, 0, 1, 1]
    assert centres(found) == [0, 1, 100]
    assert found.moved == [Move(0, 0, 2)]
    assert found.predecessors.tolist() == [-1, 0, 0, 3, 3]


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_kind_that_is_gone_falls_out(gone):
    before = [kind for kind in range(3) for _ in range(2 if kind == gone else 3)]
    after = [kind if kind != gone else (gone + 1) % 3 for kind in before]
    _, after = np.unique(after, return_inverse=True)
    found = match(identity(before), identity(after, first=100))
    assert centres(found) == [kind for kind in range(3) if kind != gone]
    assert {move.agent for move in found.moved} == {i for i in range(8) if before[i] == gone}
