"""``adaps list``: names, and what each sharing method would train in an environment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import numpy as np
import tyro
from rich.table import Table

from adaps.algos import ALGORITHMS
from adaps.cli.tables import table
from adaps.config.choices import PRESETS
from adaps.config.groups import as_identity
from adaps.config.parsing import parse
from adaps.config.training import Hidden
from adaps.envs import FAMILIES, make
from adaps.envs.names import PREFIXES
from adaps.extensions import check_options, from_to
from adaps.files.terminal import Terminal
from adaps.networks import MLP, NETWORKS
from adaps.networks.weights import num_sets_used
from adaps.sharing import METHODS, Kaleidoscope
from adaps.sharing.method import num_params
from adaps.types import AnyEnvironment, NetworkShape, action_space_of


@dataclass(frozen=True)
class ListCommand:
    """Show environments, sharing methods and algorithms; with ENV, each method's parameters."""

    env: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[ENV]")] = ""
    """Environment to count every method's trainable parameters for."""
    hidden: Hidden = (64, 64)
    """Widths of the hidden layers of actor and critic."""
    clusters: int | None = None
    """Groups that methods with groups are taken to find; None: the true number, or 2."""


def run(words: list[str]) -> int:
    """Print the names, or an environment's methods."""
    command = parse(ListCommand, "list", words)
    check_options(command)
    if command.env:
        _print_parameters(make(command.env), command.hidden, command.clusters)
        return 0
    names = Table("what", "names", show_header=False)
    for family in FAMILIES:
        names.add_row("environments", ", ".join((*family.NAMES, *family.PATTERNS)))
    others = [f"{prefix}:{of}" for prefix, of in PREFIXES.items()]
    names.add_row("others' environments", ", ".join((*others, "package.module:thing")))
    names.add_row("their options", "NAME,option=value,option=value")
    names.add_row("sharing methods", ", ".join(METHODS))
    names.add_row("algorithms", ", ".join(ALGORITHMS))
    names.add_row("networks", ", ".join(NETWORKS))
    names.add_row("presets", ", ".join(PRESETS))
    Terminal().print(names)
    return 0


def _print_parameters(env: AnyEnvironment, hidden: tuple[int, ...], clusters: int | None) -> None:
    from_to(1, env.num_agents).check("--clusters", clusters)
    kinds = num_kinds(env)
    num_groups = clusters or kinds or min(2, env.num_agents)
    known = "kinds not known" if kinds is None else f"{kinds} kinds"
    title = (
        f"{env.name}: {env.num_agents} agents, {known}; hidden layers of "
        f"{' and '.join(map(str, hidden))}; methods with groups as if they found {num_groups}"
    )
    headings = ("method", "parameter sets", "tags", "masks on", "parameters", "over FuPS")
    counts = table(title, headings, left=("method",))
    rows = rows_of(env, hidden, num_groups)
    fups = next(row.parameters for row in rows if row.method == "fups")
    for row in rows:
        ratio = f"{row.parameters / fups:.2f} ×"
        sets, tags = str(row.num_sets), str(row.num_tags or "–")
        counts.add_row(row.method, sets, tags, row.masks, f"{row.parameters:,}", ratio)
    Terminal().print(counts)


class Row(NamedTuple):
    """One sharing method's network."""

    method: str
    num_sets: int
    """Parameter sets."""
    num_tags: int
    """Numbers appended to an observation."""
    masks: str
    """What masks select: neurons, weights, or nothing."""
    parameters: int
    """Trainable numbers of actor and critic."""


def num_kinds(env: AnyEnvironment) -> int | None:
    """How many true types of agents there are; None where that is not known."""
    return None if env.agent_types is None else len(set(env.agent_types))


def rows_of(env: AnyEnvironment, hidden: Sequence[int], num_groups: int) -> list[Row]:
    """Every method, for methods with groups as if ``num_groups`` had been found."""
    shape = NetworkShape(env.num_agents, env.obs_size, action_space_of(env), tuple(hidden))
    network = MLP().build(shape)
    identity = as_identity(np.arange(env.num_agents) % num_groups, latent_size=10, seed=0)
    key = jax.random.key(0)
    found = []
    for name, method in METHODS.items():
        sharing = method().build(key, network, identity)
        masked = any((mask != 1).any() for mask in jax.tree.leaves(sharing.masks))
        masks = "weights" if method is Kaleidoscope else "neurons" if masked else "–"
        parameters = num_params(method(), network, sharing)
        sets, tags = num_sets_used(sharing), sharing.tags.shape[-1]
        found.append(Row(name, sets, tags, masks, parameters))
    return found
