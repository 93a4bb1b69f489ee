"""The pages of docs/results show what the result files say, and `make results` makes them all."""

import doctest
import json
import re
from pathlib import Path

import formatting
import learning_curves
import measurement_tables
import measurements
import provenance
import pytest
import results
import scores
import sharing_methods
import study_tables
import tables
from provenance import measured, stated
from study_page import summary
from study_tables import beside_published, by_environment, by_one_value, by_two_values, by_variant

import adaps
from adaps.study.plan_file import from_file

HEAD = "env,variant,seed,return,score,regret,env_steps_to_target,parameters"
DOCS = tables.RESULTS


@pytest.fixture
def study(tmp_path):
    """Writes a study's scores, of lines without seeds and parameters."""

    def write(*lines):
        folder = tmp_path / "studies" / "mine"
        folder.mkdir(parents=True, exist_ok=True)
        rows = [f"{env},{name},0,{rest},10" for env, name, rest in lines]
        (folder / "scores.csv").write_text("\n".join([HEAD, *rows]) + "\n")
        (folder / "summary.md").write_text("# Mine\n\nSeeds 0 to 2; budget; commit abc.\n")
        return folder

    return write


def runs(env, name, *values, rest=",,"):
    """One line per run; a value, and as its score the same."""
    quoted = f'"{name}"'
    return [(env, quoted, f"{value},{value},{rest}"[:-1]) for value in values]


def row(lines, start):
    (found,) = (line for line in lines if line.startswith(f"| {start} |"))
    return found


@pytest.mark.parametrize("module", [formatting, provenance, study_tables])
def test_examples(module):
    failed, attempted = doctest.testmod(module)
    assert attempted
    assert not failed


class TestPages:
    @pytest.mark.parametrize("page", tables.PAGES)
    def test_tables_are_those_of_the_result_files(self, page):
        """If not: python experiments/tables.py."""
        text = (DOCS / page).read_text()
        assert tables.filled(text)[0] == text

    def test_every_table_has_one_place(self):
        text = "".join((DOCS / page).read_text() for page in tables.PAGES)
        assert sorted(re.findall(r"<!-- table: (\S+) -->", text)) == sorted(tables.TABLES)

    def test_a_table_without_its_file_is_left_as_it_is(self, tmp_path):
        page = "<!-- table: keep -->\nby hand\n<!-- end of table -->\n"
        assert tables.filled(page, tmp_path) == (page, ["keep"])

    @pytest.mark.parametrize(
        "page", ["<!-- table: bps -->\n", "<!-- table: none -->\n<!-- end of table -->"]
    )
    def test_a_place_that_cannot_be_filled_is_named(self, page):
        with pytest.raises(ValueError, match="table"):
            tables.filled(page)

    def test_all_that_lies_there_is_made(self):
        made = {path.stem for path in DOCS.iterdir() if path.suffix in (".json", ".svg")}
        assert made <= {*measurements.NAMES, "other_environments"}  # made by make integrations
        assert all(results.preset(path.name).exists() for path in (DOCS / "studies").iterdir())


class TestStudies:
    def test_of_two_environments_the_finished_one_is_shown(self, study):
        lines = [*runs("one", "A", 1, 1, 1), *runs("one", "B", 2, 2), *runs("two", "A", 1)]
        found = by_variant(study(*lines))
        assert found[0].startswith("| variant, on one | final greedy return |")
        assert [line.split(" |")[0] for line in found[2:4]] == ["| B, 2 runs", "| A"]
        assert "Not finished, and not shown: two." in found
        assert found[-1].endswith("(studies/mine/summary.md). Seeds 0 to 2; budget; commit abc.")

    def test_what_is_known_of_no_variant_has_no_column(self, study):
        first = "| variant | final greedy return |"
        known = [("one", "A", "-110,0.9,0.1,"), ("one", "B", "-120,0.8,,")]
        assert by_variant(study(*known))[0] == f"{first} regret | parameters |"
        assert by_variant(study(*runs("one", "A", 1, 2)))[0] == f"{first} parameters |"

    def test_the_leader_is_bold_where_intervals_do_not_overlap(self, study):
        lines = []
        for env, others in (("x-one", (1, 2, 3)), ("x-two", (7, 8, 9))):
            lines += [*runs(env, "A", *others), *runs(env, "B", 8, 9, 10)]
        found = by_environment(study(*lines))
        assert found[0] == "| method | one | two |"
        assert row(found, "B") == "| B | **9.00 [8.00, 10.00]** | 9.00 [8.00, 10.00] |"

    def test_nobody_leads_with_two_runs(self, study):
        found = by_environment(study(*runs("one", "A", 1, 1), *runs("one", "B", 2, 2)))
        assert "**" not in "".join(found)

    def test_a_method_that_is_missing_somewhere_has_a_dash_there(self, study):
        found = by_environment(
            study(*runs("x-1", "A", 1), *runs("x-1", "B", 2), *runs("x-2", "B", 3))
        )
        assert row(found, "A") == "| A | 1.00 | – |"

    def test_the_best_possible_return_comes_back_from_the_regret(self, study):
        lines = [("bps-1", "AdaPS", "-110,0.9,0.1,5"), ("bps-1", "FuPS", "-200,0.95,1,")]
        found = beside_published(study(*lines))
        assert row(found, "best possible on these resets").endswith("| −100.0 |")
        assert row(found, "**AdaPS**") == "| **AdaPS** | 10 | −110.0 (10 %) |"
        assert found.index(row(found, "**AdaPS**")) < found.index(row(found, "FuPS"))

    def test_a_sweep_of_one_option_has_a_column_per_environment(self, study):
        lines = [
            *(run for env in ("one", "two") for run in runs(env, "sharing.keep=0.2", 0.1, 0.2)),
            *runs("one", "sharing.keep=0.5", 0.9, 0.9),
        ]
        found = by_one_value(study(*lines))
        assert found[0] == "| share kept | one | two |"
        assert row(found, "0.5") == "| 0.5 | **0.900 [0.900, 0.900]** | – |"

    def test_a_sweep_of_two_options_has_one_down_and_one_across(self, study):
        lines = [
            *runs("one", "sharing.clusters=1, sharing.threshold=0.3", 0.1),
            *runs("one", "sharing.clusters=2, sharing.threshold=0.5", 0.9),
        ]
        found = by_two_values(study(*lines))
        assert found[0] == "| groups | λ = 0.3 | λ = 0.5 |"
        assert row(found, "2") == "| 2 | – | **0.900** |"

    def test_the_median_of_steps_is_unknown_where_half_never_get_there(self, study):
        lines = [("one", "A", "1,1,,5"), ("one", "A", "1,1,,")]
        assert scores.steps_to_target(scores.read(study(*lines))["one"]["A"]) is None


class TestResults:
    def test_unknown_names_are_refused_before_anything_runs(self, tmp_path):
        with pytest.raises(SystemExit, match="neither a study nor a measurement"):
            results.main(("bps", "nonsense"), tmp_path / "runs")
        assert not (tmp_path / "runs").exists()

    def test_speeds_come_last(self):
        assert results.ALL[-len(measurements.SPEEDS) :] == measurements.SPEEDS

    @pytest.mark.parametrize("name", measurements.NAMES)
    def test_commands_are_there_and_end_in_the_file_that_is_kept(self, name, tmp_path):
        commands = measurements.commands(name, tmp_path)
        for _, script, *_ in commands:
            assert script == "-m" or Path(script).exists()
        assert Path(commands[-1][commands[-1].index("--out") + 1]).stem == name

    def test_what_is_measured_is_not_measured_again(self, tmp_path):
        for name in ("placing", "identity"):
            (tmp_path / f"{name}.json").touch()
        assert measurements.left("placing", tmp_path) == []
        assert len(measurements.left("curves", tmp_path)) == 5
        assert measurements.left("identity", tmp_path)  # its script finds out what is lacking

    def test_some_are_measured_kept_and_shown(self, tmp_path, monkeypatch):
        done = []
        monkeypatch.setattr(tables, "RESULTS", tmp_path / "docs")
        monkeypatch.setattr(tables, "main", lambda: done.append("tables"))
        monkeypatch.setattr(measurements, "commands", self.fake_commands)
        (tmp_path / "docs").mkdir()
        with pytest.raises(SystemExit, match="failed, wholly or in part: placing;"):
            results.main(("placing", "bench"), tmp_path)
        assert done == ["tables"]
        assert [path.name for path in (tmp_path / "docs").iterdir()] == ["bench.json"]

    @staticmethod
    def fake_commands(name, runs):
        return [["false"]] if name == "placing" else [["touch", str(runs / f"{name}.json")]]

    def test_the_long_comparison_differs_in_nothing_but_its_length(self):
        short, long = (from_file(results.preset(name)) for name in ("bps", "bps-20m"))
        assert (short.envs, short.variants, short.seeds) == (long.envs, long.variants, long.seeds)
        assert long.options == {**short.options, "steps": "20000000"}
        assert long.title.startswith(short.title)
        assert "bps-20m" not in results.ALL


class TestScripts:
    def test_of_sharing_methods_only_rows_that_lack_are_trained(self, tmp_path, monkeypatch):
        trained = []

        def train(env, sharing, *_, out, resume, **options):
            trained.append((env, sharing.name, resume))
            numbers = dict.fromkeys(sharing_methods.KEPT, 1)
            result = {**numbers, "return_per_seed": [-1.0, 2.0], "seeds": [0, 1]}
            out.mkdir(parents=True)
            (out / "result.json").write_text(json.dumps(result))

        monkeypatch.setattr(adaps, "train", train)
        first, second, *_ = rows = sharing_methods.rows("bps-1")
        monkeypatch.setattr(sharing_methods, "rows", lambda env: rows[:2])
        out = tmp_path / "methods.json"
        out.write_text(json.dumps({"bps-1": [{"method": first.label}]}))
        sharing_methods.main(out, tmp_path / "runs", ("bps-1",))
        assert trained == [("bps-1", second.sharing.name, True)]
        rows = json.loads(out.read_text())["bps-1"]
        out.write_text(json.dumps({"bps-1": rows[1:]}))
        found = measurement_tables.methods(out, "bps-1")
        assert found[2] == f"| {second.label} | 1 | 0.001 | 1.0 | 100.0 % | −1.0, 2.0 |"
        assert found[-1].startswith("Seeds 0 to 1; 1,000,000 environment steps per seed; ")

    def test_of_curves_the_last_fifth_is_the_drawn_return(self, tmp_path):
        points = [(seed, step, step / 100) for seed in (0, 1) for step in range(100, 1100, 100)]
        names = ("seed", "env_steps", "return_sampled")
        lines = [json.dumps(dict(zip(names, point, strict=True))) for point in points]
        (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
        result = {"adjusted_rand_index": [1.0, None], "return_per_seed": [3, -4], "seeds": [0, 1]}
        (tmp_path / "result.json").write_text(json.dumps(result))
        config = {"env": "bps-1", "sharing": {"name": "adaps"}, "steps": 1000}
        run = learning_curves.numbers(tmp_path, config, 0.25)
        (tmp_path / "curves.json").write_text(json.dumps({"runs": [run]}))
        found = measurement_tables.curves(tmp_path / "curves.json")
        assert found[2] == "| bps-1 | AdaPS | 1.0, – | 9.50 | 3.00, −4.00 | 0.25 |"


class TestProvenance:
    def test_a_file_says_machine_commit_seeds_and_budget(self):
        facts = json.loads(json.dumps(measured(range(3), "1,000 steps")))
        (_, sentence) = stated([facts, facts])
        assert sentence.startswith("Seeds 0 to 2; 1,000 steps; ")
        assert facts["machine"]["processor"] in sentence

    def test_nothing_is_said_for_files_that_say_nothing(self):
        assert stated([{}]) == []
        assert stated([{}, {"seeds": [3]}])[1] == "Of some of these: seed 3."
        other = {"seeds": [3], "commit": "abc"}
        assert stated([other, {**other, "seeds": [4]}])[1] == "Seed 3, or seed 4; commit abc."


def test_a_summary_says_one_length_once_and_several_each():
    plan = {"title": "T", "seeds": [0, 1], "machine": "2 cores", "commit": "abc"}
    numbers = {"answer": "A.", "runs": {"finished": 1, "planned": 2}, "envs": {}, "sweep": None}
    options = {"options": {"steps": "2_000"}}
    same = summary({**plan, **options, "env_options": {"a": {}, "b": {}}}, numbers, [])
    assert "environment steps per run: 2,000. 1 of 2 runs are finished. 2 cores; commit abc" in same
    other = summary({**plan, **options, "env_options": {"a": {}, "b": {"steps": "5"}}}, numbers, [])
    assert "environment steps per run: 2,000 in a, 5 in b." in other
