"""A run's saved configuration: what it may be, and what is told of what it may not."""

import dataclasses
import json
import os
from dataclasses import dataclass

import pytest

import adaps
from adaps.cli.commands import main
from adaps.config.choices import algo_options, sharing_options
from adaps.config.saved import from_json, to_json, with_saved
from adaps.config.training import TrainConfig
from adaps.sharing import METHODS


def saved(path, **changes):
    """A ``config.json``; names with a dot are those of a part's option."""
    data = to_json(TrainConfig("bps:2-2", sharing_options("adaps"), algo_options("a2c")))
    for name, value in changes.items():
        part, _, option = name.rpartition("__")
        (data[part] if part else data)[option] = value
    path.write_text(json.dumps({"schema": 1, "config": data}))
    return path


@pytest.mark.parametrize("method", METHODS)
def test_what_is_saved_is_read_again(method, tmp_path):
    config = TrainConfig(
        "bps:2-2", sharing_options(method), algo_options("a2c"), hidden=(8,), step_timeout=3.5
    )
    (tmp_path / "config.json").write_text(json.dumps({"config": to_json(config)}))
    assert from_json(tmp_path / "config.json") == config


WRONG = [
    ({"env": 3}, "env is 3"),
    ({"steps": 1.5}, "steps is 1.5"),
    ({"seeds": True}, "seeds is True"),
    ({"seed": None}, "seed is None"),
    ({"evaluations": ""}, "evaluations is ''"),
    ({"num_identifications": [[[]]]}, r"num_identifications is \(\(\(\),\),\)"),
    ({"hidden": ["x", 64]}, r"hidden is \('x', 64\)"),
    ({"hidden": "64"}, "hidden is '64'"),
    ({"hidden": 64}, "hidden is 64"),
    ({"normalise_obs": 1}, "normalise_obs is 1"),
    ({"not_finite": 1e308}, r"not_finite is 1e\+308"),
    ({"clusterer": 10**400}, "clusterer is 10{39}$"),
    ({"identity": {}}, "identity is {}"),
    ({"step_timeout": "long"}, "step_timeout is 'long'"),
    ({"encoder__latent_size": "x"}, "encoder.latent_size is 'x'"),
    ({"algo__entropy": 10**400}, "algo.entropy is 10{39}$"),
    ({"algo__name": 5}, "algo's name is 5"),
    ({"sharing__clusters": [2]}, r"sharing.clusters is \(2,\)"),
    ({"sharing__rescale": None}, "sharing.rescale is None"),
    ({"sharing__unheard_of": 1}, "unheard_of"),
    ({"sharing": []}, "not a run's configuration"),
]


@pytest.mark.parametrize(("changes", "says"), WRONG, ids=[str(wrong)[:40] for wrong, _ in WRONG])
def test_a_value_of_another_type_is_named(changes, says, tmp_path):
    path = saved(tmp_path / "config.json", **changes)
    with pytest.raises(adaps.UserError, match=says) as raised:
        from_json(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seeds": 10**400}, "--seeds must be at most"),
        ({"checkpoint_every": 10**30}, "--checkpoint-every must be at most"),
        ({"encoder__latent_size": 10**400}, "--encoder.latent-size must be in"),
        ({"step_timeout": float("nan")}, "--step-timeout must be more than 0"),
    ],
)
def test_a_number_that_is_too_large_is_refused(changes, says, tmp_path, capsys):
    path = saved(tmp_path / "config.json", **{"steps": 1, **changes})
    for words in (["--config", str(path)], ["--resume", str(tmp_path)]):
        assert main(["train", *words]) == 2
        err = capsys.readouterr().err
        assert says in err
        assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["train --resume", "evaluate", "play"])
def test_a_configuration_is_read_without_waiting_and_not_too_deep(command, tmp_path, capsys):
    path = tmp_path / "config.json"
    for text in ("[" * 100_000, '{"config": ' * 150 + "{}" + "}" * 150):
        path.write_text(text)
        assert main([*command.split(), str(tmp_path)]) == 2
        assert "nested too deeply" in capsys.readouterr().err
    path.unlink()
    os.mkfifo(path)
    assert main([*command.split(), str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"adaps: {path} cannot be read: it is not a plain file\n"


@dataclass(frozen=True)
class Careless:
    """A third party's options, whose annotations are not to be relied upon."""

    width: int = None  # pyright: ignore
    share: "Unheard" = 0.5  # pyright: ignore


@dataclass(frozen=True)
class Wrong:
    width: int = None  # pyright: ignore


def test_options_of_third_parties_may_be_at_their_defaults_and_more():
    assert with_saved(Wrong(), {"width": None}) == Wrong()
    assert with_saved(Wrong(), {"width": 3}).width == 3
    with pytest.raises(TypeError, match=r"sharing\.width is 'x'"):
        with_saved(Wrong(), {"width": "x"}, "sharing.")
    changed = {"width": "x", "share": [1]}
    assert dataclasses.asdict(with_saved(Careless(), changed)) == changed
