"""Making and describing neuron masks. Stage: sharing."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from adaps.types import Masks, NetworkShape


def all_ones(shape: NetworkShape) -> Masks:
    """Every agent keeps every neuron."""
    layers = tuple(jnp.ones((shape.num_agents, width)) for width in shape.hidden)
    return Masks(actor=layers, critic=layers)


def split_layers(flat: Float[Array, "agent neuron"], shape: NetworkShape) -> Masks:
    """One row of numbers per agent → masks: the actor's hidden layers first, then the critic's."""
    ends = np.cumsum(shape.hidden * 2)[:-1]
    layers = tuple(jnp.split(flat, ends, axis=-1))
    return Masks(layers[: len(shape.hidden)], layers[len(shape.hidden) :])


def rescale(mask: Float[Array, "agent hidden"]) -> Float[Array, "agent hidden"]:
    """Divide kept neurons by the share kept, so a layer's mean activation stays what it was."""
    kept = (mask > 0).mean(axis=-1, keepdims=True)
    return mask / jnp.maximum(kept, 1 / mask.shape[-1])


def summary(masks: Masks) -> dict[str, list[dict[str, float | None]]]:
    """Each layer's keep ratio, overlap between different masks and dead neurons, all as shares."""
    return {
        name: [
            {"keep": keep_ratio(mask), "overlap": overlap(mask), "dead": dead(mask)}
            for mask in layers
        ]
        for name, layers in masks._asdict().items()
    }


def keep_ratio(mask: Float[Array, "agent hidden"]) -> float:
    """Share of neurons that an agent keeps, mean over agents."""
    return float((np.asarray(mask) > 0).mean())


def overlap(mask: Float[Array, "agent hidden"]) -> float | None:
    """Share of neurons that two different masks both keep, mean over pairs; None if all are one."""
    different = np.unique(np.asarray(mask) > 0, axis=0).astype(float)
    if len(different) < 2:
        return None
    both = different @ different.T / different.shape[1]
    return float(both[np.triu_indices(len(different), 1)].mean())


def dead(mask: Float[Array, "agent hidden"]) -> float:
    """Share of neurons that no agent keeps."""
    return float((~(np.asarray(mask) > 0).any(axis=0)).mean())
