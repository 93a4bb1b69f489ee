"""The page of who is alike: made from files written by hand, whole, sparse, damaged, hostile."""

import json
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from pages import HOSTILE, text_of
from scipy.cluster import hierarchy

from adaps.errors import UserError
from adaps.report import write_identity_page
from adaps.report.figures import principal_axes
from adaps.report.formatting import name_ranges
from adaps.report.identity_data import read_found
from adaps.report.identity_words import confidence, stand_ins

SAME = {"reward": None, "dynamics": None, "observation": []}
"""Of a pair of kinds about which nothing is known."""
CRITERIA = ("silhouette", "davies-bouldin", "bic", "gap", "stability")


def identity(num_agents=15, num_kinds=3, **changes):
    """What ``adaps identify`` would write of agents in kinds of equal sizes."""
    rng = np.random.default_rng(0)
    clusters = sorted(agent % num_kinds for agent in range(num_agents))
    centres = rng.normal(size=(num_kinds, 10)) * 3
    latent = centres[clusters] + 0.2 * rng.normal(size=(num_agents, 10))
    centres = np.stack([latent[np.equal(clusters, k)].mean(axis=0) for k in range(num_kinds)])
    small = num_agents <= 200
    counts = range(1, min(num_agents, num_kinds + 4) + 1)
    sizes = ", ".join(str(clusters.count(kind)) for kind in range(num_kinds))
    data = {
        "schema": 1,
        "env": "bps-1",
        "num_agents": num_agents,
        "agent_names": [f"agent_{agent}" for agent in range(num_agents)],
        "clusters": clusters,
        "num_clusters": num_kinds,
        "adjusted_rand_index": 1.0,
        "agent_types": clusters,
        "encoder": "vae",
        "clusterer": "kmeans",
        "criterion": "prediction",
        "seed": 0,
        "gathered": {
            "env_steps": 12800,
            "rows_per_agent": 12800,
            "rare_reward_share": None,
            "rare_rewards": None,
        },
        "latent": latent.tolist(),
        "centres": centres.tolist(),
        "advice": {
            "verdict": "share by kind",
            "sentence": f"Share by kind: {num_kinds} kinds of {sizes} agents.",
            "reasons": ["Kinds differ in what they are rewarded for.", "The number is sure."],
            "parameters": {"fups": 10118, "adaps": 10118, "seps": 30354, "nops": 151770},
        },
        "confidence": {
            "num_clusters": {str(num_kinds): 0.98, str(min(num_kinds + 1, num_agents)): 0.02}
            if num_kinds < num_agents
            else {str(num_kinds): 1.0},
            "agreement": 1.0,
            "coassignment": together(clusters, rng) if small else None,
        },
        "criteria": {
            "prediction": {str(k): excess(k, num_kinds) for k in counts},
            **{name: {str(k): 1 / k for k in counts[1:]} for name in CRITERIA},
        },
        "choices": {"prediction": num_kinds, **dict.fromkeys(CRITERIA, num_kinds)},
        "prediction": {
            "reward": {str(k): [excess(k, num_kinds), 0.002 + 0.04 / k] for k in counts},
            "dynamics": {str(k): [0.001 / k, 0.0004] for k in counts},
        },
        "tree": tree(latent) if small else None,
        "pairs": [
            {
                "clusters": [a, b],
                "reward": 1.2 / (1 + a),
                "dynamics": 0.01 * b,
                "observation": [["landmark 0 x", 0.04], ["velocity x", 0.001 * b]],
            }
            for a, b in combinations(range(num_kinds), 2)
        ],
        "replace": [[abs(a - b) * 0.4 for b in range(num_kinds)] for a in range(num_kinds)],
        "seconds": 12.3,
    }
    return {**data, **changes}


def excess(count, num_kinds):
    """Error of so many kinds: high while there are too few, then flat."""
    return 1.2 * (num_kinds - count) / num_kinds if count < num_kinds else -0.0004 * count


def together(clusters, rng):
    same = np.equal.outer(clusters, clusters)
    noise = np.triu(0.05 * rng.random(same.shape), 1)
    return np.where(same, 1 - noise - noise.T, noise + noise.T).tolist()


def tree(latent):
    return hierarchy.ward(latent).tolist() if len(latent) > 1 else []


def inside(name, **changes):
    """One of the file's objects with some entries changed."""
    return {name: {**identity()[name], **changes}}


def write(folder: Path, data) -> Path:
    folder.mkdir(exist_ok=True)
    text = data if isinstance(data, str) else json.dumps(data)
    (folder / "identity.json").write_text(text)
    return folder


def page(folder: Path, data) -> str:
    path = write_identity_page(write(folder, data))
    assert path == folder / "identity.html"
    return path.read_text()


def read(folder: Path, **changes):
    return read_found(write(folder, identity(**changes)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> str:
    return page(tmp_path_factory.mktemp("whole"), identity())


def test_the_page_answers_from_top_to_bottom(whole):
    text = text_of(whole)
    told = (
        "bps-1 · 15 agents Share by kind Share by kind: 3 kinds of 5, 5, 5 agents.",
        "Kinds differ in what they are rewarded for. The number is sure.",
        "98 % of resamples find 3 kinds, 2 % find 4; both halves of the data agree.",
        "agreement with true types; 1 is perfect",
        "Who belongs where Kind Agents How many True types 0 agent_0–4 5 5 of type 0 1 agent_5–9",
        "Who is alike",
        "Crosses are the centres of kinds.",
        "How sure this is",
        "share of resamples in which two agents are of one kind",
        "How many kinds there are",
        "The same, close to 0",
        "Prediction 3 −0.0012 used Silhouette 3 0.333",
        "What tells them apart",
        "Kinds 1 and 2 differ in reward. reward 0.600 dynamics 0.020 landmark 0 x 0.040",
        "No kind could stand in for another: the nearest is kind 1 for kind 0, where the error "
        "grows by 0.400.",
        "What each choice costs",
        "How it was found encoder vae clusterer kmeans criterion prediction environment steps "
        "12,800 rows per agent 12,800 seed 0 time 12.3 s",
    )
    assert [part for part in told if part not in text] == []
    places = [text.find(part) for part in told]
    assert places == sorted(places)
    assert "In figures" not in text


def test_the_page_loads_nothing(whole):
    links = re.findall(r'<a href="([^"]*)"', whole)
    assert links == ["https://arxiv.org/abs/2312.09009"]
    assert len(re.findall(r"https?:", whole)) == len(links)
    addresses = re.findall(r'\b(?:src|href|srcset|data|action)="([^"]*)', whole)
    assert all(a.startswith(("#", "data:image/png;base64,")) or a in links for a in addresses)
    assert not re.search(r"<(script|link|iframe|object|img|base)|@import|@font-face", whole)


def test_ids_are_unique_and_references_lead_somewhere(whole):
    ids = re.findall(r'\bid="([^"]+)"', whole)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', whole)) <= set(ids)
    # map, tree and cells, errors and their close-up, who stands in for whom, sizes
    assert whole.count("<svg") == whole.count('role="img"') == whole.count("<figcaption>") == 6
    assert 'aria-label=""' not in whole


def test_the_same_file_gives_the_same_page(tmp_path):
    folder = write(tmp_path / "one", identity(4, 2))
    first = write_identity_page(folder).read_bytes()
    assert write_identity_page(folder).read_bytes() == first
    assert not list(folder.glob(".*"))


def test_points_on_the_map_tell_their_agents_names(tmp_path):
    clusters, types = [1, 0, 1, 0], ["a", "b", "b", "a"]
    names = ["north", "east", "south", "west"]
    html = page(
        tmp_path / "map", identity(4, 2, clusters=clusters, agent_types=types, agent_names=names)
    )
    points = re.findall(r'<use [^>]*\bx="([\d.]+)"[^>]*><title>(.*?)</title>', html)
    across = {title: float(x) for x, title in points}
    assert across.keys() == {
        "north, kind 1, true type a",
        "east, kind 0, true type b",
        "south, kind 1, true type b",
        "west, kind 0, true type a",
    }
    # Each point has its own agent's title: they lie along the first axis as their codes do.
    places, _ = principal_axes(read_found(tmp_path / "map").latent)
    along = sorted(across, key=across.__getitem__)
    assert [title.split(",")[0] for title in along] == [names[i] for i in np.argsort(places[:, 0])]
    # Names that do not end in their agent's number have that number beside them.
    assert "Kind Agents In figures How many True types 0 east, west 1, 3 2" in text_of(html)


def test_texts_from_the_file_are_escaped(tmp_path):
    data = identity(
        4,
        2,
        env=HOSTILE,
        agent_names=[HOSTILE] * 3 + ["\ud800"],
        agent_types=[HOSTILE, "b", "b", "b"],
        encoder=HOSTILE,
        clusterer=HOSTILE,
        criterion=HOSTILE,
        criteria={HOSTILE: {"2": 1.0}},
        choices={HOSTILE: 2},
        pairs=[{"clusters": [0, 1], "reward": 0, "dynamics": 1, "observation": [[HOSTILE, 1.0]]}],
    )
    data["advice"] |= {"sentence": HOSTILE, "reasons": [HOSTILE]}
    html = page(tmp_path / "a", data)
    assert "<script" not in html
    assert html.count("<title>&lt;script&gt;") == 4  # the page's own and three agents'
    assert html.count("&lt;script&gt;") > 12


def test_one_agent(tmp_path):
    data = identity(1, 1, choices={}, criteria={}, prediction={"reward": {}, "dynamics": {}})
    text = text_of(page(tmp_path / "one", data))
    assert "There is one agent, so nobody to be grouped with." in text
    assert "there are no pairs of kinds to compare" in text
    assert "The prediction error by number of kinds was not computed." in text
    assert "There is no more than one code." in text
    assert "would choose" not in text


def test_agents_that_cannot_be_compared_are_not_said_to_lie_apart(tmp_path):
    advice = {"verdict": "nothing to compare", "sentence": "Nothing to compare: so it is."}
    data = identity(2, 2, parts=[], pairs=None, replace=None)
    data["advice"] |= advice
    data["confidence"] |= {"num_clusters": {}, "agreement": None}
    text = text_of(page(tmp_path / "a", {**data, "parts": [{"agents": [0]}, {"agents": [1]}]}))
    assert "How far agents that cannot be compared lie apart says nothing." in text
    assert "Nothing to compare: so it is." in text
    assert "of resamples find" not in text


def test_one_kind(tmp_path):
    text = text_of(page(tmp_path / "alike", identity(5, 1)))
    assert "There is one kind, so there are no pairs of kinds to compare." in text
    assert "Who could stand in" not in text
    assert "agent_0–4" in text


def test_every_agent_a_kind_of_its_own(tmp_path):
    text = text_of(page(tmp_path / "alone", identity(4, 4)))
    assert "Every agent is of a kind of its own." in text
    assert "Crosses" not in text
    assert "100 % of resamples find 4 kinds; both" in text


def test_a_thousand_agents(tmp_path):
    names = [f"unit_{7 * agent % 1000}" for agent in range(1000)]
    html = page(tmp_path / "many", identity(1000, 32, agent_names=names))
    text = text_of(html)
    assert "Who is grouped with whom is not drawn for more than 200 agents." in text
    assert "Of 496 pairs, these are the 15 closest." in text
    assert html.count('<div class="pair">') == 15
    assert "unit_0, 7, 14, 21, " in text
    assert "and 16 more" in text
    assert html.count("</title></use>") == 1000
    assert len(html) < 1_000_000


def test_more_kinds_than_are_listed(tmp_path):
    text = text_of(page(tmp_path / "many", identity(80, 80, pairs=[], replace=None)))
    assert "16 more kinds in identity.json" in text
    assert "too many for a key" in text
    assert "Pairs of kinds were not compared." in text


def test_what_is_not_known_is_said_or_left_out(tmp_path):
    data = identity(
        4,
        2,
        agent_types=None,
        adjusted_rand_index=None,
        criterion=None,
        seed=None,
        seconds=None,
        gathered=None,
        criteria={"silhouette": {"2": None, "3": 0.5}},
        choices={"silhouette": 2, "gap": None},
        prediction={"reward": {"1": [None, None], "2": [0.1, None]}, "dynamics": None},
        tree=None,
        pairs=[{"clusters": [1, 0], "reward": None, "dynamics": None, "observation": []}],
        replace=[[0.0, None], [0.002, 0.0]],
    )
    data["confidence"] = {"num_clusters": {}, "agreement": None, "coassignment": None}
    data["advice"] |= {"reasons": [], "verdict": "not sure", "parameters": None}
    text = text_of(page(tmp_path / "sparse", data))
    told = (
        "The grouping was not repeated on resampled data; two halves of the data were not compared",
        "true types are not known",
        "Who is grouped with whom was not computed.",
        "Silhouette 2 –",
        "Kinds 1 and 0 hardly differ.",
        "These could stand in, as the error hardly grows: kind 0 for kind 1 (0.002).",
        "The numbers of parameters are not known.",
        "criterion – environment steps – rows per agent – seed – time –",
    )
    assert [part for part in told if part not in text] == []
    assert "Gap statistic" not in text


def test_cells_without_a_tree_and_a_tree_without_cells(tmp_path):
    text = text_of(page(tmp_path / "cells", identity(4, 2, tree=None)))
    assert "Cells: share" in text
    assert "Tree: how" not in text
    data = identity(4, 2)
    data["confidence"]["coassignment"] = None
    text = text_of(page(tmp_path / "tree", data))
    assert "Cells: share" not in text
    assert "Tree: how" in text


def test_rare_rewards_are_told(tmp_path):
    rare = inside("gathered", rare_reward_share=0.0004, rare_rewards=[245, 380, 300])
    text = text_of(page(tmp_path / "rare", identity(3, 1, **rare)))
    assert "rows with a rare reward 0.040 % rare rewards per agent 245 to 380" in text


@pytest.mark.parametrize(
    ("shares", "agreement", "sentence"),
    [
        ({"3": 1.0}, 0.9, "100 % of resamples find 3 kinds; both halves of the data nearly agree"),
        (
            {"3": 0.2, "4": 0.8},
            0.5,
            "Only 20 % of resamples find 3 kinds, most often they find 4 (80 %); the two halves "
            "of the data agree only in part (adjusted Rand index 0.50).",
        ),
        ({"4": 1.0}, -0.1, "Only 0 % of resamples find 3 kinds, most often they find 4 (100 %)"),
        ({"3": 1.0}, 0.0, "the two halves of the data do not agree (adjusted Rand index 0.00)."),
    ],
)
def test_confidence_in_words(tmp_path, shares, agreement, sentence):
    changed = inside("confidence", num_clusters=shares, agreement=agreement)
    found = read_found(write(tmp_path, identity(**changed)))
    assert sentence in confidence(found).replace("\xa0", " ")


def test_many_stand_ins_are_counted(tmp_path):
    found = read_found(write(tmp_path, identity(6, 4, replace=np.zeros((4, 4)).tolist())))
    text = stand_ins(found)
    assert text.startswith("These could stand in, as the error hardly grows: kind 1 for kind 0 (")
    assert text.endswith(", and 6 more.")


@pytest.mark.parametrize(
    ("names", "drawn"),
    [
        (["a01", "a02", "a1"], ["a01, 2", "a1"]),
        (["7", "8", "9"], ["7–9"]),
        (["b", "a\n0", ""], ["b", "a\n0", "''"]),
        (["depot, north", "depot", "north"], ["'depot, north'", "depot", "north"]),
        (["a3", "a", "a4"], ["a3, 4", "a"]),
        (["a" + "9" * 5000], ["a" + "9" * 5000]),
    ],
)
def test_names_drawn_together(names, drawn):
    assert name_ranges(names) == drawn


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("{", "damaged"),
        ("null", "damaged"),
        ("[" * 100_000, "nested too deeply"),
        (identity(schema=2), "schema 2"),
        ({"schema": 1, "seeds": [0]}, "training run"),
        ({"schema": 1, "num_agents": 2}, "missing required field"),
        (identity(env=3), "`str`, got `int` - at `$.env`"),
        ({**identity(), "num_agents": 0}, ">= 1 - at `$.num_agents`"),
        ({**identity(), "num_agents": 14}, "one row of finite numbers per agent"),
        (identity(num_clusters=4), "centres must have 4 rows"),
        (identity(clusters=[0] * 15), "numbered from 0 to 2"),
        (identity(clusters=[0.5] * 15), "`int`, got `float` - at `$.clusters[0]`"),
        (identity(agent_names=["a"]), "agent_names must be a list of 15"),
        (identity(agent_types=[0]), "agent_types must be a list of 15"),
        (identity(latent=[[float("nan")] * 10] * 15), "one row of finite numbers"),
        (identity(centres=[[None] * 10] * 3), "centres must be finite"),
        (
            identity(adjusted_rand_index=float("inf")),
            "`float` <= 1.7976931348623157e+308 - at `$.adjusted_rand_index`",
        ),
        (
            identity(**inside("advice", verdict="maybe")),
            "Invalid enum value 'maybe' - at `$.advice.verdict`",
        ),
        (identity(**inside("advice", reasons=[1])), "`int` - at `$.advice.reasons[0]`"),
        (
            identity(**inside("confidence", num_clusters={"3": 2})),
            "<= 1.000001 - at `$.confidence.num_clusters[...]`",
        ),
        (identity(**inside("confidence", num_clusters={"99": 1.0})), "from 1 to 15"),
        (identity(**inside("confidence", coassignment=[[1.0]])), "coassignment must have 15"),
        (identity(**inside("confidence", coassignment=[[2.0] * 15] * 15)), "from 0 to 1"),
        (identity(**inside("gathered", rare_rewards=[1])), "rare_rewards must be a list of 15"),
        (identity(choices={"gap": 0}), "what 'gap' chooses must be from 1 to 15"),
        (
            identity(criteria={"gap": {"two": 1.0}}),
            "`int`, got `str` - at `key` in `$.criteria[...]`",
        ),
        (
            identity(prediction={"reward": {"1": [1.0]}}),
            "length 2, got 1 - at `$.prediction.reward[...]`",
        ),
        (
            identity(prediction={"reward": {"1": [1.0, -1.0]}}),
            ">= 0.0 - at `$.prediction.reward[...][1]`",
        ),
        (identity(tree=[]), "tree must have 14 rows"),
        (identity(tree=[[0, 1, 1.0, 2]] * 14), "tree"),
        (identity(tree=[[0.5, 1, 1.0, 2]] * 14), "nodes whole ones"),
        (identity(pairs=[{"clusters": [0, 3]}]), "required field `reward` - at `$.pairs[0]`"),
        (identity(pairs=[{**SAME, "clusters": [0, 3]}]), "0 and 3 are no pair of 3 clusters"),
        (identity(replace=[[0.0]]), "replace must have 3 rows of 3"),
        (identity(replace=[[float("inf")] * 3] * 3), "replace must be finite"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(tmp_path, data, reason):
    folder = write(tmp_path / "bad", data)
    with pytest.raises(UserError) as raised:
        write_identity_page(folder)
    message = str(raised.value)
    assert str(folder / "identity.json") in message
    assert reason in message
    assert "\n" not in message
    assert not (folder / "identity.html").exists()


def test_a_missing_file_and_a_page_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match=r"identity\.json cannot be read"):
        write_identity_page(tmp_path)
    folder = write(tmp_path / "full", identity(2, 1))
    (folder / "identity.html").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*identity\.html: Is a directory"):
        write_identity_page(folder)
    assert not list(folder.glob(".*"))
