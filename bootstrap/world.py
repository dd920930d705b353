"""What is wanted, seen, known and done, as plain values: File, Facts, World, and the four steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class File:
    """A file a node should have; `part` is what restarts when it differs: "etcd", "kubelet", … ("": nothing does)."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o600
    part: str = ""
    secret: bool = True  # never read back nor shown

    @property
    def fingerprint(self) -> str:
        """Content, mode and owner (always root) in one word, as the node's own script computes it."""
        return f"{sha256(self.content).hexdigest()}:{self.mode:o}"
