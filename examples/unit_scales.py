"""A sharing method of your own that learns: each cluster scales every unit of one network.

    adaps train bps:4-4 --sharing examples.unit_scales:UnitScales

``build`` returns data, here full sharing and each agent's cluster. ``init`` adds what is learned
besides the network's parameters, ``bind`` says what each agent computes with. A method may also
add a term of its own to the loss (``penalty``) and a rule of change of its own (``transform``).
"""

from dataclasses import dataclass

import jax.numpy as jnp

import adaps
from adaps.sharing.method import full_sharing


@dataclass(frozen=True)
class UnitScales(adaps.Grouped):
    """Options of unit scales."""

    initial: float = 1.0
    """Every scale before training; 1 is full sharing."""

    name = "unit-scales"

    def build(self, key, network, identity):
        """One parameter set; an agent's cluster chooses its scales."""
        cluster, _ = self.groups_of(network.shape, identity)
        return full_sharing(network)._replace(own={"cluster": jnp.asarray(cluster, jnp.int32)})

    def init(self, key, network, sharing, num_sets=None):
        """A scale for each unit and as many clusters as there can be: one per agent."""
        params = super().init(key, network, sharing, num_sets)
        num_agents, units = network.shape.num_agents, network.units
        scales = {name: jnp.full((num_agents, w), self.initial) for name, w in units.items()}
        return params._replace(own=scales)

    def num_own_params(self, network):
        """Trainable numbers besides the network's."""
        return network.shape.num_agents * sum(network.units.values())

    def bind(self, params, sharing):
        """The shared weights, and the scales of each agent's cluster."""
        cluster = sharing.own["cluster"]
        units = {name: adaps.Modulation(own[cluster]) for name, own in params.own.items()}
        return super().bind(params, sharing)._replace(units=units)
