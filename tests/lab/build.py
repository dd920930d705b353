"""The only module that compiles: Go modules in, static binaries in the cache out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootstrap.errors import Problem
from bootstrap.versions import release
from tests.lab import cache
from tests.lab.programs import follow, run
from tests.lab.progress import step
from tests.lab.toolchain import MORE, ROOM, go, require_room

CONTAINERD = "2.1.5"
FLAGS = ("-trimpath", "-buildvcs=false")


@dataclass(frozen=True, slots=True)
class Module:
    """Programs of one Go module, and of others that are published with it. `binaries`: file name -> package.
    `staged`: version of what it replaces by directories of its own tree; `others`: modules of the same version."""

    name: str
    path: str
    version: str
    staged: str
    binaries: dict[str, str]
    others: tuple[str, ...] = ()
    tags: str = "netgo,osusergo"
    variables: tuple[str, ...] = ()


def kubernetes(version: str) -> Module:
    """Kubernetes' programs, which say they are `version` ("v1.37.2")."""
    major, minor, patch = version.removeprefix("v").split(".")
    names = ("apiserver", "controller-manager", "scheduler", "proxy")
    told = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return Module(
        "kubernetes",
        "k8s.io/kubernetes",
        version,
        f"v0.{minor}.{patch}",
        {
            name: f"k8s.io/kubernetes/cmd/{name}"
            for name in (*(f"kube-{name}" for name in names), "kubelet", "kubectl", "kubeadm")
        },
        variables=tuple(
            f"{package}.{name}={value}"
            for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
            for name, value in told.items()
        ),
    )


def etcd(version: str) -> Module:
    """etcd and its two tools; `version` without the v."""
    return Module(
        "etcd",
        "go.etcd.io/etcd/server/v3",
        f"v{version}",
        f"v{version}",
        {
            "etcd": "go.etcd.io/etcd/server/v3",
            "etcdctl": "go.etcd.io/etcd/etcdctl/v3",
            "etcdutl": "go.etcd.io/etcd/etcdutl/v3",
        },
        others=("go.etcd.io/etcd/etcdctl/v3", "go.etcd.io/etcd/etcdutl/v3"),
    )


def coredns(version: str) -> Module:
    """CoreDNS; `version` with the v."""
    return Module("coredns", "github.com/coredns/coredns", version, version, {"coredns": "github.com/coredns/coredns"})


def containerd() -> Module:
    """containerd 2, which people run; Debian 12's is 1.6."""
    path, version = "github.com/containerd/containerd/v2", f"v{CONTAINERD}"
    return Module(
        "containerd",
        path,
        version,
        version,
        {name: f"{path}/cmd/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")},
        tags="netgo,osusergo,no_btrfs,no_devmapper,no_zfs",
        variables=(f"{path}/version.Version={version}",),
    )


def binaries(version: str) -> Path:
    """The directory with kubelet, kubectl, kubeadm and the kube-* servers of this version."""
    return build(kubernetes(version))


def programs_of(version: str) -> tuple[Path, Path, Path]:
    """Directories with the binaries of Kubernetes, etcd and CoreDNS that go with this Kubernetes version."""
    known = release(version)
    return binaries(version), build(etcd(known.etcd)), build(coredns(known.coredns))


def build(module: Module) -> Path:
    """The directory with the module's binaries, built now where the cache has none."""
    flags = [
        *FLAGS,
        "-tags",
        module.tags,
        "-ldflags",
        " ".join(["-s -w", *(f"-X {it}" for it in module.variables)]),
    ]

    def make(here: Path) -> None:
        first = module.name == "kubernetes" and not list(cache.root().glob("kubernetes-*"))
        require_room(here, ROOM if first else MORE)  # sources and packages are shared by what comes later
        with step(f"{module.name} {module.version} ({len(module.binaries)} programs)") as note:
            compiler, source = go(), here / "source"
            source.mkdir()
            (source / "go.mod").write_text(go_mod(module, _upstream(compiler, module, source)))
            follow([compiler, "mod", "tidy"], note, cwd=source, env=_environment())
            _refuse_another_version(compiler, module, source)
            follow(
                [compiler, "build", "-v", *flags, "-o", f"{here}/", *module.binaries.values()],
                _counted(note),
                cwd=source,
                env=_environment(),
            )
            for name, package in module.binaries.items():
                (here / _built_name(package)).rename(here / name)

    recipe: dict[str, cache.Recipe] = {"path": module.path, "flags": list(flags), "binaries": dict(module.binaries)}
    if module.others:
        recipe["others"] = list(module.others)
    return cache.entry(f"{module.name}-{module.version}", recipe, make)


def _environment() -> dict[str, str]:
    return {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}


def go_mod(module: Module, upstream: dict[str, Any]) -> str:
    """The go.mod of a module of our own that builds the programs of another, whose go.mod is `upstream`, as
    `go mod edit -json` prints it.

    `go install` refuses modules with `replace` lines of directories (https://go.dev/ref/mod#go-install); here these
    directories become the modules they are published as.
    """
    lines = ["module lab.invalid/programs", f"go {upstream['Go']}"]
    lines += [f"godebug {it['Key']}={it['Value']}" for it in upstream.get("Godebug") or ()]
    lines += [f"require {path} {module.version}" for path in (module.path, *module.others)]
    required = {it["Path"] for it in upstream.get("Require") or ()}
    for replaced in upstream.get("Replace") or ():
        old, new = replaced["Old"], replaced["New"]
        local = new["Path"].startswith(".")
        if local and old["Path"] not in required:
            continue  # etcd keeps modules out by replacing them with a directory that does not exist
        mine = (old["Path"], module.staged) if local else (new["Path"], new["Version"])
        lines.append(f"replace {' '.join([old['Path'], old.get('Version', '')]).strip()} => {' '.join(mine)}")
    lines += [f"tool {package}" for package in module.binaries.values()]
    return "\n".join(lines) + "\n"


def _upstream(compiler: Path, module: Module, here: Path) -> dict[str, Any]:
    fetched = json.loads(run([compiler, "mod", "download", "-json", f"{module.path}@{module.version}"], cwd=here))
    upstream: dict[str, Any] = json.loads(run([compiler, "mod", "edit", "-json", fetched["GoMod"]], cwd=here))
    return upstream


def _refuse_another_version(compiler: Path, module: Module, source: Path) -> None:
    """Go takes the highest version that anything requires, which need not be the one asked for."""
    for path in (module.path, *module.others):
        chosen = run([compiler, "list", "-m", "-f", "{{.Version}}", path], cwd=source).strip()
        if chosen != module.version:
            raise Problem(f"{path} {module.version} was asked for, and Go chose {chosen}")


def _built_name(package: str) -> str:
    """What `go build` calls a package's program: its last element that is no major version."""
    *rest, last = package.split("/")
    return rest[-1] if last.removeprefix("v").isdecimal() else last


def _counted(note: Callable[[str], None]) -> Callable[[str], None]:
    """`go build -v` prints a line per package: show how many, and which."""
    seen: list[str] = []

    def line(text: str) -> None:
        seen.append(text)
        note(f"package {len(seen)}: {text}")

    return line
