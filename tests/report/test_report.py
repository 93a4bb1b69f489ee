"""The page of a run: made from files written by hand, whole, partial, damaged and hostile."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from pages import HOSTILE, text_of

from adaps.errors import UserError
from adaps.report import write_report
from adaps.report.data import Kinds, Shared, read_run
from adaps.report.figures import (
    distinct_masks,
    kind_colours,
    latent_map,
    parameter_bars,
    principal_axes,
)
from adaps.report.formatting import compared, interval, summary

AGENTS, WIDTHS = 6, (8, 4)
CLUSTERS = [0, 0, 0, 1, 1, 1]
BARE = {"identity": None, "sharing": None}
"""Files to leave out where a test is about others, to save their figures."""


def config(**changes):
    data = {
        "env": "toy",
        "sharing": {"name": "adaps", "clusters": None, "threshold": 0.5},
        "algo": {"name": "a2c", "learning_rate": 1e-3},
        "steps": 1000,
        "seeds": 2,
        "seed": 0,
        "hidden": list(WIDTHS),
    }
    versions = {"python": "3.11", "device": "cpu"}
    return {"schema": 1, "config": {**data, **changes}, "versions": versions}


def identity(seeds=(0, 1), **changes):
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0, 0], [5, 5, 0]])
    latent = [centres[CLUSTERS] + 0.1 * rng.normal(size=(AGENTS, 3)) for _ in seeds]
    data = {
        "schema": 1,
        "seeds": list(seeds),
        "clusters": [CLUSTERS for _ in seeds],
        "num_clusters": [2 for _ in seeds],
        "adjusted_rand_index": [1.0 for _ in seeds],
        "agent_types": CLUSTERS,
        "silhouette": [{"2": 0.9, "3": 0.4} for _ in seeds],
        "latent": [codes.tolist() for codes in latent],
    }
    return {**data, **changes}


def sharing(seeds=(0, 1), masked=True, groups=1):
    masks = [["0" * (w // 2) + "1" * (w // 2), "01" * (w // 2)] for w in WIDTHS]
    layers = [[mask[c] if masked else "1" * len(mask[0]) for c in CLUSTERS] for mask in masks]
    shares = {"keep": 0.5, "overlap": 0.25, "dead": 0.25}
    if not masked:
        shares = {"keep": 1.0, "overlap": None, "dead": 0.0}
    return {
        "schema": 1,
        "seeds": list(seeds),
        "group": [[agent % groups for agent in range(AGENTS)] for _ in seeds],
        "masks": [{"actor": layers, "critic": layers} for _ in seeds],
        "summary": [{"actor": [shares] * 2, "critic": [shares] * 2} for _ in seeds],
    }


def result(seeds=(0, 1), **changes):
    data = {
        "schema": 1,
        "seeds": list(seeds),
        "parameters": 100,
        "parameters_fups": 100,
        "parameters_nops": 600,
        "return_per_seed": [-103.0 - seed for seed in seeds],
        "regret_per_seed": [0.03 + 0.01 * seed for seed in seeds],
        "best_return_mean": -100.0,
        "episodes": 50,
        "env_steps_per_second": 12345.6,
        "wall_seconds": 61.0,
    }
    return {**data, **changes}


def metrics(seeds=(0, 1), points=3, per_type=(-50.0, -53.0)):
    lines = []
    for step in range(1, points + 1):
        for seed in seeds:
            value = -100.0 - 300 / step - seed
            line = {"seed": seed, "env_steps": 100 * step, "return_greedy": value}
            line["return_sampled"] = value - 5
            line["returns_per_type"] = None if per_type is None else list(per_type)
            lines.append(json.dumps(line))
    return "".join(f"{line}\n" for line in lines)


def write(folder: Path, **files) -> Path:
    """A whole run's folder with some files given, or None to leave one out."""
    folder.mkdir(exist_ok=True)
    whole = {
        "config": config(),
        "identity": identity(),
        "sharing": sharing(),
        "result": result(),
        "metrics": metrics(),
    }
    for name, data in {**whole, **files}.items():
        text = data if isinstance(data, str) else json.dumps(data)
        if data is not None:
            suffix = "jsonl" if name == "metrics" else "json"
            (folder / f"{name}.{suffix}").write_text(text)
    return folder


def page(folder: Path, **files) -> str:
    return write_report(write(folder, **files)).read_text()


def sentence(folder: Path, **files) -> str:
    return summary(read_run(write(folder, **files)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> str:
    return page(tmp_path_factory.mktemp("whole"))


def test_a_whole_run_in_one_sentence(whole):
    text = text_of(whole)
    assert (
        "Found 2 kinds among 6 agents in every seed (adjusted Rand index 1.00); greedy return "
        "−103.5, 3.5 % from the best possible; 100 trainable parameters, the same as full sharing "
        "and 6 times fewer than one network per agent." in text
    )
    assert "not finished" not in text
    for part in ("± 6.4 (95 % interval over 2 seeds)", "12,346", "1 min 1 s", "sharing.threshold"):
        assert part in text
    assert "adaps train toy --sharing adaps --algo a2c --steps 1000 --seeds 2 --seed 0" in text


def test_warnings_about_masks_are_shown(tmp_path):
    """In runs of earlier versions, whose result says nothing of warnings."""
    data = {**sharing(), "warnings": [[f"agent 1 {HOSTILE}"], []]}
    html = page(tmp_path / "run", sharing=data, identity=None)
    assert html.count('class="caution"') == 1
    assert "<script" not in html
    assert "seed 0: agent 1" in text_of(html)


def test_warnings_stand_by_the_numbers(tmp_path):
    skipped, equal = "updates skipped: 3 of 10", f"nearly equal masks: {HOSTILE}"
    told = result(warnings=[[skipped, equal], [skipped]])
    html = page(
        tmp_path / "run", result=told, sharing={**sharing(), "warnings": [["masks of old"], []]}
    )
    text = text_of(html)
    assert html.count('class="caution"') == 2
    assert "Warning, seeds 0, 1: updates skipped: 3 of 10. Warning, seed 0: nearly equal" in text
    assert text.index("Warning, seeds 0, 1") < text.index("Learning")
    rows = re.findall(r"<td>(updates skipped[^<]*)</td>", html)
    assert rows == ["updates skipped, nearly equal masks", "updates skipped"]
    assert "masks of old" not in text
    assert "<script" not in html
    with pytest.raises(UserError, match="warnings must be a list of 2"):
        page(tmp_path / "wrong", result=result(warnings=[[]]))


def test_what_a_sum_hides_and_what_was_not_measured_is_shown(tmp_path):
    own = [[30.0, -20.0, 0.0, 1.0, 2.0, None], [10.0, -30.0, 0.0, 1.0, 2.0, None]]
    told = result(return_per_agent=own, env_steps_per_second=0.0, regret_per_seed=[-0.1, -0.3])
    text = text_of(page(tmp_path / "run", result=told))
    assert "agent 0 20.00 agent 1 −25.00 agent 2 0 agent 3 1.00 agent 4 2.00 agent 5 –" in text
    assert "Training speed –" in text
    assert "Regret −20.0 % negative: above −100.0, which was taken for the best" in text
    assert "Each agent's return" not in text_of(page(tmp_path / "old"))


def test_the_page_loads_nothing(whole):
    links = re.findall(r'<a href="([^"]*)"', whole)
    assert links == ["https://arxiv.org/abs/2312.09009"]
    assert len(re.findall(r"https?:", whole)) == len(links)
    assert set(re.findall(r'\b(?:src|href|srcset|data|action)="(.)', whole)) <= {"#", "h"}
    assert not re.search(r"<(script|link|iframe|object|img|base)|@import|@font-face", whole)


def test_ids_are_unique_and_references_lead_somewhere(whole):
    ids = re.findall(r'\bid="([^"]+)"', whole)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', whole)) <= set(ids)
    # two curves, a map for each of two seeds, two layers of actor and critic, the bars
    assert whole.count("<svg") == whole.count('role="img"') == whole.count("<figcaption>") == 9
    assert 'aria-label=""' not in whole


def test_the_same_files_give_the_same_page(tmp_path):
    folder = write(tmp_path / "run")
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first
    assert not list(folder.glob(".*"))


def test_figures_do_not_depend_on_or_change_global_settings(tmp_path):
    earned = read_run(write(tmp_path / "run")).result
    assert earned is not None
    plain = parameter_bars(earned, "this run")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        assert parameter_bars(earned, "this run") == plain
        assert matplotlib.rcParams["font.size"] == 30


def test_threads_may_write_reports_side_by_side(tmp_path):
    folders = [write(tmp_path / f"run{i}", identity=None) for i in range(2)]
    with ThreadPoolExecutor() as pool:
        pages = [path.read_text() for path in pool.map(write_report, folders)]
    assert len({html.replace(str(f), "") for html, f in zip(pages, folders, strict=True)}) == 1


def test_texts_from_files_are_escaped(tmp_path):
    types = [HOSTILE] * 3 + ["b"] * 3
    hostile = config(
        env=HOSTILE,
        sharing={"name": HOSTILE, HOSTILE: HOSTILE},
        algo={"name": HOSTILE, "a": [HOSTILE]},
        note="\ud800",
    )
    hostile["versions"] = {HOSTILE: HOSTILE}
    html = page(tmp_path / "a&b", config=hostile, identity=identity(agent_types=types))
    assert "<script" not in html
    assert html.count("&lt;script&gt;") > 8
    assert "a&amp;b" in html


def test_without_identity(tmp_path):
    nothing = [None, None]
    columns = ("clusters", "num_clusters", "adjusted_rand_index", "silhouette", "latent")
    html = page(
        tmp_path / "run",
        config=config(sharing={"name": "fups"}),
        identity=identity(**dict.fromkeys(columns, nothing)),
        sharing=sharing(masked=False),
    )
    text = text_of(html)
    assert "toy · FuPS" in text
    assert "All 6 agents share one network; greedy return" in text
    assert "all agents share every neuron" in text
    assert "Seed Kinds Rand index" in text  # the column, with nothing in it
    assert html.count("<svg") == 3


def test_separate_networks(tmp_path):
    alone = sharing(masked=False, groups=AGENTS)
    text = text_of(page(tmp_path / "a", identity=None, metrics="", sharing=alone))
    assert "Each of 6 agents has a network of its own" in text
    assert "the agents use 6 separate networks" in text
    paired = sharing(masked=False, groups=2)
    assert "6 agents share 2 networks" in text_of(
        page(tmp_path / "b", identity=None, sharing=paired)
    )


def test_seeds_that_differ(tmp_path):
    three = [0, 0, 1, 1, 2, 2]
    found = identity(clusters=[CLUSTERS, three], adjusted_rand_index=[1.0, 0.5])
    text = sentence(tmp_path / "run", identity=found)
    assert text.startswith(
        "Found 2 to 3 kinds among 6 agents, differing between seeds (mean adjusted Rand index 0.75)"
    )


def test_kinds_that_were_given_or_are_one(tmp_path):
    given = config(sharing={"name": "adaps", "clusters": 2})
    text = sentence(tmp_path / "given", config=given, identity=identity(silhouette=[{}, {}]))
    assert text.startswith("Split 6 agents into 2 kinds, as it was told to (adjusted")
    alike = identity(clusters=[[0] * AGENTS] * 2, adjusted_rand_index=[0.0, 0.0])
    text = sentence(tmp_path / "alike", identity=alike)
    assert text.startswith(
        "Found all 6 agents to be alike in every seed (adjusted Rand index 0.00)"
    )


def test_agents_have_their_names_and_what_sets_them_apart_is_said(tmp_path):
    parts = [{"space": "Box", "agents": [0, 1, 2]}, {"space": "Dict", "agents": [3, 4, 5]}]
    names = ["fox_1", "fox_2", "fox_3", "hen", HOSTILE, "dog"]
    html = page(tmp_path / "a", identity=identity(agent_names=names, parts=parts))
    assert HOSTILE not in html
    text = text_of(html)
    assert f"by construction: fox_1–3 (Box); hen, {HOSTILE}, dog (Dict). Within" in text
    assert "Kind Agents In figures Number" in text
    assert "0 fox_1–3 0–2 3 3 of type 0" in text
    given = identity(agent_names=names, parts=parts, groups="oracle")
    assert "by construction" not in text_of(page(tmp_path / "b", identity=given))


def test_unknown_types_and_no_bound(tmp_path):
    unknown = identity(agent_types=None, adjusted_rand_index=[None, None])
    earned = result(regret_per_seed=[None, None], best_return_mean=None)
    text = text_of(
        page(tmp_path / "run", identity=unknown, result=earned, metrics=metrics(per_type=None))
    )
    assert "Found 2 kinds among 6 agents in every seed; greedy return −103.5; 100" in text
    assert "true types are not known" in text


def test_one_seed(tmp_path):
    text = text_of(
        page(
            tmp_path / "run",
            config=config(seeds=1),
            identity=identity([0]),
            sharing=sharing([0]),
            result=result([0]),
            metrics=metrics([0], points=1),
        )
    )
    assert "Found 2 kinds among 6 agents (adjusted" in text
    assert "±" not in text
    assert "not finished" not in text


def test_a_run_that_only_began(tmp_path):
    files = dict.fromkeys(("identity", "sharing", "result", "metrics"))
    text = text_of(page(tmp_path / "run", **files))
    assert "This run is not finished: 2 of 2 seeds had not begun to train" in text
    assert "There is no evaluation yet." in text


def test_a_run_that_was_interrupted(tmp_path):
    late = [None]
    half = {name: data + late for name, data in identity([0]).items() if isinstance(data, list)}
    half |= {"schema": 1, "seeds": [0, 1], "agent_types": CLUSTERS}
    out = {name: data + late for name, data in sharing([0]).items() if isinstance(data, list)}
    out |= {"schema": 1, "seeds": [0, 1]}
    cut = metrics([0], points=2) + '{"seed": 0, "env_st'
    text = text_of(page(tmp_path / "run", identity=half, sharing=out, result=None, metrics=cut))
    assert (
        "This run is not finished: 1 of 2 seeds had not begun to train; its last evaluation was "
        "after 200 of 1,000 steps" in text
    )
    assert "greedy return −250.0 at the last evaluation, after 200 steps" in text


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ({0: (100, 300), 1: (200, 400)}, "greedy return goes from −2.00 to −3.00 over 300 steps"),
        ({0: (100, 200), 1: (300, 400)}, "the seeds' curves do not overlap yet"),
        ({0: (100,), 1: (200,)}, "the seeds' curves do not overlap yet"),
    ],
)
def test_seeds_that_were_never_evaluated_after_the_same_number_of_steps(steps, says, tmp_path):
    """As after a stop between two evaluations, and a start with other ``--evaluations``."""
    lines = [
        {
            "seed": seed,
            "env_steps": at,
            "return_greedy": -at / 100,
            "return_sampled": -5.0,
            "returns_per_type": [-1.0, -2.0],
        }
        for seed, own in steps.items()
        for at in own
    ]
    written = "".join(f"{json.dumps(line)}\n" for line in lines)
    shown = page(tmp_path / "run", result=None, metrics=written, **BARE)
    assert says in shown.replace("&#39;", "'")


def test_an_empty_learning_curve(tmp_path):
    assert "There is no evaluation yet." in text_of(page(tmp_path / "run", metrics="", **BARE))


@pytest.mark.parametrize(
    ("file", "data", "reason"),
    [
        ("config.json", None, "cannot be read"),
        ("config.json", "{", "damaged"),
        ("config.json", "[]", "damaged"),
        ("config.json", {"schema": 1}, "required field `config`"),
        ("config.json", {**config(), "schema": 2}, "schema 2"),
        ("config.json", config(env=3), "`str`, got `int` - at `$.env`"),
        ("config.json", config(seeds=10**30), "<= 10000 - at `$.seeds`"),
        ("config.json", config(seeds=10_001), "<= 10000 - at `$.seeds`"),
        ("identity.json", "null", "damaged"),
        ("identity.json", "[" * 100_000, "nested too deeply"),
        ("identity.json", identity(latent=[[[1.0]]] * 2), "one row of finite numbers"),
        ("identity.json", identity(clusters=[[0, 0, 0, 1, 1, 10**9]] * 2), "numbered from 0"),
        (
            "identity.json",
            identity(seeds=[0], clusters=[]),
            "clusters must have one entry per seed",
        ),
        ("identity.json", identity(agent_types=[0]), "agent_types must be a list of 6"),
        ("identity.json", identity(agent_names=["a"]), "agent_names must be a list of 6"),
        ("identity.json", identity(agent_names=[1] * AGENTS), "`int` - at `$.agent_names[0]`"),
        ("identity.json", identity(parts=[{"agents": [0, 0]}]), "in one of the parts"),
        (
            "sharing.json",
            {**sharing(), "masks": [{}, {}]},
            "required field `actor` - at `$.masks[0]`",
        ),
        ("sharing.json", {**sharing(), "warnings": [[1], []]}, "`int` - at `$.warnings[0][0]`"),
        ("sharing.json", {**sharing(), "group": [[0], [0]]}, "string of 0 and 1"),
        ("result.json", result(parameters="many"), "`int`, got `str` - at `$.parameters`"),
        ("result.json", result(return_per_seed=[None, None]), "no seed has a return"),
        (
            "result.json",
            result(parameters_fups=10**400),
            f"<= {2**63 - 1} - at `$.parameters_fups`",
        ),
        ("result.json", result(parameters_nops=10**30), f"<= {2**63 - 1} - at `$.parameters_nops`"),
        ("metrics.jsonl", "{}\n", "line 1: Object missing required field `seed`"),
        ("metrics.jsonl", "\nnonsense\n", "line 2"),
        ("metrics.jsonl", "[" * 100_000 + "\n", "line 1: it is nested too deeply"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(tmp_path, file, data, reason):
    folder = write(tmp_path / "run", **{file.split(".")[0]: data})
    with pytest.raises(UserError) as raised:
        write_report(folder)
    message = str(raised.value)
    assert str(folder / file) in message
    assert reason in message
    assert "\n" not in message
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    "name", ["config.json", "identity.json", "sharing.json", "result.json", "metrics.jsonl"]
)
def test_a_pipe_is_not_waited_for(tmp_path, name):
    folder = write(tmp_path / "run")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(UserError, match=rf"{name} cannot be read: it is not a plain file"):
        write_report(folder)


def test_files_that_contradict_each_other(tmp_path):
    other = identity(clusters=[[0, 1]] * 2, latent=[[[1.0], [2.0]]] * 2, agent_types=None)
    with pytest.raises(UserError, match=r"sharing\.json is damaged: the number of agents"):
        page(tmp_path / "run", identity=other)


def test_a_page_that_cannot_be_written(tmp_path):
    folder = write(tmp_path / "run", metrics="", **BARE)
    (folder / "report.html").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*report\.html: Is a directory"):
        write_report(folder)
    assert not list(folder.glob(".*"))


def test_returns_that_are_not_numbers(tmp_path):
    broken = result(return_per_seed=[float("nan"), -1.0], regret_per_seed=[float("nan"), None])
    lines = metrics().replace("-101.0", "NaN").replace("-400.0", "NaN")
    text = text_of(page(tmp_path / "run", result=broken, metrics=lines, **BARE))
    assert "greedy return –;" in text


def test_the_command_line_does_not_wait_for_matplotlib():
    code = "import sys, adaps.report, adaps.report.study_data; print('matplotlib' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


def test_interval_against_a_table():
    # t quantile of 3 degrees of freedom: 3.1824
    mean, reach = interval([1.0, 2.0, 3.0, 4.0])
    assert mean == 2.5
    assert reach == pytest.approx(3.1824 * np.std([1, 2, 3, 4], ddof=1) / 2, rel=1e-4)


def test_principal_axes_hold_what_a_known_cloud_holds():
    codes = np.array([[3.0, 0, 0], [-3, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 0]])
    places, shares = principal_axes(
        codes @ np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    )
    assert shares == pytest.approx((0.9, 0.1))
    np.testing.assert_allclose(np.abs(places), np.abs(codes[:, :2]), atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 3), (4, 1), (2, 2)])
def test_maps_of_few_agents_or_numbers(shape):
    latent = np.zeros(shape) if shape[0] == 1 else np.arange(np.prod(shape)).reshape(shape) * 1.0
    picture = latent_map(0, Kinds([0] * shape[0], latent, None, None), None)
    assert picture.svg.startswith("<svg")


def test_many_kinds_have_different_colours():
    assert len(set(kind_colours(40))) == 40


def test_distinct_masks_list_agents_in_order():
    rows = np.array([[0, 1], [1, 1], [0, 1]], bool)
    assert distinct_masks(Shared([0, 0, 0], {"a": rows}, [])) == [[0, 2], [1]]


def test_more_and_fewer_parameters():
    assert compared(102, 100, "X") == "2.0\xa0% more than X"
    assert compared(90, 100, "X") == "10.0\xa0% fewer than X"
    assert compared(600, 100, "X") == "6 times as many as X"


def test_as_good_as_the_bound_or_better(tmp_path):
    text = sentence(tmp_path / "a", result=result(regret_per_seed=[-0.02, -0.02]))
    assert "2.0\xa0% above what was taken for the best possible" in text
    text = sentence(tmp_path / "b", result=result(regret_per_seed=[0.0, 0.0]))
    assert "greedy return −103.5, the best possible;" in text
