"""Actors and critics by name: functions of weights and observations. Stage: network."""

from adaps.networks.mlp import MLP

NETWORKS = {"mlp": MLP}

__all__ = ["MLP", "NETWORKS"]
