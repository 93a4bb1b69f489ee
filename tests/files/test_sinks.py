"""TensorBoard and Weights & Biases get what metrics.jsonl gets."""

import importlib
import json
import struct

import psutil
import pytest

import adaps
from adaps.cli.commands import main
from adaps.errors import UserError
from adaps.files.sinks import SINKS, Sinks, TensorBoard, opened

OPTIONS = {"steps": 4_000, "evaluations": 2, "eval_episodes": 8}


def lines_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def events(folder):
    """Scalars of TensorBoard's event files: (tag, step) → value."""
    from tensorboardX.proto.event_pb2 import Event  # noqa: PLC0415

    found = {}
    for path in folder.glob("events.*"):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            data = data[12 + length + 4 :]
            for value in event.summary.value:
                found[value.tag, event.step] = value.simple_value
    return found


def test_tensorboard_gets_every_number_of_every_seed(tmp_path):
    folder = tmp_path / "run"
    adaps.train("bps:2-2", "fups", seeds=2, out=folder, sinks=["tensorboard"], **OPTIONS)
    for line in lines_of(folder):
        found = events(folder / "tensorboard" / f"seed-{line['seed']}")
        for name in ("return_greedy", "return_sampled", "snd", "entropy", "seconds"):
            assert found[name, line["env_steps"]] == pytest.approx(line[name], rel=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_wandb_takes_them_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    folder = tmp_path / "run"
    adaps.train("bps:2-2", "fups", seeds=2, out=folder, sinks=["wandb"], **OPTIONS)
    records = list((folder / "wandb").glob("offline-run-*/*.wandb"))
    assert len(records) == 2
    for record in records:
        assert b"return_greedy" in record.read_bytes()
    left = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
    _, alive = psutil.wait_procs(left, timeout=20)
    assert not alive


def test_what_is_no_number_is_left_out():
    seen = []

    class Noting:
        def log(self, seed, env_steps, numbers):
            seen.append((seed, env_steps, numbers))

        def close(self):
            pass

    line = {"seed": 1, "env_steps": 5, "a": 2.0, "b": None, "c": [1.0], "d": float("nan")}
    Sinks([Noting()]).log(line)
    assert seen == [(1, 5, {"a": 2.0})]


def test_sinks_are_closed_whatever_happens(tmp_path, monkeypatch):
    closed = []

    def close(self):
        closed.append(True)
        raise OSError

    monkeypatch.setattr(TensorBoard, "close", close)
    monkeypatch.setitem(SINKS, "other", TensorBoard)
    names = ["tensorboard", "other", "other"]
    with pytest.raises(OSError), opened(names, tmp_path, {}):  # noqa: PT011
        raise RuntimeError
    assert closed == [True, True]


def test_what_cannot_be_had_is_said_before_anything_is_written(tmp_path, monkeypatch, capsys):
    with pytest.raises(UserError, match="name one to use tensorboard"):
        adaps.train("bps:2-2", "fups", sinks=["tensorboard"], **OPTIONS)
    words = ["train", "bps:2-2", "--out", str(tmp_path / "run"), "--sinks"]
    assert main([*words, "tensorbord"]) == 2
    assert "did you mean 'tensorboard'" in capsys.readouterr().err

    there = importlib.import_module

    def missing(name, *package):
        if name.partition(".")[0] not in ("tensorboardX", "wandb"):
            return there(name, *package)
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    for sink in ("tensorboard", "wandb"):
        assert main([*words, sink]) == 2
        assert f"pip install 'adaps[{sink}]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
