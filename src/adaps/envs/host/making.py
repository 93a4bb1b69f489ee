"""Making one copy of somebody's environment, in whichever process steps it. Stage: environment."""

from collections.abc import Callable
from typing import Any

from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils.conversions import aec_to_parallel

from adaps.errors import UserError

MakeEnv = Callable[[], ParallelEnv]


def make_parallel(name: str, maker: Callable[..., Any], options: dict[str, Any]) -> Any:
    """What ``maker`` makes; agent by agent becomes parallel by PettingZoo's own conversion."""
    env = maker(**options)
    if not isinstance(env, AECEnv):
        return env
    try:
        return aec_to_parallel(env)
    except AssertionError:
        raise UserError(
            f"environment '{name}' is turn-based: PettingZoo makes an AECEnv parallel only where "
            "its metadata have is_parallelizable; give a ParallelEnv"
        ) from None
