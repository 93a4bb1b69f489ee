"""What a sharing method is: data that says who uses what, and maybe more. Stage: sharing.

Most methods only build a :class:`adaps.Sharing`. One that learns something of its own overrides the
other hooks, which compiled functions call.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from jaxtyping import Array, Float, Int, Key

from adaps.errors import UserError
from adaps.networks.weights import bind_sets, num_sets_used, stack_sets
from adaps.types import Identity, Metrics, Network, NetworkShape, Params, Sharing, Weights


class SharingMethod:
    """Base class: a frozen dataclass whose fields are the method's options.

    A subclass that overrides anything but :meth:`build` and ``needs_identity`` must be hashable,
    as frozen dataclasses are.
    """

    name: ClassVar[str] = ""

    @property
    def needs_identity(self) -> bool:
        """Whether agents are to be identified first."""
        return False

    def build(self, key: Key[Array, ""], network: Network, identity: Identity | None) -> Sharing:
        """Who uses what.

        Args:
            key: for what is drawn.
            network: its ``shape`` and its ``units``, which masks are named after.
            identity: codes and clusters; None where they are neither needed nor given.
        """
        raise NotImplementedError

    def init(
        self, key: Key[Array, ""], network: Network, sharing: Sharing, num_sets: int | None = None
    ) -> Params:
        """Parameters before training.

        A set's values do not depend on how many there are.

        Args:
            key: for what is drawn.
            network: whose parameters.
            sharing: what :meth:`build` returned.
            num_sets: how many sets to make; None: as many as the agents use.
        """
        count = num_sets_used(sharing) if num_sets is None else num_sets
        num_tags = sharing.tags.shape[-1]
        rngs = [np.random.default_rng([*_numbers(key), number]) for number in range(count)]
        return Params(stack_sets([network.init(rng, num_tags) for rng in rngs]))

    def num_own_params(self, network: Network) -> int:
        """Trainable numbers of the method's own, besides those of the sets, without making them."""
        del network
        return 0

    def bind(self, params: Params, sharing: Sharing) -> Weights:
        """What each agent computes with."""
        return bind_sets(params, sharing)

    def penalty(
        self, params: Params, sharing: Sharing, loss: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Metrics]:
        """The method's own term, which is added to the loss, and what is to be logged of it.

        Args:
            params: all that is trained.
            sharing: what :meth:`build` returned.
            loss: the algorithm's, for a term that is a share of it.
        """
        del params, sharing, loss
        return jnp.float32(0), {}

    def transform(self) -> optax.GradientTransformationExtraArgs:
        """The method's own rule of change, after the algorithm's; ``update`` is given a ``key``."""
        return optax.with_extra_args_support(optax.identity())


Groups = Annotated[
    str | Path | Sequence | np.ndarray,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="discovered|oracle|shuffled|FILE",
        instance_from_str=lambda words: words[0],
        is_instance=lambda value: isinstance(value, (str, tuple)),
        str_from_instance=lambda value: [str(value)],
    ),
]


@dataclass(frozen=True)
class Grouped(SharingMethod):
    """Where the groups come from; subclasses say what a group shares."""

    clusters: int | None = None
    """Number of clusters K, from 1 (all alike) to the number of agents; None finds it."""
    groups: Groups = "discovered"
    """Who belongs together: as discovered; oracle: the true types; shuffled: as discovered, with
    the members dealt out wrongly; or a JSON file with each agent's group, or each group's agents.
    """

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", _plain(self.groups))

    @property
    def needs_identity(self) -> bool:
        """Not where groups are given, or one cluster holds everyone: there is nothing to find."""
        return self.groups in ("discovered", "shuffled") and self.clusters != 1

    def groups_of(
        self, shape: NetworkShape, identity: Identity | None
    ) -> tuple[Int[np.ndarray, " agent"], int]:
        """Each agent's group and their number: one group where nothing tells agents apart."""
        if identity is None:
            return np.zeros(shape.num_agents, int), 1
        return identity.clusters, len(identity.centres)


HOOKS = ("bind", "penalty", "transform")
DATA_ONLY = SharingMethod()
"""Stands for every method that is only data, so that all of them share compiled programs."""


def hooks_of(method: SharingMethod) -> SharingMethod:
    """What compiled functions need of a method."""
    own = any(getattr(type(method), hook) is not getattr(SharingMethod, hook) for hook in HOOKS)
    return method if own else DATA_ONLY


def check_method(method: Any) -> None:
    """Refuse somebody's method that training cannot work with.

    Raises:
        UserError: with what it lacks.
    """
    name = f"sharing method {type(method).__name__}"
    if not isinstance(method, SharingMethod):
        raise UserError(f"{name} must be a subclass of adaps.SharingMethod")
    if type(method).build is SharingMethod.build:
        raise UserError(f"{name} lacks build")
    try:
        hash(hooks_of(method))
    except TypeError:
        raise UserError(f"{name} must be a frozen dataclass, since it has hooks") from None


def num_params(method: SharingMethod, network: Network, sharing: Sharing) -> int:
    """All that a method trains, without making it."""
    of_set = network.num_params(sharing.tags.shape[-1])
    return num_sets_used(sharing) * of_set + method.num_own_params(network)


def full_sharing(network: Network) -> Sharing:
    """One parameter set, every unit for everyone, no tags: what other methods differ from."""
    num_agents = network.shape.num_agents
    return Sharing(
        param_set=jnp.zeros(num_agents, jnp.int32),
        masks={name: jnp.ones((num_agents, width)) for name, width in network.units.items()},
        tags=jnp.zeros((num_agents, 0)),
    )


def init_rng(key: Key[Array, ""], number: int) -> np.random.Generator:
    """What a method's own parameters are drawn with: ``number`` is that of the sets."""
    return np.random.default_rng([*_numbers(key), number])


def _numbers(key: Key[Array, ""]) -> list[int]:
    return jax.random.key_data(key).tolist()


def _plain(groups: Any) -> Any:
    """Paths as texts, arrays and lists as tuples: options can be compared and saved."""
    if isinstance(groups, Path):
        return str(groups)
    if isinstance(groups, np.ndarray):
        groups = groups.tolist()
    return tuple(map(_plain, groups)) if isinstance(groups, (list, tuple)) else groups
