"""Whatever is done to the files: what is loaded was saved just so, or it is refused.

``ADAPS_DAMAGES`` says how many times to try.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from saved import manifest_of, metadata, parts, same, sealing, write_manifest

from adaps.errors import UserError
from adaps.files.checkpoint import CheckpointError, Series, load, save

SEEDS, NUMBERS = (0, 4), (1, 2, 3)
HOSTILE = [
    *(-1, 0, 1, 7, 2**31, 2**63, 10**400, True, False, None, 1.5, 1e308, -0.0, float("nan")),
    *("", "x", "../../../outside.safetensors", "/etc/passwd", "a\n", "\ud800", "seed-4", "0" * 64),
    *([], {}, [[[]]], [2**40, 2**40], [-1, -1], {"a": {}}, "int32", "F32", ["float32"]),
]
TEXTS = [
    *(b"", b"null", b"[]", b"{}", b"3", b"\xff\xfe", b"\0" * 300, b"[" * 50_000, b'{"a":' * 5_000),
    *(b'{"format": 1, "format": 1}', b'{"format": NaN}', b'{"format": 1e999}', b"9" * 9_000),
]
NOTHING_LEFT = (FileNotFoundError, NotADirectoryError, IsADirectoryError, LookupError)
NOTHING_LEFT += (ValueError, TypeError, OverflowError, RecursionError, MemoryError, InvalidArgument)
"""What damaging raises where the damage before it left nothing that could be damaged so."""
NAMES = ("extra", "00000009", "00000003", "1", "-1", ".tmp-1-1-00000000", "99999999999")


def contents_of(seed, number):
    """What belongs to each of the checkpoints, all different."""
    return parts(number + 10 * seed), metadata(number + 10 * seed)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder that holds a run with two series, and something that is none of their business."""
    top = tmp_path_factory.mktemp("whole")
    (top / "run").mkdir()
    (top / "outside.safetensors").write_bytes(b"mine")
    for seed in SEEDS:
        for number in NUMBERS:
            save(Series(top / "run", seed), *contents_of(seed, number), keep=len(NUMBERS))
    return top


class Damages:
    """Things that happen to files, each drawn by ``data``."""

    def __init__(self, top, data):
        self.top, self.draw = top, data.draw
        self.series = [Series(top / "run", seed) for seed in SEEDS]
        self.believed = False
        """Whether a manifest was made to look right, so that its metadata may be anything."""

    def one(self):
        kinds = (self.flip, self.cut, self.lengthen, self.remove, self.swap, self.swap_folders)
        kinds += (self.mix, self.add, self.link, self.write, self.header)
        kinds += (self.edit, self.edit, self.edit)
        kind = self.draw(st.sampled_from(kinds))
        event(kind.__name__)
        try:
            kind()
        except NOTHING_LEFT:
            event("nothing left to damage")

    def file(self):
        # Mostly the one that would be loaded.
        series = self.draw(st.sampled_from([self.series[0]] * 3 + [self.series[1]]))
        return series.path(self.draw(st.sampled_from([3, 3, 3, 2, 1])))

    def flip(self):
        path = self.file()
        data = bytearray(path.read_bytes())
        if not data:
            return
        for _ in range(self.draw(st.integers(1, 3))):
            bit = self.draw(st.integers(0, len(data) * 8 - 1))
            data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)

    def cut(self):
        path = self.file()
        os.truncate(path, self.draw(st.integers(0, max(0, path.stat().st_size - 1))))

    def lengthen(self):
        path = self.file()
        os.truncate(path, path.stat().st_size + self.draw(st.sampled_from([1, 8, 2**20, 2**42])))

    def remove(self):
        path = self.draw(st.sampled_from([self.file(), self.file(), self.series[0].folder]))
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def swap(self):
        self._swap(self.file(), self.file())

    def swap_folders(self):
        self._swap(*(series.folder for series in self.series))

    def _swap(self, one, other):
        if one != other:
            aside = self.top / "run" / "aside"
            one.rename(aside)
            other.rename(one)
            aside.rename(other)

    def mix(self):
        """Seal, manifest and tensors of one file, and some of another's in their place."""
        path, other = self.file(), self.file()
        own, others = (file.read_bytes().split(b"\n", 2) for file in (path, other))
        number = self.draw(st.integers(0, 2))
        own[number] = others[number]
        path.write_bytes(b"\n".join(own))

    def add(self):
        path = self.series[0].folder / self.draw(st.sampled_from(NAMES))
        kind = self.draw(st.sampled_from(["file", "folder", "link", "pipe"]))
        if not path.exists():
            make = {
                "file": lambda: path.write_bytes(b"added"),
                "folder": path.mkdir,
                "link": lambda: path.symlink_to(self.top),
                "pipe": lambda: os.mkfifo(path),
            }
            make[kind]()

    def link(self):
        """Something is moved out of the run, and a link put in its place."""
        series = self.series[0].folder
        path = self.draw(st.sampled_from([self.file(), self.file(), series, series.parent]))
        there = self.top / f"moved-{len(list(self.top.iterdir()))}"
        path.rename(there)
        path.symlink_to(there)

    def edit(self):
        """One value or name in a seal or a manifest becomes another."""
        path = self.file()
        if self.draw(st.integers(0, 3)) == 0:
            seal, rest = path.read_bytes().split(b"\n", 1)
            path.write_bytes(json.dumps(self.changed(json.loads(seal))).encode() + b"\n" + rest)
            return
        believed = self.draw(st.booleans())
        self.believed |= believed
        write_manifest(path, self.changed(manifest_of(path)), believed)

    def changed(self, data):
        inner = data
        while True:
            key = self.draw(
                st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner)))
            )
            if (
                not inner[key]
                or not isinstance(inner[key], dict | list)
                or self.draw(st.booleans())
            ):
                break
            inner = inner[key]
        value = self.draw(st.sampled_from(HOSTILE))
        match self.draw(st.sampled_from(["value", "value", "name", "gone"])):
            case "value":
                inner[key] = value
            case "name":
                inner[str(value)] = inner.pop(key)
            case "gone":
                del inner[key]
        return data

    def write(self):
        self.file().write_bytes(self.draw(st.sampled_from(TEXTS)))

    def header(self):
        """What safetensors says of itself is changed, and the seal agrees to it."""
        path = self.file()
        _, manifest, tensors = path.read_bytes().split(b"\n", 2)
        data = bytearray(tensors)
        length = int.from_bytes(data[:8], "little")
        if self.draw(st.booleans()):
            lie = self.draw(
                st.sampled_from([0, 1, length - 1, length + 8, 2**31, 2**63, 2**64 - 1])
            )
            data[:8] = lie.to_bytes(8, "little")
        else:
            at = self.draw(st.integers(8, 8 + length - 1))
            data[at] = self.draw(st.integers(0, 255))
        body = manifest + b"\n" + data
        path.write_bytes(sealing(body) + b"\n" + body)


def outside(top):
    """All but the checkpoints, as they are and where links lead."""
    found = {}
    for folder, folders, files in os.walk(top):
        if Path(folder) == top / "run" / "checkpoints":
            folders.clear()
        for name in [*folders, *files]:
            path = Path(folder, name)
            plain = path.is_file() and not path.is_symlink()
            found[str(path)] = path.stat().st_size if plain else path.is_symlink()
    return found


def assert_saved(found, believed):
    """It is one of those that were saved, array for array."""
    matching = [
        known
        for seed in SEEDS
        for number in NUMBERS
        if (known := contents_of(seed, number))[0].keys() == found.parts.keys()
        and all(same(known[0][part], found.parts[part]) for part in found.parts)
    ]
    assert len(matching) == 1
    assert believed or found.metadata == matching[0][1]
    json.dumps(found.metadata)


@pytest.mark.timeout(3_000)  # of a thousand damages, which take some minutes
@settings(
    max_examples=int(os.environ.get("ADAPS_DAMAGES", "60")),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_what_is_loaded_was_saved_just_so(whole, data):
    with tempfile.TemporaryDirectory() as made:
        top = Path(made) / "top"
        shutil.copytree(whole, top)
        damages = Damages(top, data)
        for _ in range(data.draw(st.integers(1, 4))):
            damages.one()
        before = outside(top)
        series, said = damages.series[0], []
        try:
            found = load(series, said.append)
            assert_saved(found, damages.believed)
            event("loaded")
        except UserError as error:
            said.append(str(error))
            event("refused")
        assert all(len(text.splitlines()) == 1 for text in said)
        refused = ""
        try:
            path = save(series, *contents_of(0, 2))
            assert load(series, said.append).path == path
        except CheckpointError as error:
            refused = str(error)
        assert not refused or "symbolic link" in refused
        assert outside(top) == before
