"""Making one copy of somebody's environment, in whichever process steps it. Stage: environment."""

from collections.abc import Callable
from functools import partial
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


def make_drawing(make_env: MakeEnv) -> ParallelEnv:
    """With ``render_mode="rgb_array"``, where it is an option."""
    if not (isinstance(make_env, partial) and make_env.func is make_parallel):
        return make_env()
    name, maker, options = make_env.args
    try:
        return make_parallel(name, maker, {**options, "render_mode": "rgb_array"})
    except Exception:
        return make_env()
