"""adaps: which agents of a team are alike, and each kind trained on its part of one network.

Each name is imported when it is first used, so that ``import adaps`` is quick and starts no JAX.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaps.algos import A2C
    from adaps.envs import from_jaxmarl, from_jumanji, from_pettingzoo, make
    from adaps.errors import RunError, UserError
    from adaps.identity.encoders import VAE, Behaviour, RandomCodes
    from adaps.networks import MLP
    from adaps.networks.agent import Agent
    from adaps.sharing import (
        SNPPS,
        AdaPS,
        FuPS,
        FuPSGroupId,
        FuPSId,
        FuPSMask,
        Grouped,
        Kaleidoscope,
        NoPS,
        SePS,
        SharingMethod,
    )
    from adaps.training.evaluation import evaluate
    from adaps.training.identify import identify
    from adaps.training.policy import Policy, load
    from adaps.training.result import Result
    from adaps.training.run import train
    from adaps.types import (
        AgentEnds,
        Box,
        Discrete,
        Environment,
        HostEnvironment,
        Identity,
        Modulation,
        NetworkShape,
        Observation,
        Params,
        Rollout,
        Sharing,
        Timestep,
    )

__version__ = "0.1.0"

__all__ = [
    "A2C",
    "MLP",
    "SNPPS",
    "VAE",
    "AdaPS",
    "Agent",
    "AgentEnds",
    "Behaviour",
    "Box",
    "Discrete",
    "Environment",
    "FuPS",
    "FuPSGroupId",
    "FuPSId",
    "FuPSMask",
    "Grouped",
    "HostEnvironment",
    "Identity",
    "Kaleidoscope",
    "Modulation",
    "NetworkShape",
    "NoPS",
    "Observation",
    "Params",
    "Policy",
    "RandomCodes",
    "Result",
    "Rollout",
    "RunError",
    "SePS",
    "Sharing",
    "SharingMethod",
    "Timestep",
    "UserError",
    "evaluate",
    "from_jaxmarl",
    "from_jumanji",
    "from_pettingzoo",
    "identify",
    "load",
    "make",
    "train",
]

_SOURCES = {
    "algos": ("A2C",),
    "envs": ("from_jaxmarl", "from_jumanji", "from_pettingzoo", "make"),
    "errors": ("RunError", "UserError"),
    "identity.encoders": ("VAE", "Behaviour", "RandomCodes"),
    "networks": ("MLP",),
    "networks.agent": ("Agent",),
    "sharing": (
        *("FuPS", "FuPSId", "FuPSMask", "FuPSGroupId", "NoPS", "Grouped", "SharingMethod"),
        *("AdaPS", "SePS", "SNPPS", "Kaleidoscope"),
    ),
    "training.evaluation": ("evaluate",),
    "training.identify": ("identify",),
    "training.policy": ("Policy", "load"),
    "training.result": ("Result",),
    "training.run": ("train",),
    "types": (
        *("Environment", "HostEnvironment", "Timestep", "Observation", "AgentEnds", "Rollout"),
        *("Box", "Discrete", "NetworkShape", "Params", "Modulation", "Identity", "Sharing"),
    ),
}
"""Public names by the module that they come from."""


def __getattr__(name: str) -> Any:
    """A public name, or a subpackage, imported now."""
    for module, names in _SOURCES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    if name.startswith("_") or importlib.util.find_spec(f"{__name__}.{name}") is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
