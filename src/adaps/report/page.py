"""A run as the page's template wants it. Stage: report."""

import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from adaps.files.run_folder import CONFIG, IDENTITY, METRICS, RESULT, SHARING
from adaps.files.schema import short_form, warnings_by_seed
from adaps.report import figures, formatting
from adaps.report.data import Run
from adaps.report.templates import fill

MAPS = 6
"""Seeds that get a map."""
LISTED = 65
"""Teams of fewer agents than this have each agent's return listed."""
FILES = {
    CONFIG: "every setting, and the versions of what was used",
    METRICS: "one line per seed and evaluation",
    IDENTITY: "latent codes, the kinds found, silhouettes",
    SHARING: "masks and parameter sets of every agent",
    RESULT: "what the run came to",
    "checkpoints": "trained parameters, one file per seed",
}


class Tile(NamedTuple):
    """A key figure."""

    label: str
    value: str
    note: str = ""


def render(run: Run) -> str:
    """The whole page."""
    return fill("template.html.j2", _context(run))


def _context(run: Run) -> dict[str, Any]:
    settings = run.settings
    return {
        "env": settings.env,
        "method": formatting.method(settings.sharing.name),
        "algo": settings.algo.name,
        "num_seeds": formatting.counted(len(settings.seeds), "seed"),
        "steps": f"{settings.steps:,}",
        "summary": formatting.summary(run),
        "unfinished": [] if run.finished else list(_unfinished(run)),
        "tiles": list(_tiles(run)),
        "curves": _curves(run),
        "maps": _maps(run),
        "masks": _masks(run),
        "warnings": warnings_by_seed(run.warnings),
        "sizes": _sizes(run),
        "seed_rows": list(_seed_rows(run)),
        "last": run.result is None,
        "groups": _groups(run),
        "settings": list(flat(run.config.config)),
        "versions": run.config.versions,
        "command": _command(run),
        "folder": str(run.folder.resolve()),
        "each_agent": _each_agent(run),
        "episodes": f"{run.result.episodes:,}" if run.result else "some",
        "files": {k: v for k, v in FILES.items() if (run.folder / k).exists()},
    }


def _unfinished(run: Run) -> Iterator[str]:
    """What there is not."""
    planned = run.settings.seeds
    waiting = len(planned) - sum(seed in planned for seed in run.shared)
    if waiting:
        yield f"{waiting} of {formatting.counted(len(planned), 'seed')} had not begun to train"
    if run.points:
        done = min(point.env_steps for point in run.latest.values())
        yield f"its last evaluation was after {done:,} of {run.settings.steps:,} steps"
    else:
        yield "there was no evaluation yet"
    if run.result is None:
        yield "there is no final evaluation"


def _tiles(run: Run) -> Iterator[Tile]:
    yield from _result_tiles(run)
    yield from _kinds_tiles(run)
    result = run.result
    if result:
        note = "; ".join(formatting.compared_sizes(result))
        yield Tile("Trainable parameters", f"{result.parameters:,}", note)
        speed = result.env_steps_per_second
        note = "environment steps per second, all seeds side by side, while they trained"
        yield Tile("Training speed", f"{speed:,.0f}" if speed else formatting.NONE, note)
        yield Tile("Wall time", formatting.duration(result.wall_seconds), "the whole run")


def _result_tiles(run: Run) -> Iterator[Tile]:
    values = list(_returns(run).values())
    if not values:
        return
    mean, reach = formatting.interval(values)
    seeds = formatting.counted(len(values), "seed")
    around = formatting.number(reach, beside=mean)
    spread = seeds if reach is None else f"± {around} (95 % interval over {seeds})"
    label = "Greedy return" if run.result else "Greedy return, latest"
    yield Tile(label, formatting.number(mean), spread)
    regret = formatting.mean_regret(run.result) if run.result else None
    if run.result and regret is not None:
        best = formatting.number(run.result.best)
        above = f"negative: above {best}, which was taken for the best possible"
        note = f"below the best possible, {best}" if regret >= 0 else above
        yield Tile("Regret", formatting.percent(regret), note)


def _kinds_tiles(run: Run) -> Iterator[Tile]:
    if not run.kinds:
        return
    types = run.identity.types
    true = f"; {formatting.counted(len(set(types)), 'true type')}" if types else ""
    found = "Kinds found" if run.identity.groups == "discovered" else "Kinds"
    yield Tile(found, formatting.kinds_range(run), f"among {run.num_agents} agents{true}")
    mean = formatting.mean_rand_index(run)
    note = "true types are not known" if mean is None else "agreement with true types; 1 is perfect"
    yield Tile("Adjusted Rand index", formatting.index(mean), note)


def _returns(run: Run) -> dict[int, float]:
    """Each seed's final return, or where there is none yet, its latest."""
    if run.result:
        return run.result.returns
    return {seed: point.return_greedy for seed, point in run.latest.items()}


def _curves(run: Run) -> list[figures.Picture]:
    if not run.points:
        return []
    return [p for p in (figures.learning_curve(run), figures.type_curves(run)) if p]


def _maps(run: Run) -> dict[str, Any]:
    """Pictures and the keys to their colours and shapes."""
    types = run.identity.types
    learnt = {seed: kinds for seed, kinds in run.kinds.items() if kinds.latent is not None}
    shown = sorted(learnt.items())[:MAPS]
    count = max((max(kinds.clusters) + 1 for _, kinds in shown), default=0)
    return {
        "pictures": [figures.latent_map(seed, kinds, types) for seed, kinds in shown],
        "colours": list(enumerate(figures.kind_colours(count))),
        "shapes": figures.type_markers(types, plain=True),
        "left_out": len(learnt) - len(shown),
        "by_construction": formatting.by_construction(run),
    }


def _masks(run: Run) -> dict[str, Any]:
    """Pictures of the first seed, and every layer's shares."""
    if not run.shared:
        return {"pictures": [], "layers": [], "seed": None, "sets": 0}
    seed, shared = min(run.shared.items())
    pictures = []
    if not shared.everything:
        kinds = run.kinds.get(seed)
        pictures = [figures.mask_picture(layer, shared, kinds) for layer in shared.masks]
    sets = len(set(shared.group))
    return {"pictures": pictures, "layers": _layer_rows(run), "seed": seed, "sets": sets}


def _layer_rows(run: Run) -> list[tuple[str, list[str]]]:
    """Layer, keep ratio, overlap and dead share, each a mean over seeds."""
    rows = []
    for layers in zip(*(shared.layers for shared in run.shared.values()), strict=True):
        overlaps = [layer.overlap for layer in layers if layer.overlap is not None]
        keep, dead = (np.mean([getattr(one, name) for one in layers]) for name in ("keep", "dead"))
        overlap = float(np.mean(overlaps)) if overlaps else None
        cells = [formatting.percent(value) for value in (float(keep), overlap, float(dead))]
        rows.append((layers[0].name.capitalize(), cells))
    return rows


def _sizes(run: Run) -> figures.Picture | None:
    if run.result is None:
        return None
    return figures.parameter_bars(run.result, "this run")


def _seed_rows(run: Run) -> Iterator[tuple[str, ...]]:
    returns = _returns(run)
    regrets = run.result.regrets if run.result else {}
    for seed in run.seeds:
        kinds = run.kinds.get(seed)
        found = (formatting.NONE,) * 3
        if kinds:
            indices = formatting.index(kinds.rand_index), formatting.index(kinds.silhouette)
            found = (str(kinds.num_kinds), *indices)
        value, regret = (
            formatting.number(returns.get(seed)),
            formatting.percent(regrets.get(seed), 2),
        )
        warned = ", ".join(map(short_form, run.warnings.get(seed, []))) or formatting.NONE
        yield (str(seed), *found, value, regret, warned)


def _each_agent(run: Run) -> list[tuple[str, str]]:
    """Agents and their returns at the end, mean over seeds, where the team is small enough."""
    file = run.result
    if file is None or not file.return_per_agent or (run.num_agents or 0) not in range(2, LISTED):
        return []
    names = run.identity.agent_names or [f"agent {i}" for i in range(run.num_agents or 0)]
    means = []
    for own in zip(*file.return_per_agent, strict=True):
        known = [value for value in own if value is not None]
        means.append(float(np.mean(known)) if known else None)
    return list(zip(names, map(formatting.number, means), strict=True))


def _groups(run: Run) -> dict[str, Any] | None:
    """Which agents each kind of the first seed holds."""
    if not run.kinds:
        return None
    seed, kinds = min(run.kinds.items())
    colours = figures.kind_colours(max(kinds.clusters) + 1)
    types, names, rows = run.identity.types, run.identity.agent_names, []
    for kind in sorted(set(kinds.clusters)):
        agents = [agent for agent, own in enumerate(kinds.clusters) if own == kind]
        mix = formatting.type_mix(types, agents)
        numbers = formatting.ranges(agents)
        rows.append((kind, colours[kind], formatting.who(agents, names), numbers, len(agents), mix))
    return {"seed": seed, "rows": rows, "numbered": names is None or formatting.are_numbered(names)}


def flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names and texts.

    >>> list(flat({"sharing": {"threshold": 0.5}, "hidden": [64, 64], "workers": None}))
    [('sharing.threshold', '0.5'), ('hidden', '64, 64'), ('workers', 'none')]
    """
    for name, value in config.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield f"{prefix}{name}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{name}", "none" if value is None else str(value)


def _command(run: Run) -> list[str]:
    """The command line with the settings that matter most, in parts that belong together."""
    settings = run.settings
    options = {
        "sharing": settings.sharing.name,
        "algo": settings.algo.name,
        "steps": settings.steps,
        "seeds": len(settings.seeds),
        "seed": settings.seed,
    }
    for name, value in (("task-seed", settings.task_seed), ("max-steps", settings.max_steps)):
        if value:
            options[name] = value
    given = [f"--{name} {shlex.quote(str(value))}" for name, value in options.items()]
    if settings.agent_types:
        given.append(f"--agent-types {' '.join(map(str, settings.agent_types))}")
    return ["adaps train", shlex.quote(settings.env), *given]
