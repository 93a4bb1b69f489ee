"""adaps: which agents of a team are alike, and each kind trained on its part of one network."""

from adaps.algos import A2C
from adaps.envs import from_jaxmarl, from_jumanji, from_pettingzoo, make
from adaps.errors import RunError, UserError
from adaps.files.policy import Policy, load
from adaps.identity.encoders import VAE, Behaviour, RandomCodes
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
)
from adaps.training.identify import identify
from adaps.training.result import Result
from adaps.training.run import train
from adaps.types import (
    Environment,
    HostEnvironment,
    Identity,
    Presence,
    Sharing,
    SharingMethod,
    Timestep,
    Transition,
)

__version__ = "0.1.0"

__all__ = [
    "A2C",
    "SNPPS",
    "VAE",
    "AdaPS",
    "Behaviour",
    "Environment",
    "FuPS",
    "FuPSGroupId",
    "FuPSId",
    "FuPSMask",
    "Grouped",
    "HostEnvironment",
    "Identity",
    "Kaleidoscope",
    "NoPS",
    "Policy",
    "Presence",
    "RandomCodes",
    "Result",
    "RunError",
    "SePS",
    "Sharing",
    "SharingMethod",
    "Timestep",
    "Transition",
    "UserError",
    "from_jaxmarl",
    "from_jumanji",
    "from_pettingzoo",
    "identify",
    "load",
    "make",
    "train",
]
