"""What is chosen by name, with its options: sharing method, algorithm … Stage: settings."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from adaps.algos import ALGORITHMS
from adaps.errors import unknown
from adaps.extensions import is_dotted, load_options
from adaps.identity.encoders import ENCODERS
from adaps.networks import NETWORKS
from adaps.sharing import METHODS

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "default": {},
    # As published: every measured improvement taken back, and the authors' learning rate.
    "paper": {
        "adaps": {"standardise": False, "rescale": False},
        "a2c": {"learning_rate": 3e-4},
        "run": {"clusterer": "kmeans"},
    },
}


def run_options(preset: str) -> dict[str, Any]:
    """Fields of :class:`TrainConfig` as the preset has them.

    Raises:
        UserError: no such preset.
    """
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    return PRESETS[preset].get("run", {})


class Choice(NamedTuple):
    """What can be chosen for a part of a configuration."""

    kind: str
    default: str
    registry: Mapping[str, Any]
    """By name, dataclasses whose fields are the options."""
    needed: tuple[str, ...]
    """What a third party's dataclass must have."""


CHOICES = {
    "sharing": Choice("sharing method", "adaps", METHODS, ("name", "needs_identity", "build")),
    "algo": Choice("algorithm", "a2c", ALGORITHMS, ("name", "discount", "init", "update")),
    "encoder": Choice("encoder", "vae", ENCODERS, ("name", "init", "encode")),
    "network": Choice("network", "mlp", NETWORKS, ("name", "build")),
}
"""By the field of :class:`~adaps.config.training.TrainConfig` that holds the chosen options."""


def options_of(part: str, name: str, preset: str = "default") -> Any:
    """Options of what is chosen by name, as the preset has them.

    Args:
        part: a key of ``CHOICES``.
        name: of one of this package's, or a third party's dotted name.
        preset: a key of ``PRESETS``.

    Raises:
        UserError: no such name or preset.
    """
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    kind, _, registry, needed = CHOICES[part]
    if is_dotted(name):
        return load_options(kind, name, needed)
    if name.lower() not in registry:
        raise unknown(kind, name, registry)
    return registry[name.lower()](**PRESETS[preset].get(name.lower(), {}))


sharing_options = partial(options_of, "sharing")
algo_options = partial(options_of, "algo")
encoder_options = partial(options_of, "encoder")
network_options = partial(options_of, "network")
