"""Runs on a Ray cluster of two nodes, one of which dies."""

import threading
import time
import warnings

import pytest
from teams import contents, quiet, tiny

from adaps.errors import UserError
from adaps.study import carry_out
from adaps.study.local import Local
from adaps.study.on_ray import OnRay

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "memory": 4 * 2**30}


@pytest.fixture
def cluster():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster  # noqa: PLC0415

        made = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        yield made
        made.shutdown()


def test_a_node_that_dies_costs_nothing(cluster, tmp_path):
    study = tiny(("fups", "adaps"))
    node = cluster.add_node(**NODE)
    out = tmp_path / "far"
    ended = threading.Event()

    def end_node():
        until = time.monotonic() + 120
        while not list(out.glob("runs/*/*/*/result.json")) and time.monotonic() < until:
            time.sleep(0.1)
        cluster.remove_node(node, allow_graceful=False)
        ended.set()

    ending = threading.Thread(target=end_node)
    ending.start()
    try:
        backend = OnRay(cluster.address, cpus=1.0, gpus=0.0, memory_gib=1.0)
        assert carry_out(study, out, backend, quiet()) == {}
    finally:
        ending.join()
    assert ended.is_set()
    near = tmp_path / "near"
    carry_out(study, near, Local(2, 2.0), quiet())
    assert contents(out) == contents(near)


def test_no_cluster_is_said_in_one_line():
    with pytest.raises(UserError, match="no Ray cluster at --ray-address 127") as error:
        OnRay("127.0.0.1:1", cpus=1.0, gpus=0.0, memory_gib=1.0)
    assert "\n" not in str(error.value)
