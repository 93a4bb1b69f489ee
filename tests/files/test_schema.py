"""What is written and what is read are of one schema, whatever a file holds."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import adaps
from adaps.errors import UserError
from adaps.files.schema import ConfigFile, MetricsLine, Result, RunIdentity, RunSharing, read
from adaps.report.data import read_run

FILES = {
    "config.json": ConfigFile,
    "identity.json": RunIdentity,
    "sharing.json": RunSharing,
    "result.json": Result,
}
JUNK = [None, True, -1, 2**70, 0.5, float("nan"), float("inf"), "", "x", "\ud800", [], [[]], {}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of a real run, the shortest there is."""
    out = tmp_path_factory.mktemp("run") / "run"
    few = {"seeds": 1, "steps": 4_000, "gather_steps": 2_000, "evaluations": 2, "eval_episodes": 4}
    adaps.train("bps-1", "adaps", encoder=adaps.VAE(updates=20), seed=3, out=out, **few)
    return out


@pytest.mark.parametrize("name", FILES)
def test_a_run_writes_the_fields_of_the_schema_in_their_order(folder, name):
    written = json.loads((folder / name).read_text())
    assert list(written) == list(FILES[name].__struct_encode_fields__)
    read(folder / name, FILES[name])


def test_metrics_have_every_field_of_the_schema(folder):
    for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()):
        assert set(MetricsLine.__struct_encode_fields__) <= set(line)


def places(data, place=()):
    """Where something stands in JSON data."""
    yield place
    if isinstance(data, dict | list):
        for name in data if isinstance(data, dict) else range(len(data)):
            yield from places(data[name], (*place, name))


def changed(data, place, value):
    if not place:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[place[0]] = changed(data[place[0]], place[1:], value)
    return copy


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(drawn=st.data())
def test_whatever_stands_in_a_file_the_reader_copes_or_names_it(folder, drawn):
    name = drawn.draw(st.sampled_from([*FILES, "metrics.jsonl"]))
    path = folder / name
    whole = path.read_text()
    first, *rest = whole.splitlines() if name == "metrics.jsonl" else [whole]
    data = json.loads(first)
    place = drawn.draw(st.sampled_from(list(places(data))))
    line = json.dumps(changed(data, place, drawn.draw(st.sampled_from(JUNK))))
    path.write_text("\n".join([line, *rest, ""]))
    message = ""
    try:
        run = read_run(folder)
        assert run.kinds is not None
        assert run.shared is not None
        assert run.finished in (True, False)
    except UserError as error:
        message = str(error)
    finally:
        path.write_text(whole)
    assert not message or name in message or "the number of agents is not one" in message
    assert "\n" not in message
