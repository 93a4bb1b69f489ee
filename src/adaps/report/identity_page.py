"""What was found out about the agents of a team, as its page's template wants it. Stage: report."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from adaps.files.schema.identity_report import Gathered, IdentityReport, Pair
from adaps.report import figures, formatting, identity_figures, identity_words
from adaps.report.page import Tile
from adaps.report.templates import fill

PAIRS = 15
"""Pairs of kinds that are shown; of more, the nearest."""
KINDS = 64
"""Kinds that are listed with their agents, and that have a key to their colours."""
PARTS = 16
"""Ranges of a kind's agents that are shown at once."""


LONG = 90
"""A sentence with more characters is too long for large letters."""


class Members(NamedTuple):
    """A kind and who belongs to it."""

    kind: int
    colour: str
    agents: str
    more: str
    """Further agents, where there are many."""
    num_more: int
    numbers: str
    """What the agents are called in figures."""
    size: int
    mix: str


class Bar(NamedTuple):
    """One bar of a pair of kinds."""

    label: str
    value: str
    width: float
    """In percent of the longest."""
    part: str
    """Which error it is of: reward, dynamics or observation."""


def render(found: IdentityReport) -> str:
    """The whole page."""
    return fill("identity.html.j2", _context(found))


def _context(found: IdentityReport) -> dict[str, Any]:
    advice = found.advice
    return {
        "env": found.env,
        "agents": formatting.counted(found.num_agents, "agent"),
        "kinds": formatting.counted(found.num_clusters, "kind"),
        "num_agents": found.num_agents,
        "num_kinds": found.num_clusters,
        "advice": advice,
        "long": len(advice.sentence) > LONG,
        "confidence": identity_words.confidence(found),
        "tiles": list(_tiles(found)),
        "members": _members(found),
        "alone": found.num_clusters == found.num_agents > 1,
        "left_out": max(0, found.num_clusters - KINDS),
        "numbered": formatting.are_numbered(found.agent_names),
        "typed": found.types is not None,
        "map": identity_figures.code_map(found),
        "colours": list(enumerate(figures.kind_colours(found.num_clusters)))[:KINDS],
        "shapes": figures.type_markers(found.types, plain=True),
        "together": identity_figures.together(found),
        "drawn_agents": identity_figures.DRAWN_AGENTS,
        "errors": identity_figures.error_curves(found),
        "choices": list(_choices(found)),
        "pairs": _pairs(found),
        "stand_in": identity_figures.stand_in(found),
        "stand_ins": identity_words.stand_ins(found),
        "sizes": identity_figures.sizes(found),
        "settings": list(_settings(found)),
    }


def _tiles(found: IdentityReport) -> Iterator[Tile]:
    types = found.types
    true = f"; {formatting.counted(len(set(types)), 'true type')}" if types else ""
    agents = formatting.counted(found.num_agents, "agent")
    yield Tile("Kinds found", f"{found.num_clusters:,}", f"among {agents}{true}")
    shares = found.confidence.shares
    if shares:
        share = formatting.percent(shares.get(found.num_clusters, 0.0), 0)
        yield Tile("Resamples that agree", share, "of the data drawn anew find as many kinds")
    if found.confidence.agreement is not None:
        agreement = formatting.index(found.confidence.agreement)
        yield Tile("Halves agree", agreement, "adjusted Rand index of both halves' groupings")
    note = "agreement with true types; 1 is perfect"
    if found.advice.verdict == "nothing to compare":
        note = "agreement with true types, by construction alone"
    if found.adjusted_rand_index is None:
        note = "true types are not known"
    yield Tile("Adjusted Rand index", formatting.index(found.adjusted_rand_index), note)


def _members(found: IdentityReport) -> list[Members]:
    colours = figures.kind_colours(found.num_clusters)
    rows = []
    for kind, agents in enumerate(found.members[:KINDS]):
        names = [found.agent_names[agent] for agent in agents]
        parts = [part for name in formatting.name_ranges(names) for part in name.split(", ")]
        rows.append(
            Members(
                kind,
                colours[kind],
                ", ".join(parts[:PARTS]),
                ", ".join(parts[PARTS:]),
                len(parts) - PARTS,
                formatting.ranges(agents),
                len(agents),
                formatting.type_mix(found.types, agents),
            )
        )
    return rows


def _choices(found: IdentityReport) -> Iterator[dict[str, Any]]:
    """What each criterion would choose, in the order in which they are known."""
    choices, criteria = found.choices or {}, found.criteria or {}
    chosen = {name: count for name, count in choices.items() if count is not None}
    for name in dict.fromkeys((*identity_words.CRITERIA, *chosen, *criteria)):
        if name not in chosen and name not in criteria:
            continue
        count = chosen.get(name)
        value = None if count is None else (criteria.get(name) or {}).get(count)
        yield {
            "name": identity_words.CRITERIA.get(name, name),
            "used": name == found.criterion,
            "count": formatting.NONE if count is None else f"{count:,}",
            "value": formatting.number(value),
        }


def _pairs(found: IdentityReport) -> dict[str, Any]:
    """The nearest pairs of kinds and what tells them apart, with all bars on one scale."""
    colours, pairs = figures.kind_colours(found.num_clusters), found.pairs or []
    shown = sorted(pairs, key=lambda pair: pair.distance)[:PAIRS]
    parts = [list(_parts(pair)) for pair in shown]
    longest = max((value for bars in parts for *_, value in bars), default=0.0)
    rows = []
    for pair, bars in zip(shown, parts, strict=True):
        drawn = [
            Bar(label, identity_words.error_growth(value), round(_share(value, longest), 2), part)
            for part, label, value in bars
        ]
        sentence = identity_words.difference(pair)
        both = [colours[kind] for kind in pair.clusters]
        rows.append({"sentence": sentence, "colours": both, "bars": drawn})
    return {"rows": rows, "left_out": len(pairs) - len(shown), "count": len(pairs)}


def _parts(pair: Pair) -> Iterator[tuple[str, str, float]]:
    """Part, label and value of each bar."""
    for part, value in (("reward", pair.reward), ("dynamics", pair.dynamics)):
        if value is not None:
            yield part, part, value
    for name, value in pair.observation:
        if value is not None:
            yield "observation", name, value


def _share(value: float, longest: float) -> float:
    return 100 * max(0.0, value) / longest if longest > 0 else 0.0


def _settings(found: IdentityReport) -> Iterator[tuple[str, str]]:
    """How it was found, as names and texts."""
    yield "encoder", found.encoder
    yield "clusterer", found.clusterer
    yield "criterion", found.criterion or formatting.NONE
    gathered = found.gathered or Gathered()
    steps = {"environment steps": gathered.env_steps, "rows per agent": gathered.rows_per_agent}
    for name, count in steps.items():
        yield name, formatting.NONE if count is None else f"{count:,}"
    if gathered.rare_reward_share is not None:
        yield "rows with a rare reward", formatting.percent(gathered.rare_reward_share, 3)
    if gathered.rare_rewards is not None:
        fewest, most = min(gathered.rare_rewards), max(gathered.rare_rewards)
        few = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
        yield "rare rewards per agent", few
    yield "seed", formatting.NONE if found.seed is None else str(found.seed)
    yield "time", formatting.NONE if found.seconds is None else formatting.duration(found.seconds)
