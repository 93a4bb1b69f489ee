"""Whether a checkpoint is of this run, by the sizes of its arrays alone. Stage: train.

Asked before anything in the run's folder is changed, so that a run that cannot be resumed is left
whole.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adaps.collect.host import to_checkpoint
from adaps.config.training import TrainConfig, needs_identification
from adaps.errors import UserError
from adaps.files.checkpoint import check_same
from adaps.identity.space_groups import space_groups_of
from adaps.training.checkpoint_metadata import RunCheckpoint, SeedAssignments
from adaps.training.device_placement import stack
from adaps.training.policy import check_sharing
from adaps.training.stages import (
    PreparedStages,
    SeedKeys,
    initial_encoder,
    initial_params,
    samples_of,
    seed_keys,
)
from adaps.types import Identity, Network, NetworkShape, Sharing


def check_fits(config: TrainConfig, stages: PreparedStages, found: RunCheckpoint) -> None:
    """Refuse a checkpoint that these stages cannot resume from.

    Raises:
        UserError: with the first array that is missing, left over, or of another size.
    """
    try:
        _check(config, stages, found)
    except UserError as error:
        raise UserError(
            f"{found.path} does not fit this run: {error} (resume with the settings that it was "
            "begun with, or begin another run)"
        ) from None


def _check(config: TrainConfig, stages: PreparedStages, found: RunCheckpoint) -> None:
    keys = seed_keys(jnp.asarray(found.metadata.seeds, jnp.uint32))
    shared, network = found.assignments, stages.setting.agent.network
    if shared is not None:
        _check_shared(network, shared)
    if "train" in found.parts:
        if shared is None:
            raise UserError("it was trained before it was known who is alike")
        params = initial_params(network, config.sharing, keys, shared.sharings)
        begun = stages.begun_shapes(keys, params, stack(shared.sharings))
        check_same(to_checkpoint(begun), found.parts["train"])
    if needs_identification(config):
        _check_identification(config, stages, keys, found)


def _check_identification(
    config: TrainConfig, stages: PreparedStages, keys: SeedKeys, found: RunCheckpoint
) -> None:
    """What an identification that was begun had gathered and learned."""
    gathering = stages.gathering_shapes(keys)
    if "gather" in found.parts:
        check_same(to_checkpoint(gathering), found.parts["gather"])
    codes = {name: part for name, part in found.parts.items() if name.startswith("codes-")}
    if codes:
        samples = jax.eval_shape(
            lambda gathered: samples_of(space_groups_of(stages.env), gathered), gathering.gathered
        )
        for number, of_part in enumerate(_zeros(samples)):
            if f"codes-{number}" in codes:
                check_same(initial_encoder(config, keys, of_part), codes[f"codes-{number}"])


def _zeros(tree: Any) -> Any:
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), tree)


def _check_shared(network: Network, shared: SeedAssignments) -> None:
    """Of every seed: its agents, and masks of the network's units."""
    shape, tags = network.shape, shared.sharings[0].tags.shape
    for identity, sharing in zip(shared.identities, shared.sharings, strict=True):
        if not (_fits(network, sharing) and sharing.tags.shape == tags):
            raise UserError("who shares what is of another network or another team")
        if identity is not None and not _is_of(shape, identity):
            raise UserError("who is alike is of another team")


def _fits(network: Network, sharing: Sharing) -> bool:
    try:
        check_sharing(network, sharing)
    except ValueError:
        return False
    return True


def _is_of(shape: NetworkShape, identity: Identity) -> bool:
    clusters, centres, latent = identity.clusters, identity.centres, identity.latent
    agents = (shape.num_agents,)
    is_one = clusters.shape == agents and centres.ndim == 2 and _below(clusters, len(centres))
    return is_one and (latent is None or (latent.ndim == 2 and latent.shape[:1] == agents))


def _below(numbers: Any, end: int) -> bool:
    found = np.asarray(numbers)
    return bool(np.issubdtype(found.dtype, np.integer) and ((found >= 0) & (found < end)).all())
