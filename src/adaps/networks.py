"""The shared actor and critic: the only file that computes with parameters and ``Sharing``.

Stage: network. Every sharing method runs through this forward pass; only its arrays differ.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from adaps.types import NetworkShape, Sharing

HIDDEN_GAIN = 2**0.5
ACTOR_GAIN = 0.01
"""A small last layer: the first policy is nearly uniform, so gathering explores."""
CRITIC_GAIN = 1.0


class Layer(NamedTuple):
    weight: Float[Array, "set in out"]
    bias: Float[Array, "set out"]


class ActorCritic(NamedTuple):
    """Parameters of ``set`` actors and critics, stacked; most methods have a single set."""

    actor: tuple[Layer, ...]
    critic: tuple[Layer, ...]


def init_params(
    key: Key[Array, ""], shape: NetworkShape, num_sets: int = 1, num_tags: int = 0
) -> ActorCritic:
    """Orthogonal weights and zero biases; a set's values do not depend on how many there are.

    Made with NumPy: compiling the same in JAX takes longer than a short training run.
    """
    inputs = (shape.obs_size + num_tags, *shape.hidden)
    hidden_gains = (HIDDEN_GAIN,) * len(shape.hidden)

    def one_set(number: int) -> ActorCritic:
        rng = np.random.default_rng([*jax.random.key_data(key).tolist(), number])
        return ActorCritic(
            actor=_init_mlp(rng, (*inputs, shape.num_actions), (*hidden_gains, ACTOR_GAIN)),
            critic=_init_mlp(rng, (*inputs, 1), (*hidden_gains, CRITIC_GAIN)),
        )

    sets = [one_set(number) for number in range(num_sets)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *sets)


def _init_mlp(
    rng: np.random.Generator, sizes: tuple[int, ...], gains: tuple[float, ...]
) -> tuple[Layer, ...]:
    return tuple(
        Layer(jnp.float32(gain * orthogonal(rng, fan_in, fan_out)), jnp.zeros(fan_out))
        for gain, fan_in, fan_out in zip(gains, sizes[:-1], sizes[1:], strict=True)
    )


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
    logits = _mlp(params.actor, sharing.masks.actor, sharing.group, _tagged(sharing, obs))
    return jnp.where(legal, logits, jnp.finfo(logits.dtype).min)


def critic_value(
    params: ActorCritic, sharing: Sharing, obs: Float[Array, "*batch agent obs"]
) -> Float[Array, "*batch agent"]:
    """Expected discounted return of each agent's own rewards from its own observation."""
    return _mlp(params.critic, sharing.masks.critic, sharing.group, _tagged(sharing, obs))[..., 0]


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


def count_params(params: ActorCritic) -> int:
    """Trainable numbers of actor and critic over all sets."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def num_params(shape: NetworkShape, num_sets: int = 1, num_tags: int = 0) -> int:
    """What :func:`count_params` would say, without making them."""
    inputs = (shape.obs_size + num_tags, *shape.hidden)
    return num_sets * sum(
        (fan_in + 1) * fan_out
        for sizes in ((*inputs, shape.num_actions), (*inputs, 1))
        for fan_in, fan_out in itertools.pairwise(sizes)
    )


def _tagged(
    sharing: Sharing, obs: Float[Array, "*batch agent obs"]
) -> Float[Array, "*batch agent input"]:
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
    num_sets = layers[0].weight.shape[0]
    forward = _one_set if num_sets == 1 else _several_sets
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


def _several_sets(
    layers, masks, group, x: Float[Array, "row agent in"]
) -> Float[Array, "row agent out"]:
    """Gathers each agent's set, so a forward pass costs one set per agent, however many exist."""

    def one_agent(agent_layers, agent_masks, x):
        for layer, mask in zip(agent_layers[:-1], agent_masks, strict=True):
            x = jax.nn.relu(_dense(x, layer.weight, layer.bias)) * mask
        return _dense(x, agent_layers[-1].weight, agent_layers[-1].bias)

    own_layers = jax.tree.map(lambda leaf: leaf[group], layers)
    return jax.vmap(one_agent, in_axes=(0, 0, 1), out_axes=1)(own_layers, masks, x)


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
