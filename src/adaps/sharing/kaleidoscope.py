"""Kaleidoscope: one network, and each agent learns which weights it uses. Stage: sharing.

Learnable masks (arXiv 2410.08540): a threshold per agent and weight is trained with the policy, a
term of the loss pushes the agents' masks apart, and weights that nobody uses are drawn anew. The
authors weight the layers differently and use several critics; here all layers of one actor and
one critic count alike.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from adaps.networks.weights import OwnWeights, first_set
from adaps.sharing import learned_masks
from adaps.sharing.method import SharingMethod, full_sharing, init_rng
from adaps.types import Identity, Metrics, Modulation, Network, Params, Sharing, Weights


class Renewal(NamedTuple):
    """How many updates were made so far."""

    num_updates: Int[Array, ""]


@dataclass(frozen=True)
class Kaleidoscope(SharingMethod):
    """Options of Kaleidoscope."""

    diversity: float = 0.1
    """Weight of the term that pushes agents' masks apart, as a share of the loss."""
    initial: tuple[float, float] = (-10.0, -5.0)
    """Range of the initial thresholds before the sigmoid; lower lets more weights pass."""
    renew_every: int = 5_000
    """Updates between two renewals of weights that no agent uses."""
    renew_share: float = 0.1
    """Which share of those is renewed."""

    name = "kaleidoscope"

    def build(self, key: Key[Array, ""], network: Network, identity: Identity | None) -> Sharing:
        """One parameter set; the masks are parameters."""
        del key, identity
        return full_sharing(network)

    def init(
        self, key: Key[Array, ""], network: Network, sharing: Sharing, num_sets: int | None = None
    ) -> Params:
        """One set, and for each of its weights a threshold of every agent."""
        params = super().init(key, network, sharing, num_sets)
        rng, num_agents = init_rng(key, 1), network.shape.num_agents

        def thresholds(weight: Array) -> Array:
            drawn = rng.uniform(*self.initial, (num_agents, *weight.shape))
            return jnp.asarray(drawn, jnp.float32)

        return params._replace(own=tuple(map(thresholds, matrices(params))))

    def num_own_params(self, network: Network) -> int:
        """A threshold per agent and weight, whatever weights a network has."""
        of_set = jax.tree.leaves(network.init(np.random.default_rng(0), 0))
        return network.shape.num_agents * sum(leaf.size for leaf in of_set if leaf.ndim > 1)

    def bind(self, params: Params, sharing: Sharing) -> Weights:
        """What each agent's own thresholds leave of the shared weights; biases are shared."""
        thresholds, num_agents = iter(params.own), len(sharing.param_set)

        def of_agents(leaf: Array) -> Array:
            if leaf.ndim > 1:
                return learned_masks.masked_weight(leaf, next(thresholds))
            return jnp.broadcast_to(leaf, (num_agents, *leaf.shape))

        units = {name: Modulation(mask) for name, mask in sharing.masks.items()}
        return OwnWeights(jax.tree.map(of_agents, first_set(params)), units)

    def penalty(
        self, params: Params, sharing: Sharing, loss: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Metrics]:
        """A reward for unlike masks, worth a fixed share of the loss itself."""
        del sharing
        difference = mask_difference(params)
        size = jnp.abs(loss) / jnp.where(difference > 0, difference, 1.0)
        bonus = self.diversity * jax.lax.stop_gradient(size) * difference
        return -bonus, {"mask_difference": difference}

    def transform(self) -> optax.GradientTransformationExtraArgs:
        """Every so many updates, weights that no agent uses are drawn anew."""

        def init(params: Any) -> Any:
            del params
            return Renewal(jnp.int32(0))

        return optax.GradientTransformationExtraArgs(init, self._renew)

    def _renew(
        self, updates: Any, state: Any, params: Any = None, **extra: Any
    ) -> tuple[Any, Renewal]:
        count = state.num_updates + 1
        renewed = jax.lax.cond(
            count % self.renew_every == 0,
            lambda: self._renewed(extra["key"], updates, params),
            lambda: updates,
        )
        return renewed, Renewal(count)

    def _renewed(self, key: Key[Array, ""], updates: Params, params: Params) -> Params:
        """Updates that lead to fresh weights and thresholds where no agent uses what is there."""
        after = cast(Params, optax.apply_updates(cast(Any, params), cast(Any, updates)))
        keys = jax.random.split(key, len(params.own))
        chosen, weights, thresholds = zip(
            *(
                learned_masks.renew(k, weight, own, jnp.array(self.initial), self.renew_share)
                for k, weight, own in zip(keys, matrices(after), after.own, strict=True)
            ),
            strict=True,
        )
        fresh, replaced = iter(weights), iter(chosen)

        def change(update: Array, before: Array) -> Array:
            if before.ndim <= 2:  # a bias, with its axis of sets
                return update
            return jnp.where(next(replaced), next(fresh) - before, update)

        own = [
            jnp.where(which, new - before, update)
            for which, new, before, update in zip(
                chosen, thresholds, params.own, updates.own, strict=True
            )
        ]
        return Params(jax.tree.map(change, updates.sets, params.sets), tuple(own))


def matrices(params: Params) -> list[Float[Array, "in out"]]:
    """Weights that have thresholds: all parameters of the one set but biases."""
    return [leaf for leaf in jax.tree.leaves(first_set(params)) if leaf.ndim > 1]


def mask_difference(params: Params) -> Float[Array, ""]:
    """How unlike the agents' learned masks are: 0 where all are one; no more than about 1/2."""
    weights = matrices(params)
    pairs = zip(weights, params.own, strict=True)
    differing = jnp.stack([learned_masks.difference(*pair) for pair in pairs]).sum()
    sizes = jnp.stack([jnp.abs(weight).sum() for weight in weights])
    return differing / jax.lax.stop_gradient(sizes.sum())
