"""The feature bank: stored tables, damaged files, removal of old entries, content hashes."""

import errno
import json
import multiprocessing
import os
import random
import sqlite3
import stat

import pytest
import torch
from torch import nn

from common.errors import InputError
from common.files import sealed
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


# -- headers --


def header_of(path):
    return json.loads(path.read_bytes()[:HEADER_BYTES].rstrip(b"\0"))


def with_header(path, header):
    text = json.dumps(header).encode().ljust(HEADER_BYTES, b"\0")
    path.write_bytes(text + path.read_bytes()[HEADER_BYTES:])


def test_any_flipped_bit_is_noticed_or_harmless(tmp_path):
    """In header, padding and rows: what is read is what was stored."""
    table = torch.randn(5, 3)
    FeatureBank(tmp_path).put(KEY, table)
    path = FeatureBank(tmp_path).path_of(KEY)
    intact, draw = path.read_bytes(), random.Random(0)
    length = len(intact[:HEADER_BYTES].rstrip(b"\0"))
    for place in [*range(length), *draw.sample(range(length, HEADER_BYTES), 20), *range(HEADER_BYTES, len(intact))]:
        content = bytearray(intact)
        content[place] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        read = FeatureBank(tmp_path).read(KEY)
        assert read is None or torch.equal(read, table), place
        assert (read is None) == (not path.exists())
        assert read is None or place < HEADER_BYTES


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [3, 5]},
        {"shape": [5]},
        {"shape": [-5, -3]},
        {"shape": [5, 4]},
        {"shape": []},
        {"shape": [10**12, 10**12]},
        {"shape": "53"},
        {"shape": [5.0, 3.0]},
        {"dtype": "<i4"},
        {"dtype": "|O"},
        {"dtype": 4},
        {"crc32": "0"},
        {"key_hash": "0"},
        {"key": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("resealed", [True, False])
def test_a_header_must_be_that_of_the_key_and_fit_the_file(tmp_path, change, resealed):
    FeatureBank(tmp_path).put(KEY, torch.randn(5, 3))
    path = FeatureBank(tmp_path).path_of(KEY)
    header = {**header_of(path), **change}
    seal = header.pop("sha256")
    with_header(path, sealed(header) if resealed else {**header, "sha256": seal})
    read = FeatureBank(tmp_path).read(KEY)
    if resealed and change in ({"shape": [3, 5]}, {"key": None}):  # the file fits; the key itself is for readers
        assert read is not None
    else:
        assert read is None and not path.exists()


def test_an_entry_in_the_place_of_another_is_not_taken(tmp_path):
    bank = FeatureBank(tmp_path)
    bank.put({"n": 1}, torch.ones(2, 2))
    bank.put({"n": 2}, torch.zeros(2, 2))
    bank.path_of({"n": 1}).write_bytes(bank.path_of({"n": 2}).read_bytes())
    assert FeatureBank(tmp_path).read({"n": 1}) is None


def test_long_keys_are_compared_too(tmp_path):
    bank = FeatureBank(tmp_path)
    keys = [{"names": ["x" * 90] * 100, "n": n} for n in (1, 2)]
    for n, key in enumerate(keys):
        bank.put(key, torch.full((2, 2), float(n)))
    assert header_of(bank.path_of(keys[0]))["key"] == "(long)" and bank.read(keys[0])[0, 0] == 0
    bank.path_of(keys[0]).write_bytes(bank.path_of(keys[1]).read_bytes())
    assert FeatureBank(tmp_path).read(keys[0]) is None


def test_an_entry_of_an_earlier_version_is_computed_again(tmp_path, capsys):
    table = torch.randn(5, 3)
    bank = FeatureBank(tmp_path)
    bank.put(KEY, table)
    header = header_of(bank.path_of(KEY))
    with_header(bank.path_of(KEY), {name: header[name] for name in ("shape", "dtype", "crc32", "key")})
    assert torch.equal(FeatureBank(tmp_path).get(KEY, lambda: table + 1), table + 1)
    assert "earlier version" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["pipe", "folder", "dangling link", "device"])
def test_what_is_not_a_file_is_not_opened(tmp_path, kind):
    bank = FeatureBank(tmp_path)
    path, table = bank.path_of(KEY), torch.ones(2, 2)
    {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "dangling link": lambda: path.symlink_to(tmp_path / "nowhere"),
        "device": lambda: path.symlink_to("/dev/zero"),
    }[kind]()
    assert torch.equal(bank.get(KEY, lambda: table), table)


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_files_follow_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        FeatureBank(tmp_path / "bank").put(KEY, torch.ones(2, 2))
        FileDigests(tmp_path / "bank").mark_read(["a"], "reader")
    finally:
        os.umask(before)
    assert stat.S_IMODE(FeatureBank(tmp_path / "bank").path_of(KEY).stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line(tmp_path, monkeypatch, number):
    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match=f"no space left on {tmp_path}"):
        FeatureBank(tmp_path).put(KEY, torch.ones(2, 2))
    assert list(tmp_path.iterdir()) == []


# -- the cache of digests --


def test_a_changed_row_of_the_cache_is_computed_again(tmp_path):
    image = tmp_path / "a.jpg"
    image.write_bytes(b"1")
    digests = FileDigests(tmp_path / "bank")
    (right,) = digests.each([str(image)])
    for statement in ("UPDATE contents SET digest = 'f'", "UPDATE contents SET checksum = 1"):
        with sqlite3.connect(digests.path) as database:
            database.execute(statement)
        assert digests.each([str(image)]) == [right]


def test_contents_that_were_read_are_remembered_by_reader(tmp_path):
    digests = FileDigests(tmp_path)
    assert digests.unread(["a", "b"], "1.0") == {"a", "b"}
    digests.mark_read(["a"], "1.0")
    assert digests.unread(["a", "b"], "1.0") == {"b"} and digests.unread(["a"], "2.0") == {"a"}
    with sqlite3.connect(digests.path) as database:
        database.execute("UPDATE readable SET digest = 'b'")
    assert digests.unread(["a", "b"], "1.0") == {"a", "b"}


def test_a_pipe_is_not_hashed(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(OSError, match="regular"):
        FileDigests(tmp_path).each([str(tmp_path / "a.jpg")])
    (tmp_path / "bank").mkdir()
    os.mkfifo(tmp_path / "bank" / "digests.sqlite")
    (tmp_path / "b.jpg").write_bytes(b"1")
    assert FileDigests(tmp_path / "bank").each([str(tmp_path / "b.jpg")])
