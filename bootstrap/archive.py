"""A Turn as one tar archive: the script, its moves, its records, every file beside its place; a Former out of one."""

from __future__ import annotations

import io
import re
import shlex
import tarfile
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from bootstrap import facts, paths, template_files
from bootstrap.errors import Code, Problem
from bootstrap.world import Facts, File, Former, Origin, Record, Turn

STAGE = f"{paths.OURS}/turn"
ORDER = ("kube-controller-manager", "kube-apiserver", "etcd")  # they stop in this order, schedulers before them
GRACE = 30  # seconds from SIGTERM to SIGKILL of a part that the file no longer has; Kubernetes' default
KUBELETS_OWN = frozenset({"kubelet", "kube-apiserver", "etcd"})  # what makes a turn stop the kubelet

FORMER = f"""cd {paths.OURS} && [ -f former/record.json ] || exit 0
manifests=$1
set -- former turn/settled.json
[ ! -f "$manifests/etcd.yaml" ] || set -- "$@" -C "$manifests" etcd.yaml
tar -cf - "$@" | base64"""
# Whoever is at work here from outside a turn's unit holds our directory itself: what it left is what became of it.
# A push that stands still, since its line does, is not waited for.
_ALONE = f"""exec 8<{paths.OURS}
until flock -w 10 8; do
    systemctl is-active --quiet bootstrap-turn || {{ echo another turn is at work on this node >&2; exit 3; }}
done
"""
BACK = f"""[ -e {STAGE}/turn.sh ] || {{ echo keeps what it had; exit 0; }}
{_ALONE}exec sh {STAGE}/turn.sh begin back "$1"
"""
OUTCOME = f"""cd {paths.OURS} 2>/dev/null || {{ echo gone; exit 0; }}
{_ALONE}[ ! -e lock ] || {{ exec 9<lock && flock -w 320 9; }}
cat result 2>/dev/null || {{ [ -e record.json ] && echo unbegun || echo gone; }}"""
KEPT = "former/files/"  # beside the record, the files of the former generation, by their path
IMAGE = re.compile(rb'^ +image: "([^"\n]+)"$', re.MULTILINE)  # as our own manifests have it


def push(epoch: int) -> str:
    """What a node does with a packed turn on stdin: it takes it all, or nothing; "$@" are the directories it needs.

    The lock, and the epoch, are looked at before anything of another turn is touched. A line that broke may never end:
    nobody waits for the rest of it for longer than two minutes.
    """
    return (
        f"umask 022; mkdir -p -m 700 {paths.OURS} && exec 8<{paths.OURS} 9>{paths.OURS}/lock &&"
        " flock -n 8 && flock -n 9 || { echo another turn is at work on this node >&2; exit 3; }; "
        f"known=$(cat {paths.OURS}/epoch 2>/dev/null); "
        f'[ "${{known:-0}}" -le {epoch} ] ||'
        f' {{ echo "epoch $known was taken since, this is of epoch {epoch}" >&2; exit 4; }}; '
        f'[ "$known" = {epoch} ] || {{ echo {epoch} >{paths.OURS}/epoch.new &&'
        f" mv {paths.OURS}/epoch.new {paths.OURS}/epoch; }} || exit 3; "
        f'rm -rf {STAGE} {paths.OURS}/result; for d in "$@"; do'
        f' [ -d "$d" ] || {{ mkdir "$d" && echo "$d" >>{paths.OURS}/directories; }} || exit 3; done; '
        'timeout 120 tar -xpf - -C / || { for d in "$@"; do rm -f "$d"/.bootstrap-*~; done; exit 3; }; '
        f"exec 9>&-; exec sh {STAGE}/turn.sh begin go {epoch}"
    )


def staged(path: str, manifests: str) -> str:
    """Where a file waits for its rename: on the same file system, but never in the manifest directory."""
    place = PurePosixPath(path)
    if str(place.parent) == manifests:  # named apart: a scheduler's configuration is named like its manifest
        return str(place.parent.parent / f".bootstrap-{place.parent.name}-{place.name}~")
    return str(place.parent / f".bootstrap-{place.name}~")


def directories(turn: Turn) -> tuple[str, ...]:
    """Every directory the turn's files lie in, parents first; what of it the node lacks is ours to remove again."""
    found = {str(parent) for _, file in turn.put for parent in PurePosixPath(file.path).parents}
    return tuple(sorted(found - {"/", "/etc", "/var", "/var/lib"}))


def moves(turn: Turn, was: Facts, etcd: str, leave: str, graces: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """What the script does, in its order; `leave` is the command of a kubelet without an API server."""
    manifests = was.machine.manifests
    # A kubelet that runs would refuse a new pod whose port one that is dropped still holds, and not try again; and it
    # leaves alone what runs although no file changes: another generation, which it has lost sight of.
    changed = {file.part for _, file in turn.put}
    stray = {*turn.restart} & was.running.keys() - changed - {"host"}
    stops = KUBELETS_OWN & {*turn.restart} or stray or any(in_directory(path, manifests) for path in turn.drop)
    if turn.leaves:
        yield "kubelet", "leave"
    else:
        yield "kubelet", "restart" if stops or not was.record.settled else "keep"
    for image in images(turn, was):
        yield "image", image, was.machine.runtime
    # Those that do not run yet too: a swap back stops them. Who leaves stops whatever runs.
    stopping = ({*was.running} if turn.leaves else {*turn.restart}) - {"kubelet", "host"}
    last = {part: place for place, part in enumerate(ORDER)}
    for part in sorted(stopping, key=lambda part: (last.get(part, -1), part)):
        hangs = part == "kube-apiserver" and "etcd" not in was.running  # it has nothing to end in grace
        yield "stop", part, "2" if hangs else str(graces.get(part, GRACE))
    if turn.fresh:
        yield "fresh", etcd
    if turn.record.birth:
        yield "data", etcd
    for replaced, file in sorted(turn.put, key=lambda put: (in_directory(put[1].path, manifests), put[1].path)):
        whose = "ours" if file.path in was.record.files else "original"
        yield "put", file.path, staged(file.path, manifests), replaced or "-", file.fingerprint, whose
    for path in turn.drop:
        yield "drop", path, staged(path, manifests)
    if not was.record.files:
        yield "bare", "yes"
    if turn.purge:
        yield "purge", "yes"
    yield "leave", leave


def images(turn: Turn, was: Facts) -> list[str]:
    """What has to be on the node before something that runs is stopped for it."""
    replacing = (
        file for _, file in turn.put if file.part in was.running and in_directory(file.path, was.machine.manifests)
    )
    return sorted({name.decode() for file in replacing for name in IMAGE.findall(file.content)})


def in_directory(path: str, directory: str) -> bool:
    """Whether a file lies in this very directory."""
    return str(PurePosixPath(path).parent) == directory


def records(turn: Turn, was: Record, epoch: int) -> tuple[bytes, bytes, bytes]:
    """The record before the first rename, once healthy, and after a swap back (b"": nothing is ours)."""
    answered = bool(was.birth and was.birth.answered)
    birth = turn.record.birth and replace(turn.record.birth, answered=answered)
    both = {**was.files, **turn.record.files}
    origins = {**was.origins, **turn.record.origins}
    during = replace(turn.record, files=both, origins=origins, birth=birth or was.birth, settled=False)
    back = was
    if birth and not was.birth:
        back = replace(turn.record, files=was.files, origins=was.origins, runs=was.runs, birth=birth, settled=False)
    mine = bool(back.files or back.birth)
    during, settled, back = (replace(record, epoch=epoch) for record in (during, turn.record, back))
    return facts.to_json(during), facts.to_json(settled), facts.to_json(back) if mine else b""


def pack(turn: Turn, was: Facts, etcd: str, leave: File, graces: Mapping[str, int], *, epoch: int) -> bytes:
    """The tar, same input same bytes.

    `leave` is the configuration of the kubelet that empties a node, `graces` the seconds a part is given to end,
    `epoch` what the cluster's lock was taken with.
    """
    during, settled, back = records(turn, was.record, epoch)
    # The script gives it to a shell: `--eviction-hard=memory.available<100Mi` is a word, not a redirection.
    command = shlex.join([was.machine.kubelet, f"--config={STAGE}/{leave.path}", *was.machine.kubelet_flags])
    lines = ("\t".join(move) for move in moves(turn, was, etcd, command, graces))
    members = [
        File(f"{STAGE}/moves", ("\n".join(lines) + "\n").encode()),
        File(f"{STAGE}/turn.sh", template_files.text("scripts/turn.sh").encode()),
        File(f"{STAGE}/record.json", during),
        File(f"{STAGE}/settled.json", settled),
        File(f"{STAGE}/back.json", back),
        replace(leave, path=f"{STAGE}/{leave.path}"),
    ]
    members += [replace(file, path=staged(file.path, was.machine.manifests)) for _, file in turn.put]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for file in members:
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.size, entry.mode, entry.mtime = len(file.content), file.mode, 0
            tar.addfile(entry, io.BytesIO(file.content))
    return buffer.getvalue()


def former(node: str, packed: str, was: Facts) -> Former | None:
    """What a node's former/ holds, packed by FORMER; None where it never had another generation.

    Where a rollback did not settle, what it goes to is in place already. Problem (REFUSED) where it can't be gone back
    to: over a minor of etcd, whose data can't, or to a file that is kept nowhere.
    """
    if not packed:
        return None
    with tarfile.open(fileobj=io.BytesIO(b64decode(packed))) as tar:
        found = {entry.name: (_content(tar, entry), entry.mode & 0o7777) for entry in tar if entry.isfile()}
    on_its_way = was.record.former
    record = facts.from_json(node, found["turn/settled.json" if on_its_way else "former/record.json"][0].decode())
    if not record.files:
        return None
    kept = () if on_its_way else tuple(_kept(found, record))
    lost = [path for path, wanted in sorted(record.files.items()) if was.seen.get(path) != wanted]
    if lost := [path for path in lost if path not in {file.path for file in kept}]:
        raise Problem(
            f"{node} can't go back: its former {lost[0]} is kept nowhere",
            why="it was changed by other hands since, or a rollback was cut off in the middle",
            next="bootstrap apply",
            code=Code.REFUSED,
        )
    then = [minor for file in kept if file.part == "etcd" and (minor := _minor(file.content))]
    now = _minor(found["etcd.yaml"][0]) if "etcd.yaml" in found else ""
    if then and then[0] != now:
        raise Problem(
            f"{node} can't go back: its etcd would go from {now} to {then[0]}",
            why="data that another minor of etcd has written is not read by it",
            next="bootstrap plan",
            code=Code.REFUSED,
        )
    return Former(record, kept)


def _content(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(entry)
    return file.read() if file else b""


def _kept(found: Mapping[str, tuple[bytes, int]], record: Record) -> Iterator[File]:
    for name, (content, mode) in found.items():
        path = f"/{name.removeprefix(KEPT)}"
        if name.startswith(KEPT) and path in record.files:
            origin = record.origins.get(path, Origin("", "", secret=True))
            yield File(path, content, mode, origin.part, origin.secret, origin.phase)


def _minor(manifest: bytes) -> str:
    """By the tag of its image: 3.7."""
    tags = [image.decode().rpartition(":")[2] for image in IMAGE.findall(manifest)]
    return ".".join(tags[0].split(".")[:2]) if tags else ""
