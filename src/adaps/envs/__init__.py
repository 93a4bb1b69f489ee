"""Environments by name, for this package and for other people's code. Stage: environment."""

from typing import TYPE_CHECKING

from adaps.envs import bps, foraging, rware
from adaps.envs.auto_reset import auto_reset
from adaps.errors import UserError, unknown
from adaps.extensions import is_dotted, load
from adaps.types import Environment

if TYPE_CHECKING:
    import adaps.envs.as_jaxmarl
    import adaps.envs.as_pettingzoo

FAMILIES = (bps, rware, foraging)
"""Modules with ``NAMES``, ``PATTERNS`` and ``parse(name) → environment or None``."""

__all__ = ["FAMILIES", "auto_reset", "make", "to_jaxmarl", "to_pettingzoo"]


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


def to_pettingzoo(env: str | Environment) -> "adaps.envs.as_pettingzoo.PettingZooEnv":
    """An environment, or the one of a name, as a PettingZoo ``ParallelEnv``.

    Raises:
        UserError: the extra ``pettingzoo`` is not installed, or no environment has that name.
    """
    try:
        from adaps.envs.as_pettingzoo import PettingZooEnv  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UserError(
            f"package {error.name} is missing: pip install 'adaps[pettingzoo]'"
        ) from error
    return PettingZooEnv(_made(env))


def to_jaxmarl(env: str | Environment) -> "adaps.envs.as_jaxmarl.JaxMARLEnv":
    """An environment, or the one of a name, with the interface of JaxMARL's ``MultiAgentEnv``.

    Its spaces are JaxMARL's own where the extra ``jaxmarl`` is installed; nothing else needs it.

    Raises:
        UserError: no environment has that name.
    """
    from adaps.envs.as_jaxmarl import JaxMARLEnv  # noqa: PLC0415

    return JaxMARLEnv(_made(env))


def _made(env: str | Environment) -> Environment:
    return make(env) if isinstance(env, str) else env


def _third_party(name: str) -> Environment:
    thing = load("environment", name)
    made = thing() if callable(thing) else thing
    if isinstance(made, Environment):
        return made
    members = ("name", "num_agents", "obs_size", "num_actions", "max_steps", "agent_types")
    lacking = [m for m in (*members, "reset", "step") if not hasattr(made, m)]
    raise UserError(f"environment '{name}' is no adaps.Environment: it lacks {', '.join(lacking)}")
