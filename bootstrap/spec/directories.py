"""The paths in a cluster.yaml: absolute where they are on a node, and nowhere that a system needs for itself."""

from __future__ import annotations

import posixpath
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field

from bootstrap import paths
from bootstrap.spec.faults import Wrong, quoted

_SYSTEM = (  # https://refspecs.linuxfoundation.org/FHS_3.0/fhs/index.html
    *("/", "/bin", "/boot", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt", "/root", "/sbin"),
    *("/srv", "/usr", "/usr/bin", "/usr/lib", "/usr/local", "/usr/sbin", "/var", "/var/lib", "/var/log"),
)
_EMPTIED = ("/dev", "/proc", "/run", "/sys", "/tmp", "/var/run", "/var/tmp")  # noqa: S108 (refused, not used)
_OURS = (paths.KUBERNETES, paths.KUBELET, paths.OURS)


def absolute(text: str) -> str:
    """A path from the root, without detours."""
    if not text.startswith("/") or "\0" in text:
        raise Wrong(f"{quoted(text)} is not an absolute path", "it begins with /")
    plain = "/" + posixpath.normpath(text).lstrip("/")
    if plain != text:
        raise Wrong(f"{quoted(text)} is not the plain way to write this path", f"write {plain}")
    return text


def local(text: str) -> str:
    """A path on the workstation."""
    if "\0" in text:
        raise Wrong("no path holds the character U+0000", "remove it")
    return text


def own_directory(text: str) -> str:
    """A directory that one program has to itself: none of the system's, none that the system empties."""
    path = PurePosixPath(absolute(text))
    if text in _SYSTEM:
        raise Wrong(f"{text} belongs to the system", "a directory of its own")
    if any(path.is_relative_to(root) for root in _EMPTIED):
        raise Wrong(f"{text} is emptied by the system", "a directory that outlives a reboot")
    return text


def data_directory(text: str) -> str:
    """A directory of its own that is neither above nor below one where other files of Kubernetes lie."""
    own_directory(text)
    for ours in _OURS:
        if nested(text, ours):
            raise Wrong(f"{text} is not apart from {ours}, where other files lie", f"such as {paths.ETCD}")
    return text


def nested(one: str, other: str) -> bool:
    """Whether one of two directories is the other, or lies in it."""
    first, second = PurePosixPath(one), PurePosixPath(other)
    return first.is_relative_to(second) or second.is_relative_to(first)


AbsolutePath = Annotated[str, AfterValidator(absolute), Field(json_schema_extra={"pattern": "^/"})]
DataDirectory = Annotated[str, AfterValidator(data_directory), Field(json_schema_extra={"pattern": "^/"})]
LocalPath = Annotated[
    str, Field(min_length=1), AfterValidator(local)
]  # on the workstation, from the directory of cluster.yaml
