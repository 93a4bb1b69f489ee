"""Algorithms by name. Stage: update."""

from adaps.algos.a2c import A2C

ALGORITHMS = {"a2c": A2C}

__all__ = ["A2C", "ALGORITHMS"]
