"""The only module that writes container images: one layer in a docker-archive tar, the same bytes every time."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

Content = Path | bytes | str  # a file copied, a file written, where a symbolic link points


@dataclass(frozen=True, slots=True)
class Image:
    """An image from scratch. `files`: absolute path -> content, all 0755 and root's; `path` is its PATH, and
    `command` what runs where a pod asks for nothing else."""

    tag: str
    files: Mapping[str, Content]
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    path: str = "/usr/local/bin"


def write(image: Image, target: Path) -> None:
    """Write the archive that `ctr images import` and `podman load` take.

    Layout: https://github.com/moby/docker-image-spec/blob/v1.3.1/spec.md#combined-image-json--filesystem-changeset-format
    """
    layer = target.with_name(f"{target.name}.layer")
    with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as tar:
        for folder in _folders(image.files):
            tar.addfile(_member(folder, tarfile.DIRTYPE))
        for path, content in sorted(image.files.items()):
            _add(tar, path, content)
    with layer.open("rb") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": list(image.entrypoint),
            "Cmd": list(image.command),
            "Env": [f"PATH={image.path}"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    text = json.dumps(config, sort_keys=True).encode()
    name = f"{hashlib.sha256(text).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [image.tag], "Layers": [f"{digest}/layer.tar"]}]
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, name, text)
        _add(tar, f"{digest}/layer.tar", layer)
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    layer.unlink()


def _folders(files: Mapping[str, Content]) -> list[str]:
    """Every directory above a file, outermost first."""
    return sorted({str(above) for path in files for above in PurePosixPath(path).parents} - {"/"})


def _add(tar: tarfile.TarFile, path: str, content: Content) -> None:
    match content:
        case str():
            link = _member(path, tarfile.SYMTYPE)
            link.linkname = content
            tar.addfile(link)
        case bytes() | Path():
            with _opened(content) as (stream, size):
                member = _member(path, tarfile.REGTYPE)
                member.size = size
                tar.addfile(member, stream)


def _member(path: str, kind: bytes) -> tarfile.TarInfo:
    """A header without owner names and times, so that equal files make equal digests."""
    member = tarfile.TarInfo(path.lstrip("/"))
    member.type, member.mode = kind, 0o755
    return member


@contextmanager
def _opened(content: Path | bytes) -> Iterator[tuple[io.BufferedIOBase, int]]:
    if isinstance(content, bytes):
        yield io.BytesIO(content), len(content)
        return
    with content.open("rb") as stream:
        yield stream, content.stat().st_size
