"""Making and describing neuron masks. Stage: sharing."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from adaps.errors import UserError
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


def per_layer(ratios: tuple[float, ...], shape: NetworkShape) -> tuple[float, ...]:
    """One ratio for all hidden layers, or one for each → one for each.

    Raises:
        UserError: another number of them.
    """
    if len(ratios) not in (1, len(shape.hidden)):
        raise UserError(
            f"--sharing.keep-ratio needs one number, or one for each of the {len(shape.hidden)} "
            f"hidden layers, not {len(ratios)}"
        )
    return ratios * len(shape.hidden) if len(ratios) == 1 else ratios


def random_masks(
    key: Key[Array, ""], num_masks: int, shape: NetworkShape, keep_ratios: tuple[float, ...]
) -> Masks:
    """Masks that keep exactly the given share of each layer's neurons, drawn apart for each."""
    rng = np.random.default_rng(jax.random.key_data(key).tolist())

    def layer(width: int, ratio: float) -> Float[Array, "mask hidden"]:
        num_kept = max(1, round(ratio * width))
        order = np.argsort(rng.random((num_masks, width)), axis=1)
        return jnp.asarray(order < num_kept, jnp.float32)

    def network() -> tuple[Float[Array, "mask hidden"], ...]:
        return tuple(layer(w, r) for w, r in zip(shape.hidden, keep_ratios, strict=True))

    return Masks(actor=network(), critic=network())


def as_is(mask: Float[Array, "agent hidden"]) -> Float[Array, "agent hidden"]:
    """Kept neurons keep their scale."""
    return mask


def rescale(mask: Float[Array, "agent hidden"]) -> Float[Array, "agent hidden"]:
    """Divide kept neurons by the root of the share kept: the next layer's sums keep their variance.

    The share itself, as in dropout, would keep their mean; but it is the variance that the initial
    weights are scaled for, and where rewards are rare it decides whether anything is learnt.
    """
    kept = (mask > 0).mean(axis=-1, keepdims=True)
    return mask / jnp.sqrt(jnp.maximum(kept, 1 / mask.shape[-1]))


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
