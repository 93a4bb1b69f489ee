"""Environments by name. Stage: environment."""

from adaps.envs import bps, rware
from adaps.envs.auto_reset import auto_reset
from adaps.errors import unknown
from adaps.types import Environment

FAMILIES = (bps, rware)
"""Modules with ``NAMES``, ``PATTERNS`` and ``parse(name) → environment or None``."""

__all__ = ["FAMILIES", "auto_reset", "make"]


def make(name: str) -> Environment:
    """The built-in environment of a name, upper or lower case.

    >>> make("bps-1").num_agents
    15

    Raises:
        UserError: no environment has that name; the message says which is nearest.
    """
    name = name.lower()
    for family in FAMILIES:
        if (environment := family.parse(name)) is not None:
            return environment
    known = [n for family in FAMILIES for n in (*family.NAMES, *family.PATTERNS)]
    raise unknown("environment", name, known)
