"""Making and describing unit masks. Stage: sharing."""

from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from adaps.errors import UserError
from adaps.types import Network

T = TypeVar("T")
R = TypeVar("R")


def split_by_unit(
    flat: Float[Array, "agent number"], network: Network
) -> dict[str, Float[Array, "agent _unit"]]:
    """A row of numbers for each agent → masks, in the order of the network's units."""
    ends = np.cumsum(list(network.units.values()))[:-1]
    return dict(zip(network.units, jnp.split(flat, ends, axis=-1), strict=True))


def random_masks(
    key: Key[Array, ""], num_masks: int, network: Network, keep_ratio: tuple[float, ...]
) -> dict[str, Float[Array, "mask _unit"]]:
    """Masks that keep exactly the given share of each layer's units, drawn apart for each.

    Args:
        key: to draw with.
        num_masks: how many.
        network: whose units.
        keep_ratio: one share for all hidden layers, or one for each.

    Raises:
        UserError: another number of shares.
    """
    rng = np.random.default_rng(jax.random.key_data(key).tolist())
    masks, ratios = {}, _ratio_of_each(network, keep_ratio)
    for name, width in network.units.items():
        num_kept = max(1, round(ratios[name] * width))
        order = np.argsort(rng.random((num_masks, width)), axis=1)
        masks[name] = jnp.asarray(order < num_kept, jnp.float32)
    return masks


def _ratio_of_each(network: Network, ratios: tuple[float, ...]) -> dict[str, float]:
    """By name of units: those of the actor and of the critic are numbered apart."""
    parts: dict[str, list[str]] = defaultdict(list)
    for name in network.units:
        parts[name.partition("/")[0]].append(name)
    num_layers = max(map(len, parts.values()))
    if len(ratios) not in (1, num_layers):
        raise UserError(
            f"--sharing.keep-ratio needs one number, or one for each of the {num_layers} "
            f"hidden layers, not {len(ratios)}"
        )
    each = ratios * num_layers if len(ratios) == 1 else ratios
    return {name: ratio for names in parts.values() for name, ratio in zip(names, each)}  # noqa: B905


def as_is(mask: Float[Array, "agent hidden"]) -> Float[Array, "agent hidden"]:
    """Kept units keep their scale."""
    return mask


def rescale(mask: Float[Array, "agent hidden"]) -> Float[Array, "agent hidden"]:
    """Divide kept units by the root of the share kept: the next layer's sums keep their variance.

    The share itself, as in dropout, would keep their mean; but it is the variance that the initial
    weights are scaled for, and where rewards are rare it decides whether anything is learnt.
    """
    kept = (mask > 0).mean(axis=-1, keepdims=True)
    return mask / jnp.sqrt(jnp.maximum(kept, 1 / mask.shape[-1]))


def summary(
    masks: dict[str, Float[Array, "agent _unit"]],
) -> dict[str, list[dict[str, float | None]]]:
    """Each layer's keep ratio, overlap between different masks and dead units, all as shares."""
    return by_part(
        masks, lambda mask: {"keep": keep_ratio(mask), "overlap": overlap(mask), "dead": dead(mask)}
    )


def by_part(masks: dict[str, T], describe: Callable[[T], R]) -> dict[str, list[R]]:
    """Something about each mask, in lists for the actor and for the critic, layer by layer.

    Trees of arrays sort names as texts, and so put layer 10 before layer 2.

    >>> by_part({"actor/0": 1, "actor/10": 2, "actor/2": 3, "critic/0": 4}, str)
    {'actor': ['1', '3', '2'], 'critic': ['4']}
    """
    parts: dict[str, list[R]] = defaultdict(list)
    for name, mask in sorted(masks.items(), key=lambda each: (len(each[0]), each[0])):
        parts[name.partition("/")[0]].append(describe(mask))
    return dict(parts)


def keep_ratio(mask: Float[Array, "agent hidden"]) -> float:
    """Share of units that an agent keeps, mean over agents."""
    return float((np.asarray(mask) > 0).mean())


def overlap(mask: Float[Array, "agent hidden"]) -> float | None:
    """Share of units that two different masks both keep, mean over pairs; None if all are one."""
    different = np.unique(np.asarray(mask) > 0, axis=0).astype(float)
    if len(different) < 2:
        return None
    both = different @ different.T / different.shape[1]
    return float(both[np.triu_indices(len(different), 1)].mean())


def dead(mask: Float[Array, "agent hidden"]) -> float:
    """Share of units that no agent keeps."""
    return float((~(np.asarray(mask) > 0).any(axis=0)).mean())
