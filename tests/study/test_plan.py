"""A study's plan: from a file, from the command line, and what cannot be."""

import dataclasses
import json
import os
import re

import pytest
from teams import TINY, quiet, tiny

from adaps.cli.commands import main
from adaps.errors import UserError
from adaps.files.schema import Plan, References
from adaps.study import Study, Variant, carry_out, of_methods, of_values
from adaps.study.plan import default_folder, jobs, slug
from adaps.study.plan_file import from_file


def test_every_variant_meets_every_environment_with_every_seed():
    study = of_methods(["bps-1", "bps-2"], ["fups", "adaps"], ["a2c"], [3, 4], {"steps": "1e6"})
    found = jobs(study)
    assert len({(job.env, job.variant, job.seed) for job in found}) == len(found) == 8
    assert len({job.folder for job in found}) == 8
    assert {job.config.steps for job in found} == {1_000_000}
    assert [job.config.seeds for job in found] == [1] * 8


def test_a_sweep_is_the_product_of_values():
    study = of_values(["bps-1"], {"sharing.keep": ["0.5", "1"], "hidden": ["8", "16 16"]}, [0], {})
    found = [(job.config.sharing.keep, job.config.hidden) for job in jobs(study)]
    assert found == [(0.5, (8,)), (0.5, (16, 16)), (1.0, (8,)), (1.0, (16, 16))]


def test_a_variant_goes_before_an_environment_before_what_is_common():
    study = Study(
        {"bps-1": {"steps": "2000", "num-envs": "4"}},
        [Variant("one", {"sharing": "fups", "steps": "3000"})],
        [0],
        {"steps": "1000", "num-envs": "2", "rollout-length": "10"},
    )
    (job,) = jobs(study)
    config = job.config
    assert (config.steps, config.num_envs, config.rollout_length) == (3000, 4, 10)


def test_switches_are_written_as_true_and_false():
    study = Study({"bps-1": {}}, [Variant("a", {"sharing.rescale": "False"})], [0])
    assert jobs(study)[0].config.sharing.rescale is False


def test_a_file_says_the_same(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(
        """
        title = "Mine"
        seeds = [1, 5]
        [envs]
        bps-1 = {}
        bps-2 = { steps = 2_000_000 }
        [options]
        hidden = [32, 32]
        [variants]
        fups = {}
        "AdaPS, half" = { sharing = "adaps", "sharing.keep" = 0.5 }
        """
    )
    study = from_file(path)
    found = jobs(study)
    assert (study.title, study.seeds) == ("Mine", [1, 5])
    assert {(job.env, job.config.steps) for job in found} == {
        ("bps-1", 1_000_000),
        ("bps-2", 2_000_000),
    }
    assert {job.variant for job in found} == {"fups", "AdaPS, half"}
    assert {job.config.hidden for job in found} == {(32, 32)}
    assert {job.config.sharing.name for job in found} == {"fups", "adaps"}


def test_lists_do_where_there_is_nothing_to_say(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text('envs = ["bps-1"]\nvariants = ["fups", "seps sharing.clusters=2"]\nseeds = 3')
    study = from_file(path)
    assert study.seeds == [0, 1, 2]
    assert jobs(study)[-1].config.sharing.clusters == 2
    path.write_text('envs = ["bps-1"]\nseeds = 1\n[over]\n"sharing.clusters" = [1, 2]')
    assert [job.config.sharing.clusters for job in jobs(from_file(path))] == [1, 2]


BAD_FILES = {
    "": "lacks 'envs'",
    "envs = [": "not a study",
    'envs = ["bps-1"]': "either variants or over",
    'envs = ["bps-1"]\nvariants = ["fups"]\n[over]\n"steps" = [1]': "either variants or over",
    'envs = ["bps-1"]\nvarants = ["fups"]': "did you mean 'variants'",
    'envs = ["bps-1"]\nvariants = ["fups x"]': "OPTION=VALUE",
    'envs = 5\nvariants = ["fups"]': "not a study",
    'envs = ["bps-1"]\nvariants = ["fups"]\nseeds = "many"': "not a study",
    'envs = ["bps-1"]\nvariants = ["fups"]\noptions = 3': "not a study",
    'envs = "bps-1"\nvariants = ["fups"]': "envs must be a table or a list, not 'bps-1'",
    'envs = [1]\nvariants = ["fups"]': "envs[0] must be a text, not 1",
    'envs = ["bps-1", "bps-1"]\nvariants = ["fups"]': "bps-1 twice",
    'envs = ["bps-1"]\nvariants = "fups"': "variants must be a table or a list, not 'fups'",
    'envs = ["bps-1"]\n[over]': "over must name at least one option",
    'envs = ["bps-1"]\n[over]\n"sharing.clusters" = "12"': "clusters must be a list, not '12'",
    'envs = ["bps-1"]\nvariants = ["fups"]\ntitle = {a = 1}': "title must be a text",
    **{
        f'envs = ["bps-1"]\nvariants = ["fups"]\nseeds = {seeds}': reason
        for seeds, reason in {
            '"12"': "seeds must be a whole number or a list, not '12'",
            "true": "seeds must be a whole number or a list, not True",
            "1.5": "seeds must be a whole number or a list, not 1.5",
            "[1.7]": "seeds[0] must be a whole number, not 1.7",
            "[true]": "seeds[0] must be a whole number, not True",
            "[inf]": "seeds[0] must be a whole number, not inf",
            "0": "--seeds must be at least 1",
            "10_000_000_000": "--seeds must be at most 10,000",
        }.items()
    },
    "a = " + "[" * 5_000 + "]" * 5_000: "nested too deeply",
    "a = " + "[" * 150 + "]" * 150: "nested too deeply",
}


@pytest.mark.parametrize("text", BAD_FILES, ids=range(len(BAD_FILES)))
def test_a_file_that_says_something_else(text, tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(BAD_FILES[text])) as error:
        from_file(path)
    assert "\n" not in str(error.value)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "study.toml")
    with pytest.raises(UserError, match="cannot be read: it is not a plain file"):
        from_file(tmp_path / "study.toml")


BAD = {
    "nothing to do": (Study({}, [Variant("a", {})], [0]), "at least one of its envs"),
    "no seeds": (Study({"bps-1": {}}, [Variant("a", {})], []), "at least one of its seeds"),
    "twice": (Study({"bps-1": {}}, [Variant("a", {}), Variant("a", {})], [0]), "a twice"),
    "same seed": (Study({"bps-1": {}}, [Variant("a", {})], [1, 1]), "1 twice"),
    "negative": (Study({"bps-1": {}}, [Variant("a", {})], [-1]), "from 0 to"),
    "environment": (Study({"bsp-1": {}}, [Variant("a", {})], [0]), "did you mean 'bps-1'"),
    "method": (Study({"bps-1": {}}, [Variant("a", {"sharing": "fupz"})], [0]), "'fups'"),
    "option": (Study({"bps-1": {}}, [Variant("a", {"stepz": "3"})], [0]), "did you mean '--steps'"),
    "value": (Study({"bps-1": {}}, [Variant("a", {"steps": "0"})], [0]), "at least 1"),
    "seeds": (Study({"bps-1": {}}, [Variant("a", {"seeds": "3"})], [0]), "seeds is nothing that"),
    "many seeds": (Study({"bps-1": {}}, [Variant("a", {})], list(range(10_001))), "at most 10,000"),
    "case": (Study({"bps-1": {}, "BPS-1": {}}, [Variant("a", {})], [0]), "bps-1 twice"),
    "no name": (Study({"bps-1": {}}, [Variant("", {})], [0]), "a variant needs a name"),
    "resume": (Study({"bps-1": {}}, [Variant("a", {"resume": "x"})], [0]), "resume is nothing"),
    "config": (Study({"bps-1": {}}, [Variant("a", {"config": "x"})], [0]), "config is nothing"),
    "written otherwise": (
        Study({"bps-1": {}}, [Variant("a", {"auto_resume": "true"})], [0]),
        "auto-resume is nothing that",
    ),
    "smuggled": (
        Study({"bps-1": {}}, [Variant("a", {"num-envs": "4 --out=x"})], [0]),
        "out is nothing that",
    ),
    "help": (Study({"bps-1": {}}, [Variant("a", {"help": "1"})], [0]), "help is nothing that"),
    "quote": (Study({"bps-1": {}}, [Variant("a", {"steps": "'3"})], [0]), "no closing quotation"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_is_refused_before_anything_is_written(case, tmp_path):
    study, reason = BAD[case]
    with pytest.raises(UserError, match=re.escape(reason)):
        carry_out(study, tmp_path / "out", Nowhere(), quiet())
    assert not (tmp_path / "out").exists()


def test_folders_are_plain_and_never_shared():
    names = ["a/b", "a b", "a:b", "../../x", "-", "ä" * 300, "a", "A"]
    slugs = [slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    for name in slugs:
        assert "/" not in name
        assert not name.startswith(".")
        assert len(name.encode()) < 255


def test_runs_of_a_study_are_told_of_types_and_limits():
    name = "envs.teams_in_jax:JaxMARLStyle,length=4"
    options = {"agent-types": "4 5", "max-steps": "3", "steps": "400"}
    study = of_methods([name], ["fups"], ["a2c"], [0], options)
    (job,) = jobs(study)
    assert (job.config.env, job.config.agent_types, job.config.max_steps) == (name, (4, 5), 3)
    assert re.fullmatch(
        r"runs/envs.teams_in_jax-JaxMARLStyle-length=4-\w{6}/fups/seed-0", job.folder
    )


def test_the_same_study_has_the_same_folder():
    assert default_folder(tiny()) == default_folder(tiny())
    assert default_folder(tiny()) != default_folder(tiny(seeds=(0,)))


class Nowhere:
    """Carries out nothing."""

    def run(self, work, jobs, out, listener):
        self.asked = [job.folder for job in jobs]


def finish(out, job_folder, config):
    (out / job_folder).mkdir(parents=True)
    (out / job_folder / "config.json").write_text(json.dumps({"config": config}))
    (out / job_folder / "result.json").write_text(json.dumps({"seeds": [config["seed"]]}))


def saved(job):
    from adaps.config.saved import to_json  # noqa: PLC0415

    return json.loads(json.dumps(to_json(job.config)))


def test_what_is_done_is_not_asked_for_again(tmp_path):
    study = tiny(("fups", "nops"))
    done, *left = jobs(study)
    finish(tmp_path, done.folder, saved(done))
    backend = Nowhere()
    carry_out(study, tmp_path, backend, quiet())
    assert backend.asked == [job.folder for job in left]


def test_a_result_that_is_cut_off_is_made_again(tmp_path):
    study = tiny(seeds=(0,))
    (job,) = jobs(study)
    finish(tmp_path, job.folder, saved(job))
    (tmp_path / job.folder / "result.json").write_text('{"seeds": [')
    backend = Nowhere()
    carry_out(study, tmp_path, backend, quiet())
    assert backend.asked == [job.folder]


def test_another_run_in_the_folder_is_refused_by_name(tmp_path):
    study = tiny(seeds=(0,))
    (job,) = jobs(study)
    finish(tmp_path, job.folder, {**saved(job), "steps": 9_000})
    with pytest.raises(
        UserError, match=r"config.json is another run: steps: 9000 there, 8000 here"
    ):
        carry_out(study, tmp_path, Nowhere(), quiet())


def test_an_option_that_came_later_is_at_its_default_in_older_runs(tmp_path):
    study = tiny(seeds=(0,))
    (job,) = jobs(study)
    config = saved(job)
    del config["criterion"], config["algo"]["entropy"]
    finish(tmp_path, job.folder, config)
    backend = Nowhere()
    carry_out(study, tmp_path, backend, quiet())
    assert not hasattr(backend, "asked")


def test_a_folder_can_take_in_more_of_the_same(tmp_path):
    carry_out(tiny(("fups",), seeds=(0,)), tmp_path, Nowhere(), quiet())
    carry_out(tiny(("nops",), seeds=(1,)), tmp_path, Nowhere(), quiet())
    plan = json.loads((tmp_path / Plan.FILE).read_text())
    assert [variant["name"] for variant in plan["variants"]] == ["fups", "nops"]
    assert plan["seeds"] == [0, 1]
    assert len(plan["runs"]) == 2


def test_a_sweep_can_take_in_more_values(tmp_path):
    for values in (["1", "2"], ["2", "3"]):
        study = of_values(["bps:2-2"], {"sharing.clusters": values}, [0], TINY)
        carry_out(study, tmp_path, Nowhere(), quiet())
    plan = json.loads((tmp_path / Plan.FILE).read_text())
    assert plan["over"] == {"sharing.clusters": ["1", "2", "3"]}
    carry_out(tiny(), tmp_path, Nowhere(), quiet())
    assert json.loads((tmp_path / Plan.FILE).read_text())["over"] is None


def test_a_damaged_plan_is_named(tmp_path):
    (tmp_path / Plan.FILE).write_text("{")
    with pytest.raises(UserError, match=r"study\.json is damaged"):
        carry_out(tiny(), tmp_path, Nowhere(), quiet())
    (tmp_path / Plan.FILE).write_text("{}")
    with pytest.raises(UserError, match=r"study\.json is damaged"):
        carry_out(tiny(), tmp_path, Nowhere(), quiet())


BAD_COMMANDS = {
    "compare": "name environments",
    "compare nowhere.toml": "nowhere.toml cannot be read",
    "compare x.toml --envs bps-1": "not both",
    "compare --envs bps-7": "bps-",
    "compare --envs bps-1 --methods fupz": "did you mean 'fups'",
    "compare --envs bps-1 --methods 'fups": "no closing quotation",
    "compare --envs bps-1 --algos a3c": "did you mean 'a2c'",
    "compare --envs bps-1 --seeds 0": "at least 1",
    "compare --envs bps-1 --steps many": "--steps cannot be 'many'",
    "compare --envs bps-1 --options steps": "OPTION=VALUE",
    "compare --envs bps-1 --options stepz=3": "did you mean '--steps'",
    "compare --envs bps-1 --backend slurm": "unknown backend",
    "compare --envs bps-1 --workers 0": "--workers must be at least 1",
    "compare --envs bps-1 --memory-gib 0": "--memory-gib must be above 0",
    "compare --envs bps-1 --memory-gib inf": "--memory-gib must be above 0 and at most 1048576",
    "compare --envs bps-1 --memory-gib 1e300": "at most 1048576, not 1e+300",
    "compare --envs bps-1 --seeds 1e10": "--seeds must be at most 10,000, not 10,000,000,000",
    "compare --envs bps-1 bps-1": "bps-1 twice",
    "compare --envs bps-1 BPS-1": "bps-1 twice",
    "compare --envs bps-1 --options resume=run": "resume is nothing that",
    "compare --envs bps-1 --options config=x.json": "config is nothing that",
    "sweep": "say what varies",
    "sweep --over sharing.clusters=1,2": "at least one of its envs",
    "sweep bps-1": "say what varies",
    "sweep bps-1 --over sharing.clusters": "OPTION=VALUE",
    "sweep bps-1 --over sharing.clusters=1,99": "number of agents, 15",
    "sweep bps-1 --over sharing.clusterz=1,2": "did you mean '--sharing.clusters'",
    "sweep bps-1 --over steps=1e6,1e6": "twice",
}


@pytest.mark.parametrize("words", BAD_COMMANDS)
def test_bad_input_ends_in_one_line(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*words.split(), *(["--out", "out"] if " " in words else [])]) == 2
    error = capsys.readouterr().err
    assert error.startswith("adaps: ")
    assert error.count("\n") == 1
    assert BAD_COMMANDS[words] in error
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_too_long_for_a_folder(tmp_path, capsys):
    words = f"compare --envs bps-1 --methods fups --out {tmp_path / ('x' * 300)}"
    assert main(words.split()) == 2
    assert capsys.readouterr().err.endswith("x: File name too long\n")


@pytest.mark.parametrize(
    "text",
    ["[" * 5_000, '"abc"', '{"random_return": "abc"}', '{"random_return": {"bps:2-2": "x"}}'],
)
def test_references_that_are_damaged_are_made_anew(text, tmp_path, monkeypatch):
    monkeypatch.setattr("adaps.study.execute.random_return", lambda env, max_steps: -1.0)
    (tmp_path / References.FILE).write_text(text)
    carry_out(tiny(), tmp_path, Nowhere(), quiet())
    assert json.loads((tmp_path / References.FILE).read_text())["random_return"] == {
        "bps:2-2": -1.0
    }


def test_options_from_the_command_line_go_before_the_files(tmp_path):
    from adaps.study.commands import CompareCommand, Where, compared  # noqa: PLC0415

    path = tmp_path / "study.toml"
    path.write_text('envs = ["bps-1"]\nvariants = ["fups"]\n[options]\nsteps = 5_000')
    command = CompareCommand(Where(), str(path), seeds=2, options=("num-envs=4",))
    assert {job.config.steps for job in jobs(compared(command))} == {5_000}
    shorter = dataclasses.replace(command, steps=4_000)
    assert {(j.config.steps, j.config.num_envs) for j in jobs(compared(shorter))} == {(4_000, 4)}


def test_tiny_is_tiny():
    assert jobs(tiny())[0].config.steps == int(TINY["steps"])
