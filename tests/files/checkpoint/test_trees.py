"""Trees of arrays by name, and back bit for bit."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adaps.config.checks import resolved
from adaps.config.choices import algo_options, sharing_options
from adaps.config.training import TrainConfig
from adaps.envs import make
from adaps.errors import UserError
from adaps.files import checkpoint
from adaps.files.checkpoint import from_arrays, to_arrays
from adaps.sharing import FuPS
from adaps.training.device_placement import stack
from adaps.training.stages import initial_params, make_jax_stages, seed_keys


class Both(NamedTuple):
    first: object
    second: object = None


def tree():
    return {
        "key": jax.random.key(3),
        "keys": jax.random.split(jax.random.key(1, impl="rbg"), 4),
        "both": Both((jnp.float32(-0.0), [jnp.array([jnp.nan, -jnp.inf, -0.0])])),
        "weak": jnp.full((2, 2), 0.5).at[0, 0].set(-0.0),
        "weak count": jnp.full((), 7),
        "half": jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3),
        "numpy": np.arange(6).reshape(2, 3).T,
        "other end": np.arange(3, dtype=">i4"),
        "scalar": np.float32(0.1),
        "python": (3, 0.1, True),
        "empty": jnp.zeros((0, 4), jnp.uint8),
        "placed": jax.device_put(jnp.ones(2), jax.devices()[0]),
        "none": None,
    }


def assert_same(some, other):
    assert jax.tree.structure(some) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(some), jax.tree.leaves(other), strict=True):
        assert type(a) is type(b)
        if isinstance(a, jax.Array):
            assert (a.aval, a.committed) == (b.aval, b.committed)  # weak types and key kinds too
        assert plain(a).tobytes() == plain(b).tobytes()


def plain(leaf):
    is_key = jnp.issubdtype(getattr(leaf, "dtype", int), jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def test_there_and_back():
    assert_same(from_arrays(tree(), to_arrays(tree())), tree())


def test_there_and_back_through_files(tmp_path):
    series = checkpoint.Series(tmp_path, 0)
    checkpoint.save(series, {"train": to_arrays(tree()), "nothing": {}}, {})
    parts = checkpoint.load(series, pytest.fail).parts
    assert parts["nothing"] == {}
    assert_same(from_arrays(tree(), parts["train"]), tree())


def test_shapes_alone_are_enough():
    def made():
        return {"key": jax.random.key(3), "weak": jnp.full(2, 0.5), "x": jnp.ones(2, jnp.int8)}

    assert_same(from_arrays(jax.eval_shape(made), to_arrays(made())), made())


def test_what_is_restored_is_a_copy():
    arrays = {"x": np.zeros(3, np.float32), "y": np.zeros(3)}
    restored = from_arrays(
        {"x": jnp.zeros(3), "y": np.zeros(3)}, {f"['{n}']": x for n, x in arrays.items()}
    )
    for array in arrays.values():
        array[:] = 1
    assert not any(np.asarray(x).any() for x in restored.values())
    restored["y"][0] = 2


def test_a_state_of_training_goes_on_bit_for_bit():
    config = TrainConfig(
        "bps:2-2", sharing_options("fups"), algo_options("a2c"), steps=400, seeds=1
    )
    env = make(config.env)
    stages = make_jax_stages(env, resolved(config, env))
    network, keys = stages.setting.agent.network, seed_keys(jnp.zeros(1, jnp.uint32))
    all_alike = [FuPS().build(keys.masks[0], network, None)]
    sharing = stack(all_alike)
    params = initial_params(network, FuPS(), keys, all_alike)
    half = stages.advance(stages.begin(keys, params, sharing), sharing, 2)
    restored = from_arrays(half, to_arrays(half))
    assert_same(restored, half)
    whole, again = (stages.advance(state, sharing, 2) for state in (half, restored))
    assert_same(again, whole)
    assert "learner.params.sets.actor[0].weight" in to_arrays(half)


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ({"a": jnp.zeros(2)}, r"the checkpoint has \['b'\], which this run does not"),
        ({"a": jnp.zeros(2), "b": 1, "c": 1}, r"does not have \['c'\]"),
        ({"a": jnp.zeros(3), "b": 1}, r"\['a'\] is float32\[2\] in .*, but float32\[3\] in this"),
        ({"a": jnp.zeros(2, int), "b": 1}, r"\['a'\] is float32\[2\] in .*, but int32\[2\]"),
        ({"a": jnp.zeros(2), "b": 1.0}, r"\['b'\] is int64\[\] in .*, but float64\[\]"),
        ({"a": jax.random.key(0), "b": 1}, r"does not have \['a'\]:key<fry>"),
        ({"a": None, "b": 1}, r"the checkpoint has \['a'\]"),
    ],
)
def test_what_does_not_fit_is_named(like, message):
    with pytest.raises(UserError, match=message):
        from_arrays(like, to_arrays({"a": jnp.zeros(2), "b": 1}))


@pytest.mark.parametrize(
    "leaf",
    ["text", b"bytes", np.array([None]), np.array("text"), 1j, np.zeros(1, "c16"), object(), 2**63],
)
def test_leaves_that_cannot_be_kept_are_named(leaf):
    with pytest.raises(UserError, match=r"second\[0\] "):
        to_arrays(Both(1, [leaf]))


def test_a_leaf_alone_has_a_name():
    assert from_arrays(0, to_arrays(3)) == 3
