"""Trees of arrays as arrays by name, and back. Stage: train.

Leaves are JAX's arrays and typed keys, numpy's arrays and scalars, and Python's ``bool``, ``int``
and ``float``. None is a branch without leaves, as everywhere in JAX.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adaps.errors import UserError

DTYPES = {
    "BOOL": "bool",
    "BF16": "bfloat16",
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
}
"""Names of numpy, by those of safetensors."""

SCALARS = {bool: "bool", int: "int64", float: "float64"}
"""How Python's own numbers are kept."""


def to_arrays(tree: Any) -> dict[str, np.ndarray]:
    """A tree's leaves by their paths, such as ``learner.params.actor[0].weight``.

    Typed keys are kept as their data, with what kind of key it is in the name.

    Raises:
        UserError: a leaf of another type, or two of one name.
    """
    leaves = _named(tree)
    for name, leaf in leaves.items():
        _check(name, leaf)
    plain = {n: jax.random.key_data(x) if _is_key(x) else x for n, x in leaves.items()}
    fetched = jax.device_get({n: x for n, x in plain.items() if isinstance(x, jax.Array)})
    return {n: _as_array(n, fetched.get(n, x)) for n, x in plain.items()}


def from_arrays(like: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The tree that :func:`to_arrays` took apart.

    Args:
        like: a tree of the same structure, shapes and dtypes, whose values are not read;
            :func:`jax.eval_shape` gives one, too.
        arrays: its leaves.

    Returns:
        Copies, as leaves of the same types as in ``like``: keys of the same kind, weakly typed
        arrays and those that were put on a device as they were.

    Raises:
        UserError: with the name of the first leaf that is missing, left over, or of another
            dtype or shape.
    """
    leaves = check_same(like, arrays)
    restored = [_restored(leaf, arrays[name]) for name, leaf in leaves.items()]
    return jax.tree.unflatten(jax.tree.structure(like), restored)


def check_same(like: Any, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Refuse arrays that are not a tree's like ``like``, as :func:`from_arrays` takes it.

    Returns:
        The leaves of ``like`` by name.

    Raises:
        UserError: as from :func:`from_arrays`.
    """
    leaves = _named(like)
    for name, leaf in leaves.items():
        _check(name, leaf)
        if name not in arrays:
            raise UserError(f"the checkpoint does not have {name}, which this run needs")
        there, here = described(arrays[name]), described(leaf)
        if there != here:
            raise UserError(f"{name} is {there} in the checkpoint, but {here} in this run")
    if left := [name for name in arrays if name not in leaves]:
        raise UserError(f"the checkpoint has {left[0]}, which this run does not")
    return leaves


def described(leaf: Any) -> str:
    """A leaf's dtype and shape, without its values.

    >>> described(np.zeros((2, 3), np.float32))
    'float32[2,3]'
    """
    if type(leaf) in SCALARS:
        return f"{SCALARS[type(leaf)]}[]"
    if _is_key(leaf):
        leaf = jax.eval_shape(jax.random.key_data, leaf)
    return f"{leaf.dtype.name}[{','.join(map(str, leaf.shape))}]"


def is_kept(dtype: np.dtype) -> bool:
    """Whether there are files for arrays of this dtype."""
    return dtype.name in DTYPES.values()


def _named(tree: Any) -> dict[str, Any]:
    named = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(path).removeprefix(".") or "."
        if _is_key(leaf):
            name = f"{name}:{leaf.dtype}"
        if name in named:
            raise UserError(f"two parts of a checkpoint have the name {name}")
        named[name] = leaf
    return named


def _is_key(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)


def _check(name: str, leaf: Any) -> None:
    arrays = (jax.Array, jax.ShapeDtypeStruct, np.ndarray, np.generic)
    if type(leaf) in SCALARS or _is_key(leaf):
        return
    if not isinstance(leaf, arrays) or not is_kept(leaf.dtype):
        what = str(leaf.dtype) if isinstance(leaf, arrays) else type(leaf).__name__
        raise UserError(f"{name} is of the type {what}, which checkpoints do not keep")


def _as_array(name: str, leaf: Any) -> np.ndarray:
    try:
        return np.asarray(leaf, SCALARS.get(type(leaf)), order="C")
    except OverflowError:
        raise UserError(f"{name} is {leaf}, which does not fit into 64 bits") from None


def _restored(like: Any, array: np.ndarray) -> Any:
    if type(like) in SCALARS:
        return array.item()
    if isinstance(like, np.generic):
        return array[()]
    if isinstance(like, np.ndarray):
        return array.astype(like.dtype)  # files have one order of bytes alone
    made = _jax_array(like, array)
    return jax.device_put(made, like.sharding) if getattr(like, "committed", False) else made


def _jax_array(like: Any, array: np.ndarray) -> jax.Array:
    if _is_key(like):
        kind = jax.random.key_impl(jnp.empty((), like.dtype))
        return jax.random.wrap_key_data(jnp.array(array), impl=kind)
    if like.weak_type:
        # What came of Python's numbers gives way to other dtypes; nothing else makes such arrays.
        return jnp.full(array.shape, array.dtype.type(0).item()).at[...].set(array)
    return jnp.array(array)
