"""Environments by name. Stage: environment."""

from adaps.envs import bps, foraging, rware
from adaps.envs.auto_reset import auto_reset
from adaps.errors import UserError, unknown
from adaps.extensions import is_dotted, load
from adaps.types import Environment

FAMILIES = (bps, rware, foraging)
"""Modules with ``NAMES``, ``PATTERNS`` and ``parse(name) → environment or None``."""

__all__ = ["FAMILIES", "auto_reset", "make"]


def make(name: str) -> Environment:
    """The built-in environment of a name in upper or lower case, or a third party's.

    A third party's is named ``package.module:thing``, where ``thing`` is a class or function that
    makes an :class:`adaps.Environment` without arguments, or an environment itself.

    >>> make("bps-1").num_agents
    15

    Raises:
        UserError: no environment has that name; the message says which is nearest.
    """
    if is_dotted(name):
        return _third_party(name)
    name = name.lower()
    for family in FAMILIES:
        if (environment := family.parse(name)) is not None:
            return environment
    known = [n for family in FAMILIES for n in (*family.NAMES, *family.PATTERNS)]
    raise unknown("environment", name, known)


def _third_party(name: str) -> Environment:
    thing = load("environment", name)
    made = thing() if callable(thing) else thing
    if isinstance(made, Environment):
        return made
    members = ("name", "num_agents", "obs_size", "num_actions", "max_steps", "agent_types")
    lacking = [m for m in (*members, "reset", "step") if not hasattr(made, m)]
    raise UserError(f"environment '{name}' is no adaps.Environment: it lacks {', '.join(lacking)}")
