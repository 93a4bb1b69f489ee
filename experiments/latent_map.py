"""The latent space before and after clustering: a figure per environment, and the codes.

    python experiments/latent_map.py bps-1 bps-3 --out docs/results/latent

Small panels: codes after a hundredth, a tenth and all of the learning, at one scale; the large one:
the last of these by kind, with the kinds' centres. Each panel has the main axes of its own codes.
Early codes are those of runs that stop there: the same seed learns the same up to that point.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from provenance import measured

import adaps
from adaps.files.run_folder import IDENTITY, write_json
from adaps.files.schema import IdentityReport
from adaps.identity.encoders import updates_of
from adaps.report.figures import (
    SMALL,
    MapGroup,
    draw_map,
    groups_on_map,
    principal_axes,
    svg_file,
)
from adaps.report.formatting import counted
from adaps.report.identity_data import read_found
from adaps.report.identity_figures import CENTRE, centres_on_map, draw_centres
from adaps.report.palette import INK, kind_colours, type_markers

ENVS = ("bps-1", "bps-3", "rware-2color-tiny-4ag")
MOMENTS = (0.01, 0.1, 1.0)
"""Shares of the encoder's updates."""
SIZE = (7.6, 4.1)
ROOM, ROOM_IN_LARGE = 2.7, 2.4
"""Width of a panel, in distances of its outermost agent from the middle."""
GREY = "#6b7280"


def look(env: str, updates: int, seed: int) -> IdentityReport:
    """What is found after so many updates, as a page about it would read it."""
    identity = adaps.identify(env, adaps.VAE(updates=updates), seed=seed)
    with TemporaryDirectory() as place:
        write_json(Path(place) / IDENTITY, identity.findings)
        return read_found(Path(place))


def draw(figure: Figure, moments: dict[int, IdentityReport]) -> None:
    """Each moment's codes in one colour, and the last ones' kinds."""
    found = list(moments.values())[-1]
    maps = [principal_axes(each.latent) for each in moments.values()]
    reaches = [float(np.abs(places).max()) for places, _ in maps]
    panels = figure.subplot_mosaic([[0, 1, "kinds", "kinds"], [2, "key", "kinds", "kinds"]])
    alike = [MapGroup(list(range(found.num_agents)), INK, "o")]
    titles = [f"{updates:,} updates" for updates in moments]
    for panel, (own, title) in enumerate(zip(maps, titles, strict=True)):
        draw_map(panels[panel], *own, alike, ROOM * max(reaches))
        panels[panel].set_title(title, fontsize=9.5)
    draw_centres(panels["kinds"], centres_on_map(found))
    groups = groups_on_map(found.clusters, found.types)
    draw_map(panels["kinds"], *maps[-1], groups, ROOM_IN_LARGE * reaches[-1])
    panels["kinds"].set_title(f"{titles[-1]}, clustered", fontsize=9.5)
    figure.suptitle(f"{found.env}: {outcome(found)}", fontsize=11)
    draw_key(panels.pop("key"), found)
    for axes in panels.values():
        axes.set_box_aspect(1)
        axes.spines[:].set_visible(True)


def outcome(found: IdentityReport) -> str:
    """How many kinds there are, and how they agree with the true types."""
    kinds = counted(found.num_clusters, "kind")
    known = (
        ""
        if found.adjusted_rand_index is None
        else f", adjusted Rand index {found.adjusted_rand_index:.2f}"
    )
    return kinds + known


def draw_key(axes: Axes, found: IdentityReport) -> None:
    """Kinds in one column, true types in the other."""
    kinds = [
        Line2D([], [], ls="", marker="s", color=colour, label=f"kind {kind}")
        for kind, colour in enumerate(kind_colours(found.num_clusters))
    ]
    types = [
        Line2D([], [], ls="", marker=marker, color=GREY, label=f"true type {name}")
        for name, marker in type_markers(found.types).items()
    ]
    columns = [[*kinds, Line2D([], [], ls="", marker="x", color=CENTRE, label="centre")], types]
    rows = max(map(len, columns))
    nothing = Line2D([], [], ls="", label=" ")
    entries = [e for column in columns for e in (*column, *[nothing] * (rows - len(column)))]
    axes.legend(
        handles=entries,
        loc="center",
        ncols=2,
        fontsize=SMALL,
        handlelength=0.8,
        columnspacing=0.8,
        borderpad=0,
    )
    axes.axis("off")


def as_json(moments: dict[int, IdentityReport]) -> dict:
    """An environment's codes and what was made of them."""
    found = list(moments.values())[-1]
    return {
        "agent_types": found.types,
        "num_clusters": found.num_clusters,
        "adjusted_rand_index": found.adjusted_rand_index,
        "clusters": found.clusters,
        "centres": found.centres.round(3).tolist(),
        "codes_by_updates": {n: each.latent.round(3).tolist() for n, each in moments.items()},
    }


def main(
    envs: tyro.conf.Positional[tuple[str, ...]] = ENVS,
    out: Path = Path("docs/results/latent"),
    seed: int = 0,
) -> None:
    """Find out who is alike in each environment, draw it and write it down."""
    out.mkdir(parents=True, exist_ok=True)
    budget = "adaps identify at its defaults"
    table: dict[str, Any] = {**measured([seed], budget), "envs": {}}
    for env in envs:
        updates = updates_of(adaps.VAE(), adaps.make(env).num_agents)
        moments = {n: look(env, n, seed) for n in (round(share * updates) for share in MOMENTS)}
        name = env.replace("/", "-").replace(":", "-")
        (out / f"{name}.svg").write_text(svg_file(name, SIZE, lambda f, m=moments: draw(f, m)))
        table["envs"][env] = as_json(moments)
        write_json(out / "codes.json", table)
        print(env, [each.adjusted_rand_index for each in moments.values()], flush=True)


if __name__ == "__main__":
    tyro.cli(main)
