"""Groups that are given, and groups that are shuffled."""

import json
import os

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

import adaps
from adaps.config.groups import as_identity, given_groups, regroup, saved_identity
from probes import Probe, constant

ENV = adaps.make("bps:2-2")


class Blind(Probe):
    """Knows no types."""

    num_agents = 2


WRONG = [
    ([0, 0, 1], "3 numbers for 4 agents"),
    ([0, 0, 1, 1, 1], "5 numbers for 4 agents"),
    ([0, 0, 2, 2], r"groups \[1\] are empty"),
    ([1, 1, 2, 2], r"groups \[0\] are empty"),
    ([0, 0, 4, 1], "agent 2: group 4 is out of range: from 0 to 3"),
    ([0, 0, -1, 1], "agent 2: group -1 is out of range"),
    ([0, 0, 1.5, 1], "agent 2: group 1.5 is not a whole number"),
    ([0, 0, True, 1], "not a whole number"),
    ([0, 0, "one", 1], "not a whole number"),
    ([0, 0, [1], 1], "not a whole number"),
    ([[0, 1], [2]], r"agents \[3\] are in no group"),
    ([[0, 1], [], [2, 3]], "group 1 is empty"),
    ([[0, 1], [2, 4]], "group 1: agent 4 is out of range: from 0 to 3"),
    ([[0, 1], [2, -3]], "out of range"),
    ([[0, 1], [1, 2, 3]], "agent 1 is in groups 0 and 1"),
    ([[0, 0, 1], [2, 3]], "agent 0 is in groups 0 and 0"),
    ([[0, 1], [2, None]], "not a whole number"),
    ([["agent_0", "agent_1"], ["agent_2", "b"]], "agent 'b' is not in the environment; it has ag"),
    ([["agent_0", 1], [0, 2, 3]], "agent 0 is in groups 0 and 1"),
    ([], "a list is needed"),
    ({"a": [0, 1]}, "a list is needed"),
    (3, "a list is needed"),
]


@pytest.mark.parametrize(("data", "says"), WRONG, ids=[str(data) for data, _ in WRONG])
def test_wrong_groups_are_told_why(data, says, tmp_path):
    path = tmp_path / "groups.json"
    path.write_text(json.dumps(data))
    with pytest.raises(adaps.UserError, match=says):
        given_groups(str(path), ENV)
    if isinstance(data, list):
        with pytest.raises(adaps.UserError, match=says):
            adaps.train(ENV, adaps.SePS(groups=data), steps=1_000)


def test_both_forms_of_groups_and_the_true_types():
    for groups in ([0, 1, 1, 0], [[0, 3], [1, 2]], np.array([0, 1, 1, 0]), ((0, 3), (1, 2))):
        assert given_groups(adaps.AdaPS(groups=groups).groups, ENV).tolist() == [0, 1, 1, 0]
    by_name = [["agent_3", "agent_0"], ["agent_1", 2]]
    assert given_groups(by_name, ENV).tolist() == [0, 1, 1, 0]
    assert given_groups("oracle", ENV).tolist() == [0, 0, 1, 1]
    assert given_groups("discovered", ENV) is given_groups("shuffled", ENV) is None


def test_what_is_no_file_is_told(tmp_path):
    with pytest.raises(adaps.UserError, match="'discovered', 'oracle', 'shuffled' or a JSON file"):
        given_groups(str(tmp_path / "orcale"), ENV)
    (tmp_path / "text").write_text("0 0 1 1")
    with pytest.raises(adaps.UserError, match="not JSON"):
        given_groups(str(tmp_path / "text"), ENV)
    with pytest.raises(adaps.UserError, match="knows none"):
        given_groups("oracle", Blind("blind", constant, agent_types=None))


def test_what_cannot_be_read_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "deep").write_text("[" * 100_000)
    for read in (lambda path: given_groups(str(path), ENV), lambda path: saved_identity(path, ENV)):
        with pytest.raises(adaps.UserError, match="cannot be read: it is not a plain file"):
            read(tmp_path / "pipe")
        with pytest.raises(adaps.UserError, match="nested too deeply"):
            read(tmp_path / "deep")


def test_given_groups_become_an_identity_without_codes():
    identity = as_identity(np.array([0, 1, 1, 2]), latent_size=10, seed=0)
    assert identity.latent is None
    assert identity.clusters.tolist() == [0, 1, 1, 2]
    assert identity.centres.shape == (3, 10)


@pytest.mark.parametrize("sizes", [(2, 2), (5, 5, 5), (3, 3, 3, 12, 9), (1, 7)])
@pytest.mark.parametrize("seed", range(5))
def test_shuffled_groups_keep_their_sizes_and_lose_their_sense(sizes, seed):
    found = as_identity(np.repeat(np.arange(len(sizes)), sizes), latent_size=4, seed=0)
    shuffled = regroup("shuffled", found, seed)
    assert np.bincount(shuffled.clusters).tolist() == list(sizes)
    assert adjusted_rand_score(found.clusters, shuffled.clusters) <= 0
    np.testing.assert_array_equal(shuffled.centres, found.centres)
    assert regroup("discovered", found, seed) is found
