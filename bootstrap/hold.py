"""What a node should have where some phases are held: of these, exactly what its record has."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import PurePosixPath

from bootstrap import paths
from bootstrap.world import GENERATION, File, Record, stamped


def hold(files: Iterable[File], record: Record, phases: AbstractSet[str]) -> tuple[tuple[File, ...], dict[str, str]]:
    """The files, stamped, and the generations; what a held phase wanted last stays as it is, even where it drifted.

    A part goes on with the generation it has while the file that starts it is held; one that nothing starts is none.
    """
    if not phases:
        return stamped(files)
    held = {path: origin for path, origin in record.origins.items() if origin.phase in phases}
    free = [file for file in files if file.phase not in phases and file.path not in held]
    kept = [
        File(path, b"", part=origin.part, secret=origin.secret, phase=origin.phase, keeps=record.files[path])
        for path, origin in held.items()
    ]
    whole, runs = stamped([*free, *kept])
    started = {file.part for file in free if GENERATION in file.content} | {"host"}
    stays = {file.part for file in kept if starts(file.path, record.manifests)} & record.runs.keys()
    runs = {part: generation for part, generation in runs.items() if part in started}
    return whole, runs | {part: record.runs[part] for part in stays}


def starts(path: str, manifests: str) -> bool:
    """Whether this file tells a part its generation: a manifest, or the kubelet's unit."""
    return path == paths.KUBELET_DROPIN or str(PurePosixPath(path).parent) == manifests
