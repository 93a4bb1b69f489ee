"""Examples: each is one short file, works by its dotted name, and does what it says."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from examples.disjoint_masks import DisjointMasks
from examples.layer_norm import LayerNorm
from examples.reinforce import Reinforce
from examples.unit_scales import UnitScales

import adaps

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
SHORT = {"steps": 2_000, "seeds": 1, "evaluations": 1, "eval_episodes": 8, "hidden": (8,)}
TWO = {"groups": [0, 0, 1]}
CASES = {
    "reinforce": {"sharing": adaps.SePS(**TWO), "algo": Reinforce()},
    "layer-norm": {"sharing": adaps.AdaPS(**TWO), "network": LayerNorm()},
    "disjoint-masks": {"sharing": DisjointMasks(**TWO)},
    "unit-scales": {"sharing": UnitScales(**TWO)},
    "all-at-once": {"sharing": UnitScales(**TWO), "algo": Reinforce(), "network": LayerNorm()},
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_one_short_file(path):
    assert len(path.read_text().splitlines()) <= 60


@pytest.mark.parametrize("case", CASES)
def test_it_trains_is_saved_and_acts_again(case, tmp_path):
    out = tmp_path / "run"
    result = adaps.train("bps:2-1", **CASES[case], **SHORT, out=out)
    loaded, own = adaps.load(out), result.policies[0]
    jax.tree.map(np.testing.assert_array_equal, loaded.params, own.params)
    obs = jax.random.normal(jax.random.key(0), (4, 3, 8))
    np.testing.assert_array_equal(loaded.act(obs), own.act(obs))
    saved = (out / "config.json").read_text()
    assert "examples." in saved


def test_reinforce_learns():
    from probes import Probe, one_action  # noqa: PLC0415

    env = Probe("one action", one_action, max_steps=5)
    options = {"steps": 8_000, "seeds": 1, "evaluations": 1, "eval_episodes": 8, "hidden": (8,)}
    result = adaps.train(env, "fups", algo=Reinforce(learning_rate=1e-2), **options)
    assert result.returns == [10.0]


def test_layers_are_normalised():
    shape = adaps.NetworkShape(2, 3, adaps.Discrete(4), (8,))
    x = 5 + 3 * jax.random.normal(jax.random.key(0), (10, 8))
    seen = LayerNorm().build(shape).activate(x)
    plain = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    np.testing.assert_allclose(seen, jnp.maximum(plain, 0), rtol=1e-3, atol=1e-4)


def test_scales_are_learned_by_each_cluster_apart():
    result = adaps.train("bps:2-1", UnitScales(**TWO), **SHORT)
    for scales in result.policies[0].params.own.values():
        assert (scales[0] != 1).any()
        assert (scales[0] != scales[1]).any()
        np.testing.assert_array_equal(scales[2], 1)  # there is no third cluster
