"""Whether a saved policy's arrays fit together, before anything acts by it. Stage: evaluation."""

from collections.abc import Mapping
from itertools import pairwise

import jax.numpy as jnp
from jaxtyping import Array

from adaps.networks.mlp import ActorCritic
from adaps.types import NetworkShape, Sharing

Expected = dict[str, tuple[tuple[int, ...], int | None]]
"""Array's name → its shape, and the number that its entries are below if they are numbers of rows
of another array."""


def shape_of(params: ActorCritic, sharing: Sharing) -> NetworkShape:
    """Sizes of a network that was saved, read off its actor.

    Raises:
        ValueError: there is no such network.
    """
    weights = [layer.weight for layer in params.actor]
    axes = (sharing.group.ndim, sharing.tags.ndim, *(weight.ndim for weight in weights))
    if axes != (1, 2, *(3 for _ in weights)) or not weights:
        raise ValueError("group, tags and weights must be of 1, 2 and 3 axes")
    shape = NetworkShape(
        num_agents=sharing.group.shape[0],
        obs_size=weights[0].shape[1] - sharing.tags.shape[1],
        num_actions=weights[-1].shape[2],
        hidden=tuple(weight.shape[2] for weight in weights[:-1]),
    )
    if min(shape.num_agents, shape.obs_size, shape.num_actions, *shape.hidden) < 1:
        raise ValueError(f"there is no network of these sizes: {shape}")
    return shape


def check_arrays(
    arrays: Mapping[str, Array], params: ActorCritic, sharing: Sharing, shape: NetworkShape
) -> None:
    """Refuse arrays that do not fit together.

    Args:
        arrays: all of them by name, as :func:`adaps.files.run_folder.named` names them.
        params: made of them.
        sharing: made of them.
        shape: what :func:`shape_of` makes of both.

    Raises:
        KeyError: an array is missing.
        ValueError: one is too many, is of another shape or type, or points to what is not there.
    """
    everything = _expected(params, sharing, shape)
    for name in arrays:
        if name not in everything and not name.startswith("sharing.learned."):
            raise ValueError(f"{name} is no part of it")
    for name, (expected, rows) in everything.items():
        array = arrays[name]
        if array.shape != expected:
            raise ValueError(f"{name} is of shape {array.shape}, not {expected}")
        kind = jnp.floating if rows is None else jnp.integer
        if not jnp.issubdtype(array.dtype, kind):
            raise ValueError(f"{name} holds {array.dtype}")
        if rows is not None and not (int(array.min()) >= 0 and int(array.max()) < rows):
            raise ValueError(f"{name} must hold whole numbers below {rows}")


def _expected(params: ActorCritic, sharing: Sharing, shape: NetworkShape) -> Expected:
    """What must be of which shape for the parts to fit together."""
    sets, tags = params.actor[0].weight.shape[0], sharing.tags.shape[1]
    expected: Expected = {
        "sharing.group": ((shape.num_agents,), sets),
        "sharing.tags": ((shape.num_agents, tags), None),
    }
    for network, outputs in (("actor", shape.num_actions), ("critic", 1)):
        sizes = pairwise((shape.obs_size + tags, *shape.hidden, outputs))
        for i, (fan_in, fan_out) in enumerate(sizes):
            expected[f"{network}.{i}.weight"] = (sets, fan_in, fan_out), None
            expected[f"{network}.{i}.bias"] = (sets, fan_out), None
            if getattr(params, network)[0].threshold is not None:
                threshold = (1, shape.num_agents, fan_in, fan_out)
                expected[f"{network}.{i}.threshold"] = threshold, None
        for i, width in enumerate(shape.hidden):
            expected[f"sharing.masks.{network}.{i}"] = (shape.num_agents, width), None
    if sharing.scaling is not None:
        kinds = len(sharing.scaling.mean)
        expected["sharing.scaling.kind"] = (shape.num_agents,), kinds
        expected["sharing.scaling.mean"] = (kinds, shape.obs_size), None
        expected["sharing.scaling.scale"] = (kinds, shape.obs_size), None
    return expected
