"""``adaps identify``: from an environment to the findings."""

import json

import numpy as np
import pytest

import adaps
from adaps.config.groups import given_groups
from adaps.identity import gathering
from adaps.identity.clusters import CRITERIA

FAST = {"gather_steps": 6_400}
VAE = adaps.VAE(updates=1_000)

KEYS = {
    "schema",
    "env",
    "num_agents",
    "agent_names",
    "clusters",
    "num_clusters",
    "adjusted_rand_index",
    "agent_types",
    "encoder",
    "environment",
    "clusterer",
    "criterion",
    "seed",
    "gathered",
    "latent",
    "centres",
    "advice",
    "confidence",
    "criteria",
    "choices",
    "prediction",
    "tree",
    "pairs",
    "replace",
    "seconds",
}


def check_shapes(identity):
    """What must hold of any findings."""
    found = identity.findings
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found) == KEYS
    n, k = found["num_agents"], found["num_clusters"]
    assert found["clusters"] == identity.clusters.tolist()
    assert set(found["clusters"]) == set(range(k))
    assert len(found["agent_names"]) == len(found["clusters"]) == n
    assert np.shape(found["latent"]) == (n, 10)
    assert np.shape(found["centres"]) == (k, 10)
    np.testing.assert_allclose(found["latent"], identity.latent, atol=1e-5)
    np.testing.assert_allclose(found["centres"], identity.centres, atol=1e-5)
    assert set(found["gathered"]) == {
        "env_steps",
        "rows_per_agent",
        "rare_reward_share",
        "rare_rewards",
    }
    assert set(found["advice"]) == {"verdict", "sentence", "reasons", "parameters"}
    assert set(found["confidence"]) == {"num_clusters", "agreement", "coassignment"}
    shares = found["confidence"]["num_clusters"]
    assert sum(shares.values()) == pytest.approx(1 if n > 1 else 0)  # nothing is drawn anew of one
    together = np.array(found["confidence"]["coassignment"])
    assert together.shape == (n, n)
    assert (together == together.T).all()
    assert (np.diag(together) == 1).all()
    criteria = {"prediction", *(CRITERIA if n > 2 else ())}
    assert set(found["criteria"]) == set(found["choices"]) == criteria
    assert all(1 <= choice <= n for choice in found["choices"].values())
    assert set(found["prediction"]) == {"reward", "dynamics"}
    for by_number in found["prediction"].values():
        assert list(by_number) == [str(number) for number in range(1, n + 1)]
        assert by_number[str(n)] == [0.0, 0.0]
    assert np.shape(found["tree"]) == ((n - 1, 4) if n > 1 else (0,))
    assert [pair["clusters"] for pair in found["pairs"]] == [
        [one, other] for one in range(k) for other in range(one + 1, k)
    ]
    for pair in found["pairs"]:
        assert set(pair) == {"clusters", "reward", "dynamics", "observation"}
        assert len(pair["observation"]) <= 5
        values = [value for _, value in pair["observation"]]
        assert values == sorted(values, reverse=True)
    replace = np.array(found["replace"])
    assert replace.shape == (k, k)
    assert (np.diag(replace) == 0).all()


def test_two_kinds_are_found_with_all_that_speaks_for_them(two_kinds):
    check_shapes(two_kinds)
    found = two_kinds.findings
    assert found["clusters"] == found["agent_types"] == [0, 0, 1, 1]
    assert found["adjusted_rand_index"] == 1.0
    assert (found["env"], found["encoder"], found["clusterer"]) == ("bps:2-2", "vae", "prediction")
    assert (found["criterion"], found["seed"], found["schema"]) == ("prediction", 0, 1)
    assert found["gathered"] == {
        "env_steps": 6_400,
        "rows_per_agent": 6_400,
        "rare_reward_share": None,
        "rare_rewards": None,
    }
    assert found["advice"]["verdict"] == "share by kind"
    assert found["confidence"]["num_clusters"] == {"2": 1.0}
    assert found["confidence"]["agreement"] == 1.0
    assert found["confidence"]["coassignment"][0] == [1.0, 1.0, 0.0, 0.0]
    assert found["choices"]["prediction"] == 2
    (pair,) = found["pairs"]
    assert pair["reward"] > 0.5
    assert abs(pair["dynamics"]) < 0.05
    assert min(found["replace"][0][1], found["replace"][1][0]) > 0.5
    reward = {int(k): mean for k, (mean, _) in found["prediction"]["reward"].items()}
    assert reward[1] > 0.2
    assert abs(reward[2]) < 0.02


def test_the_same_seed_finds_the_same(two_kinds):
    again = adaps.identify("bps:2-2", VAE, **FAST)
    one, other = ({**found.findings, "seconds": 0} for found in (two_kinds, again))
    assert json.dumps(one) == json.dumps(other)
    np.testing.assert_array_equal(two_kinds.latent, again.latent)
    np.testing.assert_array_equal(two_kinds.centres, again.centres)
    assert two_kinds.scores == again.scores


def test_another_seed_draws_something_else_and_the_clusterer_is_heeded(two_kinds):
    other = adaps.identify(
        adaps.make("bps:2-2"), VAE, **FAST, seed=1, clusterer="agglomerative", criterion="bic"
    )
    check_shapes(other)
    assert (other.latent != two_kinds.latent).any()
    assert other.findings["choices"]["prediction"] == 2
    assert len(other.centres) == other.findings["choices"]["bic"]
    assert (other.findings["clusterer"], other.findings["criterion"]) == ("agglomerative", "bic")


@pytest.mark.parametrize(
    ("env", "clusters", "verdict"),
    [
        ("bps:3", [0, 0, 0], "share all"),
        ("bps:1-1-1", [0, 1, 2], "do not share"),
        ("bps:1", [0], "share all"),
        ("bps:1-1", [0, 1], "do not share"),
    ],
)
def test_teams_of_one_kind_of_no_kinds_and_tiny_ones(env, clusters, verdict):
    more = adaps.VAE(updates=2_000) if env == "bps:1-1-1" else VAE
    identity = adaps.identify(env, more, **FAST)
    check_shapes(identity)
    assert identity.findings["clusters"] == clusters
    assert identity.findings["advice"]["verdict"] == verdict
    assert identity.findings["choices"]["prediction"] == len(set(clusters))


def test_a_code_read_off_behaviour_tells_kinds_apart():
    identity = adaps.identify("bps:2-2", adaps.Behaviour(updates=1_000), **FAST)
    check_shapes(identity)
    assert identity.findings["encoder"] == "behaviour"
    assert identity.clusters.tolist() == [0, 0, 1, 1]


def test_random_codes_run_and_are_grouped_as_many_as_asked():
    identity = adaps.identify("bps:2-2", adaps.RandomCodes(updates=50), **FAST, clusters=3)
    check_shapes(identity)
    assert identity.findings["encoder"] == "random"
    assert len(identity.centres) == 3


def test_groups_that_were_found_can_be_given_to_training(two_kinds):
    groups = adaps.SePS(groups=two_kinds.clusters.tolist()).groups
    assert given_groups(groups, adaps.make("bps:2-2")).tolist() == [0, 0, 1, 1]


class TestRefusals:
    """Everything is refused before anything is gathered."""

    @pytest.fixture(autouse=True)
    def no_gathering(self, monkeypatch):
        def begin(*args):
            raise AssertionError("gathering began")

        monkeypatch.setattr(gathering, "begin", begin)

    WRONG = (
        ({}, "name an environment such as bps-1, or a file with --transitions"),
        ({"env": "bps:2-2", "transitions": "log.npz"}, "name an environment"),
        ({"transitions": "nowhere.npz"}, "nowhere.npz cannot be read"),
        ({"env": "bsp-1"}, "did you mean 'bps-1'"),
        ({"env": "bps:2-2", "encoder": "vea"}, "unknown encoder 'vea'; did you mean 'vae'"),
        ({"env": "bps:2-2", "clusterer": "kmean"}, "unknown clusterer 'kmean'; did you mean"),
        ({"env": "bps:2-2", "criterion": "gaps"}, "unknown criterion 'gaps'; did you mean 'gap'"),
        ({"env": "bps:2-2", "gather_steps": 31}, "--gather-steps must be at least 32, not 31"),
        ({"env": "bps:2-2", "gather_steps": 0}, "--gather-steps must be at least 32, not 0"),
        ({"env": "bps:2-2", "seed": -1}, "--seed must be from 0 to 4294967295, not -1"),
        ({"env": "bps:2-2", "hidden": ()}, "--hidden must be 1 to 100 widths, not 0"),
        ({"env": "bps:2-2", "hidden": (64, 0)}, "--hidden must be widths of at least 1 and"),
        (
            {"env": "bps:2-2", "encoder": adaps.VAE(updates=0)},
            r"--encoder.updates must be in \[1, 1000000000\], not 0",
        ),
        ({"env": "bps:2-2", "clusters": 0}, "from 1 to the number of agents, 4, not 0"),
        ({"env": "bps:2-2", "task_seed": 3}, "environment 'bps:2-2' has no task seed"),
        ({"env": adaps.make("bps:2-2"), "task_seed": 3}, "goes with an environment's name"),
        ({"env": "bps:2-2", "clusters": 5}, "from 1 to the number of agents, 4, not 5"),
    )

    @pytest.mark.parametrize(("options", "says"), WRONG, ids=str)
    def test_what_cannot_be_is_told_at_once(self, options, says):
        with pytest.raises(adaps.UserError, match=says):
            adaps.identify(**options)
