"""The feature bank: stored tables, damaged files, removal of old entries, content hashes."""

import multiprocessing
import os

import pytest
import torch
from torch import nn

from prompting.feature_bank import HEADER_BYTES, FeatureBank, FileDigests, tower_digest

KEY = {"tower": "t", "files": "f"}


def fail():
    raise AssertionError("computed again")


def test_a_table_is_computed_once_and_read_back(tmp_path):
    table = torch.randn(5, 3)
    assert torch.equal(FeatureBank(tmp_path).get(KEY, lambda: table), table)
    stored = FeatureBank(tmp_path).get(KEY, fail)
    assert torch.equal(stored, table)
    stored[0] = 0  # must not change the file
    assert torch.equal(FeatureBank(tmp_path).get(KEY, fail), table)
    assert FeatureBank(tmp_path).read({**KEY, "files": "other"}) is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_dtypes(tmp_path, dtype):
    table = torch.randn(4, 2).to(dtype)
    assert torch.equal(FeatureBank(tmp_path).put(KEY, table), table)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "header"])
def test_a_damaged_file_is_computed_again(tmp_path, damage, capsys):
    table = torch.randn(5, 3)
    bank = FeatureBank(tmp_path)
    bank.put(KEY, table)
    path = bank.path_of(KEY)
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[HEADER_BYTES + 7] ^= 1
    elif damage == "header":
        content[3] ^= 255
    path.write_bytes({"cut": content[:-4], "empty": b""}.get(damage, content))
    os.utime(path, (1, 1))
    assert FeatureBank(tmp_path).read(KEY) is None
    assert not path.exists() and "is damaged" in capsys.readouterr().out
    assert torch.equal(FeatureBank(tmp_path).get(KEY, lambda: table + 1), table + 1)


def test_an_interrupted_writer_leaves_no_file(tmp_path, monkeypatch):
    bank = FeatureBank(tmp_path)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        bank.put(KEY, torch.ones(2, 2))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_not_an_error(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    table = torch.ones(2, 2)
    assert torch.equal(FeatureBank(tmp_path / "file" / "bank").get(KEY, lambda: table), table)
    assert str(tmp_path / "file" / "bank") in capsys.readouterr().out


def test_the_least_recently_used_are_removed_first(tmp_path):
    bank = FeatureBank(tmp_path, limit_bytes=3 * (HEADER_BYTES + 4000))
    for number in range(3):
        bank.put({"n": number}, torch.zeros(1000))
        os.utime(bank.path_of({"n": number}), (number, number))
    bank.read({"n": 0})  # now the most recently used
    bank.put({"n": 3}, torch.zeros(1000))
    assert [bank.path_of({"n": n}).exists() for n in range(4)] == [True, False, True, True]
    assert bank.shrink(0) > 0 and bank.entries() == []


def _write(folder):
    bank = FeatureBank(folder)
    for round_ in range(20):
        bank.put({"round": round_}, torch.full((200, 50), float(round_)))


def test_two_writers_at_once(tmp_path):
    processes = [multiprocessing.get_context("spawn").Process(target=_write, args=(str(tmp_path),)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    bank = FeatureBank(tmp_path)
    for round_ in range(20):
        assert torch.equal(bank.get({"round": round_}, fail), torch.full((200, 50), float(round_)))
    assert len(list(tmp_path.iterdir())) == 20


def test_digests_depend_on_contents(tmp_path):
    a, b = tmp_path / "a.jpg", tmp_path / "b.jpg"
    a.write_bytes(b"1")
    b.write_bytes(b"2")
    digests = FileDigests(tmp_path / "bank")
    first = digests.of([str(a), str(b)])
    for folder in (tmp_path / "bank", "/dev/null/x"):
        assert FileDigests(folder).of([str(a), str(b)]) == first
    assert digests.of([str(b), str(a)]) != first
    a.write_bytes(b"3")
    os.utime(a, (5, 5))
    assert digests.of([str(a), str(b)]) != first
    with pytest.raises(OSError, match="none.jpg"):
        digests.of([str(tmp_path / "none.jpg")])


def test_the_digest_depends_on_weights():
    module = nn.Linear(3, 2)
    first = tower_digest(module)
    assert tower_digest(module) == first
    with torch.no_grad():
        module.weight[0, 0] += 1e-3
    assert tower_digest(module) != first


def test_the_digest_depends_on_structure():
    plain, other = nn.Sequential(nn.Linear(2, 2), nn.GELU()), nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    other.load_state_dict(plain.state_dict())
    assert tower_digest(plain) != tower_digest(other)


def test_a_read_only_bank_can_be_read(tmp_path, monkeypatch):
    table = torch.ones(2, 2)
    FeatureBank(tmp_path).put(KEY, table)
    monkeypatch.setattr(os, "utime", lambda *_: (_ for _ in ()).throw(PermissionError))
    bank = FeatureBank(tmp_path)
    assert torch.equal(bank.get(KEY, fail), table) and bank.path_of(KEY).exists()


def test_an_unreadable_digest_cache_is_ignored(tmp_path):
    (tmp_path / "digests.sqlite").write_bytes(b"something else entirely, and long enough not to be an empty file" * 20)
    image = tmp_path / "a.jpg"
    image.write_bytes(b"1")
    assert FileDigests(tmp_path).of([str(image)]) == FileDigests("/dev/null/x").of([str(image)])
