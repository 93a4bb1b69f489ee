"""The shared actor and critic: the only file that computes with parameters and ``Sharing``.

Stage: network. Every sharing method runs through this forward pass; only its arrays differ.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from adaps.networks import learned_masks
from adaps.types import LearnedMasks, NetworkShape, Sharing

HIDDEN_GAIN = 2**0.5
ACTOR_GAIN = 0.01
"""A small last layer: the first policy is nearly uniform, so gathering explores."""
CRITIC_GAIN = 1.0
SCALED_LIMIT = 10.0
"""Scaled observations are clipped at so many deviations."""


class Layer(NamedTuple):
    weight: Float[Array, "set in out"]
    bias: Float[Array, "set out"]
    threshold: Float[Array, "set agent in out"] | None = None
    """Of learned masks, before the sigmoid; there is a single set then."""

    @property
    def shared(self) -> tuple[Float[Array, "in out"], Float[Array, "agent in out"]]:
        """The weight that all agents share, and each agent's thresholds for it."""
        if self.threshold is None:
            raise ValueError("these parameters have no learned masks")
        return self.weight[0], self.threshold[0]


class ActorCritic(NamedTuple):
    """Parameters of ``set`` actors and critics, stacked; most methods have a single set."""

    actor: tuple[Layer, ...]
    critic: tuple[Layer, ...]


def init_params(
    key: Key[Array, ""],
    shape: NetworkShape,
    num_sets: int = 1,
    num_tags: int = 0,
    learned: LearnedMasks | None = None,
) -> ActorCritic:
    """Orthogonal weights and zero biases; a set's values do not depend on how many there are.

    Made with NumPy: compiling the same in JAX takes longer than a short training run.
    """
    inputs = (shape.obs_size + num_tags, *shape.hidden)
    hidden_gains = (HIDDEN_GAIN,) * len(shape.hidden)
    seed = jax.random.key_data(key).tolist()

    def one_set(number: int) -> ActorCritic:
        rng = np.random.default_rng([*seed, number])
        return ActorCritic(
            actor=_init_mlp(rng, (*inputs, shape.num_actions), (*hidden_gains, ACTOR_GAIN)),
            critic=_init_mlp(rng, (*inputs, 1), (*hidden_gains, CRITIC_GAIN)),
        )

    sets = [one_set(number) for number in range(num_sets)]
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *sets)
    if learned is None:
        return params
    rng = np.random.default_rng([*seed, num_sets])
    return _map_layers(partial(_with_thresholds, rng, shape.num_agents, learned), params)


def _init_mlp(
    rng: np.random.Generator, sizes: tuple[int, ...], gains: tuple[float, ...]
) -> tuple[Layer, ...]:
    return tuple(
        Layer(jnp.float32(gain * orthogonal(rng, fan_in, fan_out)), jnp.zeros(fan_out))
        for gain, fan_in, fan_out in zip(gains, sizes[:-1], sizes[1:], strict=True)
    )


def _with_thresholds(
    rng: np.random.Generator, num_agents: int, learned: LearnedMasks, layer: Layer
) -> Layer:
    shape = (1, num_agents, *layer.weight.shape[1:])
    low, high = np.asarray(learned.initial).tolist()
    threshold = rng.uniform(low, high, shape)
    return layer._replace(threshold=jnp.asarray(threshold, jnp.float32))


def _map_layers(function: Callable[[Layer], Layer], params: ActorCritic) -> ActorCritic:
    return ActorCritic(tuple(map(function, params.actor)), tuple(map(function, params.critic)))


def num_sets_of(sharing: Sharing) -> int:
    """How many parameter sets the agents use."""
    return int(sharing.group.max()) + 1


def used_sets(params: ActorCritic, sharing: Sharing) -> ActorCritic:
    """The parameter sets that the agents use, without any that only fill up."""
    return jax.tree.map(lambda leaf: leaf[: num_sets_of(sharing)], params)


def orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A random matrix whose shorter side's vectors are orthonormal (arXiv 1312.6120)."""
    q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))  # without this, QR would prefer some directions
    return q if rows >= columns else q.T


def actor_logits(
    params: ActorCritic,
    sharing: Sharing,
    obs: Float[Array, "*batch agent obs"],
    legal: Bool[Array, "*batch agent action"],
) -> Float[Array, "*batch agent action"]:
    """Log-probabilities up to a constant; an illegal action's is the least float32."""
    logits = _mlp(params.actor, sharing.masks.actor, sharing.group, _inputs(sharing, obs))
    return jnp.where(legal, logits, jnp.finfo(logits.dtype).min)


def critic_value(
    params: ActorCritic, sharing: Sharing, obs: Float[Array, "*batch agent obs"]
) -> Float[Array, "*batch agent"]:
    """Expected discounted return of each agent's own rewards from its own observation."""
    return _mlp(params.critic, sharing.masks.critic, sharing.group, _inputs(sharing, obs))[..., 0]


def sample_action(
    key: Key[Array, ""], logits: Float[Array, "*batch agent action"]
) -> Int[Array, "*batch agent"]:
    """Draw an action per agent from one uniform number: the first whose cumulated share exceeds it.

    A third of the time of ``jax.random.categorical`` on a CPU, which draws one number per action.
    An action of probability zero is never drawn.
    """
    cumulated = jnp.cumsum(jax.nn.softmax(logits), axis=-1)
    drawn = jax.random.uniform(key, logits.shape[:-1]) * cumulated[..., -1]
    return (cumulated[..., :-1] <= drawn[..., None]).sum(axis=-1)


def greedy_action(logits: Float[Array, "*batch agent action"]) -> Int[Array, "*batch agent"]:
    return logits.argmax(axis=-1)


def sampled(params: ActorCritic, sharing: Sharing):
    """Draws actions, as in training."""
    return lambda key, obs, legal: sample_action(key, actor_logits(params, sharing, obs, legal))


def greedy(params: ActorCritic, sharing: Sharing):
    """Takes each agent's most likely action."""
    return lambda key, obs, legal: greedy_action(actor_logits(params, sharing, obs, legal))


def count_params(params: ActorCritic) -> int:
    """Trainable numbers of actor and critic over all sets."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def num_params(
    shape: NetworkShape, num_sets: int = 1, num_tags: int = 0, num_thresholds: int = 0
) -> int:
    """What :func:`count_params` would say, without making them.

    Args:
        shape: sizes of one network.
        num_sets: how many networks there are.
        num_tags: numbers appended to an observation.
        num_thresholds: agents that have a threshold of their own for every weight.
    """
    inputs = (shape.obs_size + num_tags, *shape.hidden)
    return sum(
        num_sets * (fan_in + 1) * fan_out + num_thresholds * fan_in * fan_out
        for sizes in ((*inputs, shape.num_actions), (*inputs, 1))
        for fan_in, fan_out in itertools.pairwise(sizes)
    )


def mask_difference(params: ActorCritic) -> Float[Array, ""]:
    """How unlike the agents' learned masks are: 0 where all are one; no more than about 1/2."""
    pairs = [layer.shared for layer in (*params.actor, *params.critic)]
    differing = jnp.stack([learned_masks.difference(*pair) for pair in pairs]).sum()
    sizes = jnp.stack([jnp.abs(weight).sum() for weight, _ in pairs])
    return differing / jax.lax.stop_gradient(sizes.sum())


def renew_unused(key: Key[Array, ""], params: ActorCritic, learned: LearnedMasks) -> ActorCritic:
    """Draw weights anew that no agent's learned mask lets pass."""
    keys = iter(jax.random.split(key, len(params.actor) + len(params.critic)))

    def one(layer: Layer) -> Layer:
        weight, threshold = learned_masks.renew(
            next(keys), *layer.shared, learned.initial, learned.renew_share
        )
        return layer._replace(weight=weight[None], threshold=threshold[None])

    return _map_layers(one, params)


def _inputs(
    sharing: Sharing, obs: Float[Array, "*batch agent obs"]
) -> Float[Array, "*batch agent input"]:
    if sharing.scaling is not None:
        kind, mean, scale = sharing.scaling
        obs = jnp.clip((obs - mean[kind]) * scale[kind], -SCALED_LIMIT, SCALED_LIMIT)
    if sharing.tags.shape[-1] == 0:
        return obs
    tags = jnp.broadcast_to(sharing.tags, (*obs.shape[:-1], sharing.tags.shape[-1]))
    return jnp.concatenate([obs, tags], axis=-1)


def _mlp(
    layers: tuple[Layer, ...],
    masks: tuple[Float[Array, "agent _hidden"], ...],
    group: Int[Array, " agent"],
    x: Float[Array, "*batch agent in"],
) -> Float[Array, "*batch agent out"]:
    """Rows of all agents through one set, or each agent's rows through its own set."""
    rows = x.reshape(-1, *x.shape[-2:])
    all_alike = layers[0].weight.shape[0] == 1 and layers[0].threshold is None
    forward = _one_set if all_alike else _own_weights
    out = forward(layers, masks, group, rows)
    return out.reshape(*x.shape[:-1], out.shape[-1])


def _one_set(
    layers, masks, group, x: Float[Array, "row agent in"]
) -> Float[Array, "row agent out"]:
    del group
    num_rows, num_agents, _ = x.shape
    x = x.reshape(num_rows * num_agents, -1)
    for layer, mask in zip(layers[:-1], masks, strict=True):
        x = jax.nn.relu(_dense(x, layer.weight[0], layer.bias[0]))
        x = (x.reshape(num_rows, num_agents, -1) * mask).reshape(num_rows * num_agents, -1)
    return _dense(x, layers[-1].weight[0], layers[-1].bias[0]).reshape(num_rows, num_agents, -1)


def _own_weights(
    layers, masks, group, x: Float[Array, "row agent in"]
) -> Float[Array, "row agent out"]:
    """Each agent's rows through its own weights: a pass costs one set per agent, not all sets."""

    def one_agent(agent_layers, agent_masks, x):
        for (weight, bias), mask in zip(agent_layers[:-1], agent_masks, strict=True):
            x = jax.nn.relu(_dense(x, weight, bias)) * mask
        return _dense(x, *agent_layers[-1])

    own = [_weights_of_agents(layer, group) for layer in layers]
    return jax.vmap(one_agent, in_axes=(0, 0, 1), out_axes=1)(own, masks, x)


def _weights_of_agents(
    layer: Layer, group: Int[Array, " agent"]
) -> tuple[Float[Array, "agent in out"], Float[Array, "agent out"]]:
    """The set that an agent uses, or what its own thresholds leave of the shared one."""
    if layer.threshold is None:
        return layer.weight[group], layer.bias[group]
    weight = learned_masks.masked_weight(*layer.shared)
    return weight, jnp.broadcast_to(layer.bias[0], (len(group), layer.bias.shape[-1]))


@jax.custom_vjp
def _dense(
    x: Float[Array, "row in"], weight: Float[Array, "in out"], bias: Float[Array, " out"]
) -> Float[Array, "row out"]:
    return x @ weight + bias


def _dense_forward(x, weight, bias):
    return _dense(x, weight, bias), (x, weight)


def _dense_backward(residuals, gradient):
    """Plain calculus, arranged for a CPU.

    XLA's product is half as fast where it contracts the leading axis of its first factor, so that
    factor is transposed beforehand, and the smaller of the two is chosen for it.
    """
    x, weight = residuals
    if x.shape[1] > gradient.shape[1]:
        by_weight = jax.lax.optimization_barrier(_transposed(gradient) @ x).T
    else:
        by_weight = _transposed(x) @ gradient
    ones = jnp.ones((1, gradient.shape[0]), gradient.dtype)
    return gradient @ weight.T, by_weight, (ones @ gradient)[0]


def _transposed(x: Float[Array, "row column"]) -> Float[Array, "column row"]:
    """Written out: XLA would fold a mere view into the product."""
    return jax.lax.optimization_barrier(x.T)


_dense.defvjp(_dense_forward, _dense_backward)
