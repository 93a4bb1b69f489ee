"""Runs on a Ray cluster, whose nodes die, or whoever sent the runs there."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings

import psutil
import pytest
from stubs import Heard
from teams import COMPARE_ONE, contents, finished, tiny

from adaps.cli.commands import main
from adaps.errors import UserError
from adaps.study import on_ray
from adaps.study.job import Outcome
from adaps.study.on_ray import OnRay
from adaps.study.plan import jobs
from processes import INTERRUPTIBLE

pytestmark = [
    pytest.mark.timeout(900),  # many processes start in turn
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "memory": 4 * 2**30}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Where the nodes' runs have their folders."""
    return tmp_path_factory.mktemp("places")


@pytest.fixture(scope="module")
def cluster(places):
    """A node with one core: one run at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", tempfile.gettempdir())  # its sockets need a short path
        patch.setenv("TMPDIR", str(places))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from ray.cluster_utils import Cluster  # noqa: PLC0415

            head = {**NODE, "include_dashboard": False}
            made = Cluster(initialize_head=True, head_node_args=head)
        yield made
        made.shutdown()


def wait_until(true, seconds):
    until = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def test_a_node_that_dies_costs_nothing(cluster, tmp_path):
    started, go, out = tmp_path / "started", tmp_path / "go", tmp_path / "out"
    started.mkdir()

    def waiting(job, place):
        """Leaves a file, once it may."""
        (started / f"{job.variant}-{job.seed}-{os.getpid()}").touch()
        while not go.exists():
            time.sleep(0.05)
        (place / job.folder).mkdir(parents=True)
        (place / job.folder / "result.json").write_text(str(job))
        return Outcome(0.0, 0.0, float(job.seed))

    node = cluster.add_node(**NODE)
    every, heard = jobs(tiny(("fups", "nops"))), Heard()

    def end_node():
        if wait_until(lambda: len(list(started.iterdir())) == 2, 200):
            cluster.remove_node(node, allow_graceful=False)
            pids = [int(path.name.rpartition("-")[2]) for path in started.iterdir()]
            wait_until(lambda: not all(map(psutil.pid_exists, pids)), 60)
        go.touch()

    ending = threading.Thread(target=end_node)
    ending.start()
    try:
        backend = OnRay(cluster.address, cpus=1.0, gpus=0.0, memory_gib=1.0)
        backend.run(waiting, every, out, heard)
    finally:
        ending.join()
    assert {folder: o.value for folder, o in heard.outcomes.items()} == {
        job.folder: float(job.seed) for job in every
    }
    for job in every:
        assert (out / job.folder / "result.json").read_text() == str(job)
    assert len(list(started.iterdir())) == len(every) + 1, "the run of the dead node began twice"


def test_a_study_whose_driver_is_killed_goes_on(cluster, places, whole, tmp_path):
    where = ["--backend", "ray", "--ray-address", cluster.address, "--memory-gib", "1"]
    command = [sys.executable, "-m", "adaps", *COMPARE_ONE, *where, "--out", str(tmp_path)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: finished(tmp_path) and begun(places), 200)
    finally:
        first.kill()
        first.wait()
    kept, done = files(tmp_path), len(finished(tmp_path))
    assert done == 1
    assert wait_until(lambda: not workers(), 30), "its runs go on without it"
    last = tmp_path / jobs(tiny())[-1].folder
    half = last.with_name(f".{last.name}")
    half.mkdir(parents=True, exist_ok=True)  # as if it had died while it brought files
    (half / "result.json").write_text("{")
    second = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert "2 runs, 1 of them done before" in second.stderr
    assert files(tmp_path).items() >= kept.items()
    expected = contents(whole / "study")
    found = contents(tmp_path)
    assert found == {name: expected[name] for name in found}
    assert len(finished(tmp_path)) == 2
    assert (tmp_path / "report.html").exists()
    assert not half.exists()
    assert not list(places.iterdir()), "what killed runs leave on a node is removed by the next"


def begun(places):
    return list(places.glob("*/runs/*/*/*/config.json"))


def workers():
    """This process's descendants that carry out a run for a Ray cluster."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "ray::_work_there" in " ".join(process.cmdline()):
                found.append(process)
    return found


def files(out):
    """Everything in the folders of finished runs: bytes, and when they were written."""
    folders = [path.parent for path in finished(out)]
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def test_no_cluster_is_said_in_one_line():
    with pytest.raises(UserError, match="no Ray cluster at --ray-address 127") as error:
        OnRay("127.0.0.1:1", cpus=1.0, gpus=0.0, memory_gib=1.0)
    assert "\n" not in str(error.value)


@pytest.fixture
def silent():
    """An address that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_what_listens_and_never_answers_is_given_up(scheme, silent, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(on_ray, "JOIN_SECONDS", 3.0)
    monkeypatch.chdir(tmp_path)
    address = f"{scheme}{silent}"
    assert main([*COMPARE_ONE, "--backend", "ray", "--ray-address", address, "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert f"no Ray cluster at --ray-address {address}: " in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    assert not [p for p in psutil.Process().children(recursive=True) if silent in str(p.cmdline())]


def test_a_cluster_that_there_is_not_leaves_no_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for address in ("hello world", "127.0.0.1:1", f"{'a' * 300}:1", "localhost:²"):
        where = ["--backend", "ray", "--ray-address", address, "--out", "out"]
        assert main([*COMPARE_ONE, *where]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"adaps: no Ray cluster at --ray-address {address}: ")
        assert error.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_waiting_for_a_cluster_can_be_interrupted(silent, tmp_path):
    where = ["--backend", "ray", "--ray-address", silent, "--out", str(tmp_path / "out")]
    waiting = subprocess.Popen([*INTERRUPTIBLE, *COMPARE_ONE, *where], stderr=subprocess.PIPE)
    process = psutil.Process(waiting.pid)
    try:
        assert wait_until(process.children, 60), "it never began to connect"
        waiting.send_signal(signal.SIGTERM)
        assert waiting.wait(20) == 143
    finally:
        waiting.kill()
        waiting.communicate()
    assert not (tmp_path / "out").exists()
