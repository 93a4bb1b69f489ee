"""A run's folder: what is said where its files cannot be written."""

import errno

import pytest

from adaps.errors import StorageError
from adaps.files import plain_files, run_folder

WRITES = {
    "config.json": lambda folder: folder.write_json("config.json", {}),
    "metrics.jsonl": lambda folder: folder.write_metrics(["{}"]),
    "not-finite-seed-0.safetensors": lambda folder: folder.save_batch(0, {}),
    "checkpoints/seed-0.safetensors": lambda folder: folder.save_tensors(
        run_folder.policy_file(folder.path, 0), {}, {}
    ),
    "identity.json": lambda folder: run_folder.write_json(folder.path / "identity.json", {}),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_full_disk_is_told_with_the_file_that_was_written(name, tmp_path, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "no space", str(path))

    folder = run_folder.RunFolder(tmp_path / "run")
    monkeypatch.setattr(plain_files, "sync", full)
    with pytest.raises(StorageError) as caught:
        WRITES[name](folder)
    why = "No space left on device; free some space"
    assert str(caught.value) == f"cannot write {folder.path / name}: {why}"
