"""What each agent computes with: one set of weights for all, or weights of its own. Stage: network.

A network's forward pass is written for one set of weights; :meth:`apply` decides whether all
agents' rows go through it at once, or each agent's rows through its own.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from adaps.types import Modulation, Params, Sharing, Weights


class SharedWeights(NamedTuple):
    """One set for all agents, who differ in their units alone: plain matrix products."""

    params: Any
    units: Mapping[str, Modulation]
    """``[agent, unit]``."""

    def apply(self, function: Callable[..., Any], *rows: Any) -> Any:
        """Rows of all agents at once."""
        return function(self.params, self.units, *rows)


class OwnWeights(NamedTuple):
    """Weights for each agent: a pass costs one set per agent, however many sets there are."""

    params: Any
    """``[agent, …]``."""
    units: Mapping[str, Modulation]
    """``[agent, unit]``."""

    def apply(self, function: Callable[..., Any], *rows: Any) -> Any:
        """Each agent's rows through its own."""
        axes = (0, 0, *(1 for _ in rows))
        return jax.vmap(function, in_axes=axes, out_axes=1)(self.params, self.units, *rows)


def bind_sets(params: Params, sharing: Sharing) -> Weights:
    """Each agent's own parameter set and masks."""
    units = {name: Modulation(mask) for name, mask in sharing.masks.items()}
    if num_sets(params) == 1:
        return SharedWeights(first_set(params), units)
    return OwnWeights(jax.tree.map(lambda leaf: leaf[sharing.param_set], params.sets), units)


def apply_batched(
    weights: Weights, function: Callable[..., Any], *inputs: Float[Array, "*batch agent _number"]
) -> Any:
    """:meth:`Weights.apply` for inputs with any number of leading axes."""
    batch = inputs[0].shape[:-2]
    outputs = weights.apply(function, *(x.reshape(-1, *x.shape[-2:]) for x in inputs))
    return jax.tree.map(lambda x: x.reshape(*batch, *x.shape[1:]), outputs)


def modulate(unit: Modulation, x: Float[Array, "*batch _unit"]) -> Float[Array, "*batch _unit"]:
    """``scale·x + shift``."""
    scaled = x * unit.scale
    return scaled if unit.shift is None else scaled + unit.shift


def num_sets(params: Params) -> int:
    """How many parameter sets there are."""
    return jax.tree.leaves(params.sets)[0].shape[0]


def first_set(params: Params) -> Any:
    """The parameters of the only set, or of the first."""
    return jax.tree.map(lambda leaf: leaf[0], params.sets)


def num_sets_used(sharing: Sharing) -> int:
    """How many parameter sets the agents use."""
    return int(sharing.param_set.max()) + 1


def used_sets(params: Params, sharing: Sharing) -> Params:
    """The parameter sets that the agents use, without any that only fill up."""
    count = num_sets_used(sharing)
    return params._replace(sets=jax.tree.map(lambda leaf: leaf[:count], params.sets))


def count_params(params: Any) -> int:
    """Trainable numbers of actor and critic over all sets, and of what is learned besides."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def stack_sets(sets: list[Any]) -> Any:
    """Sets' parameters with a leading axis ``set``."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *sets)
