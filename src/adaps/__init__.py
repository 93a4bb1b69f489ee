"""adaps: which agents of a team are alike, and each kind trained on its part of one network."""

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
    "from_jaxmarl",
    "from_jumanji",
    "from_pettingzoo",
    "identify",
    "load",
    "make",
    "train",
]
