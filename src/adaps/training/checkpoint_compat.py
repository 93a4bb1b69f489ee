"""Whether what was kept is what a run would go on with, by sizes alone. Stage: train.

Asked before anything in the run's folder is changed, so that what cannot go on leaves it whole.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adaps.config.training import TrainConfig, looks_for_identity
from adaps.errors import UserError
from adaps.files.checkpoint import Checkpoint, check_same
from adaps.identity.gathering import GatherState
from adaps.training.device_placement import stack
from adaps.training.host import HostStages, empty, kept
from adaps.training.journal import Shared, restored_shared
from adaps.training.stages import SeedKeys, Stages, initial_encoder, initial_params
from adaps.types import (
    Identity,
    LearnedMasks,
    Masks,
    NetworkShape,
    Presence,
    Scaling,
    Sharing,
    Timestep,
)


def check_fits(config: TrainConfig, stages: Stages | HostStages, found: Checkpoint) -> None:
    """Refuse a checkpoint that these stages cannot go on from.

    Raises:
        UserError: with the first array that is missing, left over, or of another size.
    """
    try:
        _check(config, stages, found)
    except UserError as error:
        raise UserError(
            f"{found.path} does not fit this run: {error} (go on with the settings that it was "
            "begun with, or begin another run)"
        ) from None


def _check(config: TrainConfig, stages: Stages | HostStages, found: Checkpoint) -> None:
    others = stages.others if isinstance(stages, HostStages) else stages._asdict()
    keys = others["keys"](jnp.asarray(found.facts["seeds"], jnp.uint32))
    shared = restored_shared(found)
    if shared is not None:
        _check_shared(others["shape"], shared)
    if "train" in found.parts:
        if shared is None:
            raise UserError("it was trained before it was known who is alike")
        begun = _begun(config, stages, others["shape"], keys, shared)
        check_same(kept(begun), found.parts["train"])
    if looks_for_identity(config):
        _check_look(config, stages, others, keys, found)


def _check_look(
    config: TrainConfig,
    stages: Stages | HostStages,
    others: dict[str, Any],
    keys: SeedKeys,
    found: Checkpoint,
) -> None:
    """What a look that was begun had gathered and learnt."""
    gathering = _gathering(stages, keys)
    if "gather" in found.parts:
        check_same(kept(gathering), found.parts["gather"])
    codes = {name: part for name, part in found.parts.items() if name.startswith("codes-")}
    if codes:
        samples = jax.eval_shape(others["samples"], gathering.gathered)
        for number, of_part in enumerate(_zeros(samples)):
            if f"codes-{number}" in codes:
                check_same(initial_encoder(config, keys, of_part), codes[f"codes-{number}"])


def _begun(
    config: TrainConfig,
    stages: Stages | HostStages,
    shape: NetworkShape,
    keys: SeedKeys,
    shared: Shared,
) -> Any:
    """Training at its start, without an environment being opened."""
    params, sharing = initial_params(shape, keys, shared.sharings), stack(shared.sharings)
    if not isinstance(stages, HostStages):
        return jax.eval_shape(stages.begin, keys, params, sharing)
    first = _first(config.num_envs, shape)
    state = jax.eval_shape(stages.compiled.before_training, params, sharing, first)
    return state._replace(rollout=keys.rollout[0])


def _gathering(stages: Stages | HostStages, keys: SeedKeys) -> GatherState:
    """Gathering at its start, likewise."""
    if not isinstance(stages, HostStages):
        return jax.eval_shape(stages.begin_gathering, keys)
    nothing = empty(stages.env, stages.plan)
    return GatherState(keys.gather[0], jax.tree.map(lambda x: x[None], nothing))


def _first(num_copies: int, shape: NetworkShape) -> Timestep:
    """The sizes of what copies in Python give, with an axis for the seed."""
    each = (1, num_copies, shape.num_agents)
    of: Any = partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    flag: Any = partial(jax.ShapeDtypeStruct, dtype=jnp.bool_)
    obs, legal, ended = (
        of((*each, shape.obs_size)),
        flag((*each, shape.num_actions)),
        flag(each[:2]),
    )
    here = Presence(flag(each), flag(each), flag(each))
    return Timestep(obs, legal, of(each), ended, ended, obs, here)


def _zeros(tree: Any) -> Any:
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), tree)


def _check_shared(shape: NetworkShape, shared: Shared) -> None:
    """Of every seed: its agents, and layers as wide as the network's."""
    wanted = _sizes(shape, shared.sharings[0])
    for identity, sharing in zip(shared.identities, shared.sharings, strict=True):
        if jax.tree.map(np.shape, sharing) != wanted or not _below(sharing.group, shape.num_agents):
            raise UserError("who shares what is of another network or another team")
        if identity is not None and not _is_of(shape, identity):
            raise UserError("who is alike is of another team")


def _sizes(shape: NetworkShape, sharing: Sharing) -> Any:
    """Sizes of a sharing that has the parts that this one has."""
    layers: Any = tuple((shape.num_agents, width) for width in shape.hidden)
    agents: Any = (shape.num_agents,)
    of_kind: Any = (np.shape(sharing.scaling.mean)[0], shape.obs_size) if sharing.scaling else ()
    tags: Any = (*agents, *np.shape(sharing.tags)[1:])
    learned: Any = ((2,), (), (), ())
    return Sharing(
        agents,
        Masks(layers, layers),
        tags,
        LearnedMasks(*learned) if sharing.learned else None,
        Scaling(agents, of_kind, of_kind) if sharing.scaling else None,
    )


def _is_of(shape: NetworkShape, identity: Identity) -> bool:
    clusters, centres, latent = identity.clusters, identity.centres, identity.latent
    agents = (shape.num_agents,)
    is_one = clusters.shape == agents and centres.ndim == 2 and _below(clusters, len(centres))
    return is_one and (latent is None or (latent.ndim == 2 and latent.shape[:1] == agents))


def _below(numbers: Any, end: int) -> bool:
    found = np.asarray(numbers)
    return bool(np.issubdtype(found.dtype, np.integer) and ((found >= 0) & (found < end)).all())
