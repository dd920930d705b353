"""Files of the workstation: whole or not at all, their owner's alone; what is no plain file is never replaced."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from bootstrap import disk
from bootstrap.errors import Problem


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_a_file_has_its_mode_whatever_the_umask_and_whatever_was_there(tmp_path: Path, mode: int, mask: int) -> None:
    there = tmp_path / "there"
    there.write_bytes(b"former")
    there.chmod(0o666)
    before = os.umask(mask)
    try:
        for path in (there, tmp_path / "new"):
            disk.write(path, b"content", mode=mode)
    finally:
        os.umask(before)
    for path in tmp_path.iterdir():
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"content", mode)


def test_who_reads_goes_on_reading_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"former")
    with path.open("rb") as reader:
        disk.write(path, b"content")
        assert reader.read() == b"former"
    assert path.read_bytes() == b"content"


def test_who_lies_in_wait_where_the_file_is_made_does_not_read_along(tmp_path: Path) -> None:
    path, waits, victim = tmp_path / "file", tmp_path / ".file.new", tmp_path / "victim"
    waits.touch(mode=0o666)
    with waits.open("rb") as reader:
        disk.write(path, b"secret")
        assert reader.read() == b""
    waits.symlink_to(victim)
    disk.write(path, b"secret")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file"]


def test_where_only_half_of_it_fits_what_was_there_stays_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"former")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, before[1]))
    try:
        with pytest.raises(Problem, match="can't write") as raised:
            disk.write(path, b"content" * 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.why == "File too large; nothing is half written"
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"former"]


@pytest.mark.parametrize("place", ["no/such/directory", "file/below", "directory", "x" * 300])
def test_a_place_where_no_file_can_be_is_told(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    with pytest.raises(Problem, match="can't write") as raised:
        disk.write(tmp_path / place, b"content")
    assert raised.value.next == "name another file, or make room for it"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["directory", "file"]


def test_what_is_no_plain_file_is_written_into_and_stays_what_it_is(tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(target)
    disk.write(link, b"content")
    assert (link.is_symlink(), target.read_bytes()) == (True, b"content")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        disk.write(pipe, b"content")
        assert (pipe.is_fifo(), os.read(reader, 100)) == (True, b"content")
    finally:
        os.close(reader)


def test_a_device_that_is_full_is_told(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/full")
    with pytest.raises(Problem, match="can't write into") as raised:
        disk.write(tmp_path / "link", b"content")
    assert raised.value.why == "No space left on device"
