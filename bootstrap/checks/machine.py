"""Rows about the machine: who we are there, what it has to offer, its clock, and whether it is another one's clone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from bootstrap.checks.check import Check, Ground, Level, Words, dashed

CPUS, MEMORY = 2, 1700 * 1000 * 1000  # of a control-plane node; kubeadm's
APART = 30  # seconds by which clocks may differ; etcd and leases are measured in fewer
OLDER = 3  # minor versions that a kubelet may be behind: https://kubernetes.io/releases/version-skew-policy
BRIDGE = frozenset({"ip", "iptables", "modprobe", "br_netfilter"})  # what only the plugin bridge needs


def _root(ground: Ground) -> Iterator[Words]:
    if ground.facts.machine.user != 0:
        yield {"user": str(ground.facts.machine.user)}


def _systemd(ground: Ground) -> Iterator[Words]:
    if not ground.facts.machine.systemd:
        yield {}


def _kubelet(ground: Ground) -> Iterator[Words]:
    if not ground.facts.machine.kubelet:
        yield {}


def _unit(ground: Ground) -> Iterator[Words]:
    if ground.facts.machine.kubelet_state not in ("", "running", "loaded", "not-found"):
        yield {"state": ground.facts.machine.kubelet_state}


def _version(ground: Ground) -> Iterator[Words]:
    theirs, ours = minor(ground.survey.kubelet), minor(ground.cluster.kubernetes_version)
    if theirs and ours and not 0 <= ours - theirs <= OLDER:
        yield {
            "version": ground.survey.kubelet,
            "wanted": ground.cluster.kubernetes_version,
            "than": "newer than it" if theirs > ours else f"more than {OLDER} minor versions older",
        }


def minor(version: str) -> int | None:
    """37, of v1.37.2; None where it is no version."""
    _, _, rest = version.partition(".")
    number = rest.partition(".")[0]
    return int(number) if number.isdigit() else None


def _cpus(ground: Ground) -> Iterator[Words]:
    if ground.node.control_plane and 0 < ground.survey.cpus < CPUS:
        yield {"cpus": str(ground.survey.cpus)}


def _memory(ground: Ground) -> Iterator[Words]:
    if ground.node.control_plane and 0 < ground.survey.memory < MEMORY:
        yield {"memory": str(ground.survey.memory // 1000**2)}


def _swap(ground: Ground) -> Iterator[Words]:
    if ground.survey.swaps and ground.setting("failSwapOn", "--fail-swap-on") is not False:
        yield {"swaps": ", ".join(ground.survey.swaps)}


def _cgroup(ground: Ground) -> Iterator[Words]:
    if ground.survey.cgroup == 1 and ground.setting("failCgroupV1") is not False:
        yield {}


def _programs(ground: Ground) -> Iterator[Words]:
    for program in ground.survey.lacks:
        if program not in BRIDGE or ground.cluster.networking.plugin == "bridge":
            yield {"program": program}


def _modules(ground: Ground) -> Iterator[Words]:
    for module in ground.survey.unloadable:
        if module not in BRIDGE or ground.cluster.networking.plugin == "bridge":
            yield {"module": module}


def _settings(ground: Ground) -> Iterator[Words]:
    for setting, value in sorted(ground.survey.fixed.items()):
        if value != "1" and ("ipv6" not in setting or ground.cluster.six):
            path = f"/proc/sys/{setting}"
            yield {"dashed": dashed(path), "path": path, "value": value}


def _clock(ground: Ground) -> Iterator[Words]:
    ahead = ground.survey.ahead
    if abs(ahead) > APART:
        yield {"apart": f"{abs(ahead):.0f}", "direction": "ahead of" if ahead > 0 else "behind"}


def _same(told: Callable[[Ground], Mapping[str, str]]) -> Callable[[Ground], Iterator[Words]]:
    """A row about what `told` says of every node: said once, by the first of those that are looked at."""

    def ask(ground: Ground) -> Iterator[Words]:
        values, me = told(ground), ground.node.name
        alike = [node.name for node in ground.cluster.nodes if values.get(me) and values.get(node.name) == values[me]]
        looked_at = [name for name in alike if name in ground.seen.surveys]
        if len(alike) > 1 and looked_at[0] == me:
            yield {"value": values[me], "others": ", ".join(name for name in alike if name != me)}

    return ask


def _ids(ground: Ground) -> Mapping[str, str]:
    return {name: facts.machine.id for name, facts in ground.seen.facts.items()}


def _hostnames(ground: Ground) -> Mapping[str, str]:
    return {name: facts.machine.hostname for name, facts in ground.seen.facts.items()}


def _products(ground: Ground) -> Mapping[str, str]:
    return {name: survey.product for name, survey in ground.seen.surveys.items()}


def _guard(name: str) -> Callable[[Ground], Iterator[Words]]:
    def ask(ground: Ground) -> Iterator[Words]:
        if name in ground.survey.guards:
            yield {}

    return ask


CLOCKS = "set both right: timedatectl; chrony or systemd-timesyncd"
MACHINE = (
    Check(
        "IsPrivilegedUser",
        Level.ERROR,
        "the script ran with user id {user}, not as root",
        "log in as root, or as a user with sudo",
        _root,
        surveyed=False,
    ),
    Check("Systemd", Level.ERROR, "there is no systemd", "use a distribution with systemd", _systemd, surveyed=False),
    Check(
        "FileExisting-kubelet",
        Level.ERROR,
        "there is no kubelet in the PATH",
        "install the kubelet's package",
        _kubelet,
        surveyed=False,
    ),
    Check(
        "Service-Kubelet",
        Level.ERROR,
        "systemd will not start the kubelet: its unit is {state}",
        "on {node}: systemctl status kubelet; where it is masked: systemctl unmask kubelet",
        _unit,
        surveyed=False,
    ),
    Check(
        "KubeletVersion",
        Level.ERROR,
        "the kubelet is {version}, for Kubernetes {wanted}: {than}",
        "install a kubelet of {wanted}, or change kubernetesVersion in cluster.yaml",
        _version,
    ),
    Check("NumCPU", Level.ERROR, f"it has {{cpus}} CPU; a control plane needs {CPUS}", "use a larger machine", _cpus),
    Check(
        "Mem",
        Level.ERROR,
        f"it has {{memory}} MB of memory; a control plane needs {MEMORY // 1000**2}",
        "use a larger machine",
        _memory,
    ),
    Check(
        "Swap",
        Level.ERROR,
        "it swaps ({swaps}), and its kubelet will not start",
        "swapoff -a on {node} (and in /etc/fstab), or set kubelet.failSwapOn: false in cluster.yaml",
        _swap,
    ),
    Check(
        "SystemVerification",
        Level.ERROR,
        "it has cgroups of version 1, and its kubelet will not start",
        "boot {node} with cgroups of version 2, or set kubelet.failCgroupV1: false in cluster.yaml",
        _cgroup,
    ),
    Check(
        "FileExisting-{program}",
        Level.ERROR,
        "there is no {program} in the PATH",
        "install the package that has it on {node}",
        _programs,
    ),
    Check(
        "KernelModule-{module}",
        Level.ERROR,
        "the kernel module {module} is not loaded, and can't be",
        "on {node}: modprobe {module}; some kernels have it in a package of its own (linux-modules-extra)",
        _modules,
    ),
    Check(
        "FileContent-{dashed}",
        Level.ERROR,
        "{path} is {value}, and can't be changed",
        "set it to 1 where {node} gets it from (its hypervisor, or the host of its container)",
        _settings,
    ),
    Check(
        "ClockSkew",
        Level.ERROR,
        "its clock is {apart} s {direction} this workstation's",
        CLOCKS,
        _clock,
    ),
    Check(
        "Unique-machine-id",
        Level.ERROR,
        "it has the same /etc/machine-id as {others}: they are clones, or one machine",
        "on all but one: rm /etc/machine-id; systemd-machine-id-setup; reboot",
        _same(_ids),
    ),
    Check(
        "Unique-hostname",
        Level.WARNING,
        "its host name, {value}, is that of {others} too",
        "hostnamectl set-hostname NAME, on each; cluster.yaml's names are what the cluster uses",
        _same(_hostnames),
    ),
    Check(
        "Unique-product-uuid",
        Level.WARNING,
        "its firmware has the UUID of {others}: some storage and cloud providers tell nodes apart by it",
        "give each virtual machine its own, where its hypervisor keeps it",
        _same(_products),
    ),
    Check(
        "SELinux",
        Level.WARNING,
        "SELinux is enforcing; bootstrap was not run with it",
        "if a part may not read its files: ausearch -m avc -ts recent, on {node}",
        _guard("selinux"),
    ),
    Check(
        "AppArmor",
        Level.WARNING,
        "AppArmor is on, and apparmor_parser is not there: pods that ask for a profile will not start",
        "install the package apparmor on {node}",
        _guard("apparmor"),
    ),
)
