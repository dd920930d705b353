"""The files that cluster.yaml names on the workstation: are they there, and can the static pods among them be any?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from bootstrap import documents
from bootstrap.spec.faults import Fault
from bootstrap.spec.names import RESERVED
from bootstrap.spec.place import Place
from bootstrap.spec.pods import static_pod_problems

MANIFESTS = (".yaml", ".yml", ".json")


def check(raw: object, base: Path) -> Iterator[Fault]:
    """What is wrong with the files of `addons` and `staticPods`, whose paths start from `base`."""
    cluster = Place((), raw)
    for addon in cluster["addons"]:
        if addon["file"].text:
            yield from _addon(addon["file"], base / addon["file"].text)
    yield from _static_pods(cluster, base)


def _addon(file: Place, path: Path) -> Iterator[Fault]:
    """The file is there, or the directory and a manifest in it."""
    try:
        if path.is_dir() and not any(entry.suffix in MANIFESTS for entry in path.iterdir()):
            yield file.wrong(f"{path} has no {', '.join(f'*{suffix}' for suffix in MANIFESTS)}")
        elif not path.exists():
            yield _missing(file, path)
    except OSError as error:
        yield file.wrong(f"{path} can't be read: {error.strerror}")


def _static_pods(cluster: Place, base: Path) -> Iterator[Fault]:
    """Each file is one pod that the kubelet takes, and no node has two of one name."""
    taken = {*RESERVED, *(scheduler["name"].text for scheduler in cluster["schedulers"])}
    everywhere = {node["name"].text for node in cluster["nodes"]}
    seen: dict[tuple[str, str], Place] = {}
    for entry in cluster["staticPods"]:
        file = entry["file"]
        if not file.text:
            continue
        pod = _pod(file, base / file.text)
        if isinstance(pod, Fault):
            yield pod
            continue
        yield from (file.wrong(f"{file.text}: {problem}") for problem in static_pod_problems(pod))
        name = Place((), pod)["metadata"]["name"].text
        if name in taken:
            yield file.wrong(f"{file.text}: the pod {name} has the name of a part of the control plane")
        for node in sorted({place.text for place in entry["nodes"]} or everywhere):
            first = seen.setdefault((node, name), file)
            if name and first is not file:
                yield file.wrong(f"{file.text}: node {node} has a pod {name} already, from {first.text}")
                break


def _pod(file: Place, path: Path) -> dict[str, object] | Fault:
    """The one object in a manifest, or why there is none."""
    try:
        found = [value for _, value in documents.load(path.read_text(encoding="utf-8-sig"))]
    except FileNotFoundError:
        return _missing(file, path)
    except yaml.YAMLError as error:
        return file.wrong(f"{path} is not YAML: {' '.join(str(error).split())}")
    except UnicodeDecodeError:
        return file.wrong(f"{path} is not UTF-8 text")
    except ValueError:  # U+0000 in the path, which its field tells of
        return _missing(file, path)
    except OSError as error:
        return file.wrong(f"{path} can't be read: {error.strerror}", "a static pod is one file")
    match found:
        case [dict() as pod]:
            return pod
        case _:
            return file.wrong(f"{path} is not the manifest of one pod", "one document, kind: Pod")


def _missing(file: Place, path: Path) -> Fault:
    return file.wrong(f"there is no {path}", "paths start from the directory of cluster.yaml")
