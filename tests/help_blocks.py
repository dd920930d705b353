"""README's help blocks, held to what the program really prints: `python -m tests.help_blocks --check | --write`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent.parent
README = HERE / "README.md"
BLOCK = re.compile(r"(<!-- output: (?P<command>bootstrap [^>]*?) -->\n```text\n)(?P<text>.*?)(```)", re.DOTALL)


def printed(command: str) -> str:
    """What a command of ours prints on a screen of 100 columns."""
    words = [sys.executable, "-m", *command.split()]
    done = subprocess.run(
        words, capture_output=True, text=True, check=True, cwd=HERE, env={"COLUMNS": "100", "PATH": ""}
    )
    return done.stdout.replace("python -m bootstrap", "bootstrap").rstrip()


def renewed(text: str) -> str:
    """The text with every block as it is printed today."""
    return BLOCK.sub(lambda found: found[1] + printed(found["command"]) + "\n" + found[4], text)


def main(argument: str) -> int:
    """The exit code: 1 when --check finds a block that lies."""
    now = README.read_text()
    then = renewed(now)
    if argument == "--write":
        README.write_text(then)
    elif now != then:
        print("README's help blocks are not what the program prints: make fmt", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
