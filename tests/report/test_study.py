"""The page of a study: made from made-up runs, whole, partial, damaged and hostile."""

import csv
import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pages import HOSTILE, text_of
from scipy import stats
from studies import (
    RANDOM,
    config,
    metrics,
    plan_of,
    result,
    steady,
    swept,
    variants_of,
    write_study_folder,
)

from adaps.errors import UserError
from adaps.report import write_study
from adaps.report.study_data import read_study
from adaps.report.study_figures import figure_labels, log_ticks, looks_of, slugs
from adaps.report.study_files import curves_csv, marl_eval_json, scores_csv
from adaps.report.study_statistics import numbers_of, sweep_of
from adaps.report.study_words import answer, by_environment

FIRST = "runs/0/0/seed-0"


class Tables(HTMLParser):
    """Cells of a page's tables: ``tables[table][row][column]``."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._inside = False
        self.feed(re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL))

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._inside = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._inside = False
            self.tables[-1][-1][-1] = self.tables[-1][-1][-1].strip()

    def handle_data(self, data):
        if self._inside:
            self.tables[-1][-1][-1] += data


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def left_out(folder: Path) -> list[str]:
    return [one.reason for one in read_study(folder).left_out]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "study"
    plan = plan_of(["bps-1", "rware-tiny"], variants_of("adaps", "fups", "nops"))
    write_study_folder(folder, plan, snd=lambda i: 0.1 * i)
    write_study(folder)
    return folder


def test_numbers_in_the_tables_are_those_computed_by_hand(whole):
    head, *rows = Tables((whole / "report.html").read_text()).tables[0]
    adaps, fups, _ = (dict(zip(head, row, strict=True)) for row in rows)
    # Returns −150, −160, −170; of three runs, no quarter is cut off.
    assert adaps["Variant"] == "AdaPS"
    assert adaps["Final greedy return"].startswith("−160.0 [")
    # (return − random) / (best − random) = (−160 + 1000) / 900
    assert adaps["Score"].startswith("0.933 [")
    assert adaps["Regret"] == "60.0\xa0%"
    # From −1000 at 0 steps to −160 at 1,000,000 in a straight line: the middle.
    assert adaps["Area under curve"].startswith("−580.0 [")
    # The target is −190. The middle run goes from −328 to −160 in its last 200,000 steps, 10 s.
    assert adaps["Steps to target"] == "964,286"
    assert adaps["Time to target"] == "49\xa0s"
    assert adaps["Parameters"] == "10,000"
    assert adaps["Rand index"] == "0.90"
    assert adaps["Steps per second"] == "1,234"
    assert fups["Steps to target"] == fups["Time to target"] == "–"
    assert fups["Runs"] == "3"


def test_the_answer_names_the_leader(whole):
    study = read_study(whole)
    numbers = numbers_of(study)
    text = answer(study, numbers)
    assert text.startswith("Over all 2 environments, AdaPS leads with a score of 0.933 [")
    assert text.endswith("; 18 of 18 runs are finished.")
    env, found = next(by_environment(study, numbers))
    assert env == "bps-1"
    assert found.startswith("AdaPS leads with a return of −160.0 [")
    assert text in text_of((whole / "report.html").read_text())
    assert "Nothing: every run of the plan is finished." in text_of(
        (whole / "report.html").read_text()
    )


def test_no_winner_where_intervals_overlap(tmp_path):
    def alike(env, variant, seed):
        return -200.0 - 50 * ((seed + (variant == "adaps")) % 3)

    study = read_study(write_study_folder(tmp_path / "study", final=alike))
    text = answer(study, numbers_of(study))
    assert text.startswith("In bps-1, no winner can be named, since 95\xa0% intervals overlap: ")
    assert text.endswith("; 6 of 6 runs are finished.")


def test_single_runs_have_no_intervals_and_name_no_winner(tmp_path):
    folder = write_study_folder(tmp_path / "study", plan_of(seeds=[7]))
    html = write_study(folder).read_text()
    assert "no winner can be named from fewer than 3 runs" in text_of(html)
    assert Tables(html).tables[0][1][2] == "−220.0"


def test_one_variant_has_nobody_to_be_compared_with(tmp_path):
    plan = plan_of(variants=variants_of("adaps"))
    text = text_of(write_study(write_study_folder(tmp_path / "study", plan)).read_text())
    assert "Of AdaPS alone there are finished runs: nothing to compare it with; 3 of 3" in text


def test_files_for_other_programs(whole):
    scores = rows_of(whole / "scores.csv")
    assert len(scores) == 18
    assert scores[0]["variant"] == "adaps"
    assert float(scores[1]["return"]) == -160.0
    assert float(scores[1]["score"]) == pytest.approx(840 / 900)
    assert scores[3]["env_steps_to_target"] == ""
    curves = rows_of(whole / "curves.csv")
    assert len(curves) == 18 * 5
    assert float(curves[4]["return_greedy"]) == -150.0
    assert float(curves[4]["snd"]) == 0.5
    data = json.loads((whole / "statistics.json").read_text())
    low, value, high = data["envs"]["bps-1"]["adaps"]["return"]
    assert low <= value == stats.trim_mean([-150, -160, -170], 0.25) <= high
    assert data["overall"]["probability_of_improvement"]["adaps"]["fups"][1] == 1.0
    assert data["overall"]["probability_of_improvement"]["fups"]["adaps"][1] == 0.0
    assert sorted(data["figures"]) == sorted(f"figures/{p.name}" for p in whole.glob("figures/*"))


def test_marl_eval_has_one_length_and_the_absolute_metrics_last(whole):
    data = json.loads((whole / "marl_eval.json").read_text())
    assert set(data) == {"bps", "rware"}
    runs = data["bps"]["bps-1"]["adaps"]
    assert list(runs) == ["seed_0", "seed_1", "seed_2"]
    steps = runs["seed_0"]
    assert list(steps) == [*(f"step_{i}" for i in range(5)), "absolute_metrics"]
    assert steps["step_4"] == {"step_count": 1_000_000, "elapsed_time": 50.0, "return": [-150.0]}
    assert steps["absolute_metrics"] == {"return": [-150.0]}


def test_times_that_were_not_noted(tmp_path):
    folder = write_study_folder(tmp_path / "study", seconds=lambda i: None)
    steps = json.loads(marl_eval_json(read_study(folder)))["bps"]["bps-1"]["adaps"]["seed_0"]
    assert "elapsed_time" not in steps["step_0"]
    write_study(folder)
    assert not list(folder.glob("figures/learning-seconds*"))


def test_every_figure_is_in_the_page_and_a_file(whole):
    html = (whole / "report.html").read_text()
    files = sorted(whole.glob("figures/*.svg"))
    kinds = ("learning-steps", "learning-seconds", "diversity", "scores", "parameters")
    expected = {f"{kind}-{env}" for kind in kinds for env in ("bps-1", "rware-tiny")}
    assert {file.stem for file in files} == expected | {"scores", "profiles", "improvement"}
    assert html.count("<svg") == html.count('role="img"') == html.count("<figcaption>") == 13
    for file in files:
        assert f'href="figures/{file.name}"' in html
        text = file.read_text()
        assert text.startswith("<?xml")
        assert "<image" not in text  # vectors alone
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', html)) <= set(ids)


def test_the_page_loads_nothing(whole):
    html = (whole / "report.html").read_text()
    assert len(re.findall(r"https?:", html)) == 1  # the paper's address
    assert not re.search(r"<(script|link|iframe|object|img|base)|@import|@font-face", html)


def test_the_same_files_give_the_same_bytes(tmp_path):
    found = []
    for name in ("a", "b"):
        folder = write_study_folder(tmp_path / name / "study", plan_of(seeds=[0, 1]))
        shutil.rmtree(folder / FIRST)  # so that a message with a path is among the texts
        write_study(folder)
        files = [path for path in folder.rglob("*") if path.is_file()]
        found.append({path.relative_to(folder): path.read_bytes() for path in files})
    assert found[0] == found[1]
    assert not [path for path in found[0] if path.name.startswith(".")]


def test_a_page_is_made_again_in_its_place(tmp_path):
    folder = write_study_folder(tmp_path / "study", plan_of(seeds=[0]))
    before = write_study(folder).read_bytes()
    assert write_study(folder).read_bytes() == before


def test_the_best_variant_stands_in_for_a_bound(tmp_path):
    folder = write_study_folder(tmp_path / "study", best=None)
    study = read_study(folder)
    scale = numbers_of(study).scales["bps-1"]
    assert (scale.best, scale.bound) == (-160.0, False)
    text = text_of(write_study(folder).read_text())
    assert "1 is the best mean return of a variant here (−160.0)" in text
    assert "Dotted" not in text


@pytest.mark.parametrize(
    ("random", "reason"),
    [
        ({}, "what random play comes to is not known"),
        ({"bps-1": None}, "what random play comes to is not known"),
        ({"bps-1": -100.0}, "the best is not above random play"),
    ],
)
def test_environments_without_scores(tmp_path, random, reason):
    folder = write_study_folder(tmp_path / "study", random=random)
    html = write_study(folder).read_text()
    assert f"no scores: {reason}." in text_of(html)
    head, first, *_ = Tables(html).tables[0]
    row = dict(zip(head, first, strict=True))
    assert row["Score"] == row["Steps to target"] == "–"
    assert row["Area under curve"] != "–"
    assert (folder / "figures" / "improvement.svg").exists()
    assert not (folder / "figures" / "profiles.svg").exists()


def test_an_environment_without_scores_beside_one_with(tmp_path):
    plan = plan_of(["bps-1", "bps-2"])
    folder = write_study_folder(tmp_path / "study", plan, random={"bps-2": RANDOM})
    text = text_of(write_study(folder).read_text())
    assert "Over 1 environment of 2, AdaPS leads with a score of" in text
    assert "profiles over bps-2, which have scores" in text


def test_slow_and_unlucky_runs_count_as_longer_than_any(tmp_path):
    def final(env, variant, seed):
        return -150.0 if variant == "adaps" and seed < 2 else -700.0

    numbers = numbers_of(read_study(write_study_folder(tmp_path / "study", final=final)))
    found = numbers.cells["bps-1", "adaps"].steps_to
    assert found is not None
    # Two runs go from −320 to −150 in their last 200,000 steps, and pass −190 on the way.
    assert (found.median, found.arrived) == (pytest.approx(800_000 + 200_000 * 130 / 170), 2)
    assert "952,941 [2 of 3]" in text_of(write_study(tmp_path / "study").read_text())


def test_runs_that_are_not_there_are_left_out_and_listed(tmp_path):
    folder = write_study_folder(tmp_path / "study")
    (folder / FIRST / "result.json").unlink()
    shutil.rmtree(folder / "runs/0/0/seed-1")
    failed = {"schema": 1, "failures": {"runs/0/0/seed-1": "RuntimeError: no\nmemory"}}
    (folder / "failures.json").write_text(json.dumps(failed))
    html = write_study(folder).read_text()
    text = text_of(html)
    assert left_out(folder) == [
        f"is not finished: {FIRST}/result.json is not there",
        "it failed: RuntimeError: no memory (failures.json)",
    ]
    assert "2 of 6 runs are left out" in text
    assert "4 of 6 runs are finished" in text
    for reason in left_out(folder):
        assert reason in text
    assert Tables(html).tables[0][1][1] == "1 of 3"


def test_a_failure_that_was_made_good_is_none(tmp_path):
    folder = write_study_folder(tmp_path / "study")
    failed = {"schema": 1, "failures": {FIRST: "RuntimeError"}}
    (folder / "failures.json").write_text(json.dumps(failed))
    assert not left_out(folder)


def test_a_variant_without_any_finished_run_is_not_compared(tmp_path):
    plan = plan_of(["bps-1", "bps-2"], variants_of("adaps", "fups", "nops"), [0, 1])
    folder = write_study_folder(tmp_path / "study", plan)
    shutil.rmtree(folder / "runs/0/2")
    shutil.rmtree(folder / "runs/1/2")
    shutil.rmtree(folder / "runs/1/1")
    overall = numbers_of(read_study(folder)).overall
    assert overall.variants == ["adaps", "fups"]
    assert overall.envs == ["bps-1"]
    tables = Tables(write_study(folder).read_text()).tables
    assert tables[0][3][:3] == ["NoPS", "0 of 2", "–"]


def other(**changes):
    plan = plan_of()
    data = config(plan, plan["runs"][0])
    return {**data, "config": {**data["config"], **changes}}


@pytest.mark.parametrize(
    ("file", "data", "reason"),
    [
        ("config.json", None, "has not begun"),
        ("config.json", "{", "damaged"),
        ("config.json", {}, "required field `schema`"),
        ("config.json", other(env="bps-2"), "env is 'bps-2', not 'bps-1'"),
        ("config.json", other(sharing={"name": "seps"}), "sharing is 'seps', not 'adaps'"),
        ("config.json", other(seed=1), "its seeds are 1 to 1, not 0"),
        ("config.json", other(seeds=4), "its seeds are 0 to 3, not 0"),
        ("config.json", other(seeds=2**32), "<= 10000 - at `$.seeds`"),
        ("config.json", other(sharing=3), "damaged"),
        ("identity.json", "null", "damaged"),
        ("sharing.json", "[]", "damaged"),
        ("result.json", None, "is not finished"),
        ("result.json", "nonsense", "damaged"),
        ("result.json", result(-1.0, 1), "is not of seed 0 alone"),
        ("result.json", result(float("nan"), 0), "not a number"),
        ("result.json", result(1e300, 0), "out of range"),
        ("result.json", result(-1.0, 0, parameters=10**400), "at `$.parameters`"),
        ("metrics.jsonl", "nonsense\n", "line 1"),
        ("metrics.jsonl", metrics(-1.0, 1), "is not of seed 0 alone"),
        ("metrics.jsonl", metrics(-1.0, 0, snd=lambda i: "much"), "damaged"),  # pyright: ignore
    ],
)
def test_a_damaged_file_costs_one_run_and_is_named(tmp_path, file, data, reason):
    folder = write_study_folder(tmp_path / "study")
    path = folder / FIRST / file
    if data is None:
        path.unlink()
    else:
        path.write_text(data if isinstance(data, str) else json.dumps(data))
    study = read_study(folder)
    ((planned, message),) = study.left_out
    assert planned.folder == FIRST
    assert f"{FIRST}/{file}" in message
    assert reason in message
    assert "\n" not in message
    assert str(tmp_path) not in message
    assert len(study.runs) == 5


def test_a_value_that_is_not_the_one_swept_over(tmp_path):
    plan = plan_of(seeds=[0], **swept(threshold=["0.3", "0.5"]))
    folder = write_study_folder(tmp_path / "study", plan)
    path = folder / FIRST / "config.json"
    path.write_text(path.read_text().replace("0.3", "0.7"))
    (message,) = left_out(folder)
    assert message.endswith("is not what study.json says: sharing.threshold is '0.7', not '0.3'")


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_is_cut_off_or_changed_the_reader_says_so_or_copes(tmp_path_factory, data):
    folder = write_study_folder(tmp_path_factory.mktemp("cut"), plan_of(seeds=[0]))
    names = ["study.json", "references.json"] + [
        f"{FIRST}/{name}" for name in ("config.json", "result.json", "metrics.jsonl")
    ]
    path = folder / data.draw(st.sampled_from(names))
    text = path.read_text()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    path.write_text(
        text[:start] + data.draw(st.sampled_from(["", "null", "-1", '"x"'])) + text[end:]
    )
    try:
        study = read_study(folder)
    except UserError as error:
        message = str(error)
    else:
        numbers_of(study)
        return
    assert "study.json" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (None, "study.json cannot be read"),
        ("{", "study.json is damaged"),
        ({"schema": 2}, "schema 2"),
        ({"title": 3}, "`str`, got `int` - at `$.title`"),
        ({"envs": []}, "its environments must be different, and at least one"),
        ({"variants": variants_of("adaps", "adaps")}, "its variants must be different"),
        ({"envs": ["other"]}, "is of no environment or variant"),
        ({"runs": []}, "its runs must be different, and at least one"),
        ({"over": 3}, "study.json is damaged"),
        ({"options": {"steps": 3}}, "`str`, got `int` - at `$.options[...]`"),
    ],
)
def test_a_plan_that_is_none(tmp_path, changes, reason):
    folder = write_study_folder(tmp_path / "study", plan_of(seeds=[0]))
    path = folder / "study.json"
    if changes is None:
        path.unlink()
    else:
        text = changes if isinstance(changes, str) else json.dumps({**plan_of(), **changes})
        path.write_text(text)
    with pytest.raises(UserError) as raised:
        write_study(folder)
    assert str(path) in str(raised.value)
    assert reason.removeprefix("its runs") in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (folder / "report.html").exists()


def test_a_study_without_a_finished_run(tmp_path):
    folder = write_study_folder(tmp_path / "study")
    shutil.rmtree(folder / "runs")
    with pytest.raises(UserError, match=r"study\.json: no run of this study is finished; the fir"):
        write_study(folder)


@pytest.mark.parametrize("where", ["../elsewhere", "/tmp", ".", "runs/../../x", "a\0b", "link"])
def test_runs_outside_the_study_are_refused(tmp_path, where):
    plan = plan_of(seeds=[0])
    folder = write_study_folder(tmp_path / "study", plan)
    (folder / "link").symlink_to(tmp_path)
    plan["runs"][0]["folder"] = where
    (folder / "study.json").write_text(json.dumps(plan))
    with pytest.raises(UserError, match=r"study\.json: run .* is not inside the study's folder"):
        write_study(folder)


@pytest.mark.parametrize("name", ["references.json", "failures.json"])
@pytest.mark.parametrize(
    "text", ["{", "[]", '{"schema": 1}', '{"schema": 1, "failures": {"a": 3}}']
)
def test_files_that_a_study_can_do_without(tmp_path, name, text):
    folder = write_study_folder(tmp_path / "study")
    (folder / name).write_text(text)
    (remark,) = read_study(folder).remarks
    assert remark.startswith(f"{name} is damaged")


def test_a_study_without_references(tmp_path):
    folder = write_study_folder(tmp_path / "study")
    (folder / "references.json").unlink()
    assert "references.json cannot be read" in text_of(write_study(folder).read_text())


def test_names_from_people_are_escaped_and_drawable(tmp_path):
    names = [HOSTILE, "_hidden", "", "漢字 😀", "\ud800", "a" * 500, "b\nc"]
    plan = plan_of([HOSTILE], [{"name": n, "options": {"note": HOSTILE}} for n in names], [0])
    plan |= {
        "title": HOSTILE,
        "machine": HOSTILE,
        "commit": HOSTILE,
        "versions": {HOSTILE: HOSTILE},
    }
    folder = write_study_folder(tmp_path / "a&b", plan)
    shutil.rmtree(folder / "runs/0/1")
    failed = {"schema": 1, "failures": {"runs/0/1/seed-0": HOSTILE}}
    (folder / "failures.json").write_text(json.dumps(failed))
    html = write_study(folder).read_text()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") > 8
    for file in folder.glob("figures/*.svg"):
        assert "<script" not in file.read_text()
    assert {row["variant"] for row in rows_of(folder / "scores.csv")} >= {HOSTILE, "b\nc"}


def test_labels_stay_different():
    found = figure_labels(["a" * 50, "a" * 51, "x (2)", "x", "x", "", " "])
    assert len(set(found)) == 7
    assert max(map(len, found)) < 40


def test_files_of_different_names_differ():
    found = slugs(["A", "a", "a-2", "/", "..", "é"])
    assert len(set(found.values())) == 6
    assert all(re.fullmatch("[a-z0-9-]+", slug) for slug in found.values())


@pytest.mark.parametrize("ends", [(1e3, 1e6), (9e3, 1.1e4), (1e4, 1.0001e4), (0.7, 1.3)])
def test_ticks_lie_within(ends):
    ticks = log_ticks(*ends)
    assert 3 <= len(ticks) <= 8
    assert all(ends[0] <= tick * 1.0000001 and tick <= ends[1] * 1.0000001 for tick in ticks)


def test_sixteen_variants_look_different_and_are_all_shown(tmp_path):
    variants = [{"name": f"variant {i}", "options": {"sharing": "adaps"}} for i in range(16)]
    plan = plan_of(variants=variants, seeds=[0])
    folder = write_study_folder(tmp_path / "study", plan)
    html = write_study(folder).read_text()
    assert len({look[1:] for look in looks_of(read_study(folder).plan).values()}) == 16
    assert len(Tables(html).tables[0]) == 17


def test_a_sweep_of_one_option(tmp_path):
    plan = plan_of(["bps-1", "bps-2"], **swept(threshold=["0.1", "0.5", "0.9"]))

    def final(env, variant, seed):
        return -100.0 - 100 * float(variant.rpartition("=")[2])

    folder = write_study_folder(tmp_path / "study", plan, final)
    shutil.rmtree(folder / "runs/0/1")
    study = read_study(folder)
    sweep = sweep_of(study, numbers_of(study), ["bps-2"])
    assert [sweep.each[(v,)].value for v in ("0.1", "0.5", "0.9")] == pytest.approx(
        [1 - 10 / 900, 1 - 50 / 900, 1 - 90 / 900]
    )
    assert set(sweep_of(study, numbers_of(study), ["bps-1"]).each) == {("0.1",), ("0.9",)}
    text = text_of(write_study(folder).read_text())
    assert "for each value of sharing.threshold" in text
    assert "threshold=0.1 leads" in text
    assert sweep.recommended == {("0.1",)}
    assert {p.stem for p in folder.glob("figures/sweep*")} == {"sweep-bps-1", "sweep-bps-2"}


def warn(folder, *texts):
    """Give a run's result warnings."""
    data = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**data, "warnings": [texts]}))


def test_warnings_stand_wherever_a_number_does(tmp_path):
    folder = write_study_folder(tmp_path / "study")
    for seed in (0, 2):
        warn(folder / f"runs/0/0/seed-{seed}", f"nearly equal masks: {HOSTILE}")
    html = write_study(folder).read_text()
    text = text_of(html)
    warned = "nearly equal masks in 2 of 3 runs"
    assert f"In bps-1, AdaPS (which warns of {warned}) leads with a return of" in text
    assert Tables(html).tables[0][1][-1] == warned
    assert Tables(html).tables[0][2][-1] == "–"
    assert ["bps-1", "AdaPS", warned, f"seed 0: nearly equal masks: {HOSTILE}"] in Tables(
        html
    ).tables[1]
    assert "Some runs have warnings" in text
    assert "AdaPS* −1" in html  # as figures say it to who cannot see them
    assert "<script" not in html
    scores = rows_of(folder / "scores.csv")
    assert [row["warnings"] for row in scores][:2] == [f"nearly equal masks: {HOSTILE}", ""]
    assert rows_of(folder / "curves.csv")[0]["warnings"] == "nearly equal masks"
    data = json.loads((folder / "statistics.json").read_text())
    assert data["envs"]["bps-1"]["adaps"]["warnings"][1:] == [
        [],
        [f"nearly equal masks: {HOSTILE}"],
    ]


@pytest.mark.parametrize("more", [{}, {"clusters": ["1", "2"]}])
def test_a_sweep_marks_values_whose_runs_have_warnings(tmp_path, more):
    plan = plan_of(["bps-1"], seeds=[0], **swept(threshold=["0.1", "0.9"], **more))
    folder = write_study_folder(tmp_path / "study", plan)
    warn(folder / "runs/0/0/seed-0", "nearly equal masks: all")
    html = write_study(folder).read_text()
    values = "0.1, 1" if more else "0.1"
    caption = f"values whose runs have warnings: {values}: nearly equal masks in 1 of 1 run."
    assert caption in text_of(html)
    cells = json.loads((folder / "statistics.json").read_text())["sweep"]["bps-1"]["cells"]
    assert [cell["warns_of"] for cell in cells if cell["warns_of"]] == [
        "nearly equal masks in 1 of 1 run"
    ]


@pytest.mark.parametrize("third", [{}, {"keep": ["0.5", "1"]}])
def test_sweeps_of_several_options(tmp_path, third):
    over = {"threshold": ["0.3", "0.5"], "clusters": ["1", "2", "3"], **third}
    folder = write_study_folder(tmp_path / "study", plan_of(seeds=[0], **swept(**over)))
    text = text_of(write_study(folder).read_text())
    ends = ["-1", "-2"] if third else [""]
    assert {p.stem for p in folder.glob("figures/sweep*")} == {f"sweep-bps-1{e}" for e in ends}
    assert "for each pair of values" in text
    assert ("with sharing.keep = 0.5" in text) == bool(third)


def test_a_sweep_in_returns_where_there_are_no_scores(tmp_path):
    plan = plan_of(seeds=[0], **swept(threshold=["0.1", "0.5"]))
    folder = write_study_folder(tmp_path / "study", plan, random={})
    assert "final greedy return for each value" in text_of(write_study(folder).read_text())


@pytest.mark.parametrize("points", [0, 1])
def test_curves_of_hardly_any_points(tmp_path, points):
    folder = write_study_folder(tmp_path / "study", points=points)
    html = write_study(folder).read_text()
    assert ("No finished run has an evaluation." in html) == (points == 0)


def test_a_folder_that_cannot_be_written_to(tmp_path):
    folder = write_study_folder(tmp_path / "study", plan_of(seeds=[0]))
    (folder / "figures").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*figures: File exists"):
        write_study(folder)


def test_nothing_is_written_where_a_link_leads(tmp_path):
    folder = write_study_folder(tmp_path / "study", plan_of(seeds=[0]))
    (tmp_path / "elsewhere").mkdir()
    (folder / "figures").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="figures is a symbolic link"):
        write_study(folder)
    assert not (folder / "report.html").exists()
    (folder / "figures").unlink()
    for name in ("report.html", "scores.csv"):
        (tmp_path / name).write_text("mine")
        (folder / name).symlink_to(tmp_path / name)
    write_study(folder)
    for name in ("report.html", "scores.csv"):
        assert (tmp_path / name).read_text() == "mine"
        assert not (folder / name).is_symlink()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_plan_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "study.json")
    with pytest.raises(UserError, match="cannot be read: it is not a plain file"):
        write_study(tmp_path)


def test_no_spreadsheet_computes_a_name(tmp_path):
    names = ["=cmd|calc", "@SUM(1)", "+1", "-1", "\t=1", "fups"]
    plan = plan_of(["=1"], [{"name": name, "options": {}} for name in names], [0])
    study = read_study(write_study_folder(tmp_path / "study", plan))
    for table in (scores_csv(study, numbers_of(study)), curves_csv(study)):
        rows = list(csv.DictReader(table.splitlines()))
        assert {row["variant"] for row in rows} == {*(f"'{name}" for name in names[:5]), "fups"}
        assert {row["env"] for row in rows} == {"'=1"}
    assert float(rows[0]["return_greedy"]) < 0


def test_scores_of_runs_are_those_of_the_formula(tmp_path):
    study = read_study(write_study_folder(tmp_path / "study"))
    rows = list(csv.DictReader(scores_csv(study, numbers_of(study)).splitlines()))
    for row in rows:
        value = steady(row["env"], row["variant"], int(row["seed"]))
        assert float(row["score"]) == pytest.approx((value - RANDOM) / (-100 - RANDOM))
        assert float(row["area_under_curve"]) == pytest.approx(np.mean([RANDOM, value]))
