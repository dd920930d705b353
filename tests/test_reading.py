"""Files as they are read from a node to show what differs: whatever lies there, and what the shell makes of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "templates/scripts/read.sh"


def read(shell: str, *words: Path | str) -> list[bytes]:
    """What the script prints, field by field."""
    program = (shell, str(SCRIPT), *map(str, words))
    return subprocess.run(program, check=True, capture_output=True).stdout.split(b"\0")


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_content_comes_with_since_when_and_is_left_out_after_the_dashes(shell: str, tmp_path: Path) -> None:
    one, two = tmp_path / "o n'e", tmp_path / "two"
    one.write_text("a: 1\n")
    two.write_text("secret")
    told = read(shell, one, tmp_path / "missing", "--", two)
    assert told == [
        *(str(one).encode(), str(int(one.stat().st_ctime)).encode(), b"a: 1\n"),
        *(str(two).encode(), str(int(two.stat().st_ctime)).encode(), b""),
        b"",
    ]


@pytest.mark.parametrize("content", [b"\0", b"a\0b\0\0c", b"\xff\xfe\0", b"", b"x" * 3_000_000])
def test_anything_that_lies_there_is_one_field(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    path, since, told, end = read("sh", file)
    assert (path, end) == (str(file).encode(), b"")
    assert since.isdigit()
    assert told == content.replace(b"\0", b"")[: 1 << 20]
