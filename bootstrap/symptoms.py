"""What goes wrong with parts of a control plane, a row each: how it shows, what it means, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Symptom:
    """A line that tells a cause; `cause` and `next` may name the pattern's groups, {part}, {field} and {node}.

    `terminal`: it can't mend itself, so nobody has to wait once a container has ended twice with it. `own`: the node
    is to blame, not what was put there. `where`: "log" of a part, "journal" of the kubelet, "both".
    """

    name: str
    pattern: re.Pattern[str]
    cause: str
    next: str
    terminal: bool = False
    own: bool = False
    where: str = "both"


def _row(name: str, pattern: str, cause: str, next: str, *marks: str, where: str = "both") -> Symptom:
    return Symptom(name, re.compile(pattern), cause, next, "terminal" in marks, "own" in marks, where)


_IMAGE = r"(?:failed to pull (?:and unpack )?image|pulling image|image)[ \\\"':]+(?P<image>[\w./:@-]+\w)"

# The first row that fits a line is its meaning. Order: what is exact before what is general.
SYMPTOMS: tuple[Symptom, ...] = (
    # What it was told
    _row(
        "UnknownFlag",
        r"(?:unknown (?:shorthand )?flag: |flag provided but not defined: )(?P<flag>-\S*[\w-])",
        "{part} does not know the flag {flag}",
        "take {flag} out of {field} in cluster.yaml, or correct its name",
        "terminal",
    ),
    _row(
        "WrongValue",
        r"(?:invalid argument|invalid value) (?P<value>\\?\"[^\"]*\"?) for \\?\"?(?:flag )?(?P<flag>(?:-\w, )?-[\w-]+)",
        "{part} can't take {value} for the flag {flag}",
        "correct the value in {field} of cluster.yaml",
        "terminal",
        where="log",
    ),
    _row(
        "WrongFeatureGate",
        r"(?:unrecognized feature gate: |unknown feature gate )(?P<gate>\w+)",
        "{part} does not know the feature gate {gate}",
        "take it out of {field} in cluster.yaml: it is of another version",
        "terminal",
    ),
    _row(
        "WrongConfiguration",
        r"\"command failed\" err=\"(?P<why>[^\n]*(?:strict decoding error|no kind \\?\"|failed to load kubelet config"
        r"[^\n]*|unable to decode|invalid configuration)[^\n]*?)\"?$",
        "{part} can't read its configuration: {why}",
        "correct {field} in cluster.yaml",
        "terminal",
    ),
    # Ports and addresses
    _row(
        "PortTaken",
        r"listen (?:tcp|udp)[46]? (?P<place>\S+:(?P<port>\d+)): bind: address already in use",
        "{part} can't listen on {place}: {owner}",
        "stop it (ss -ltnp shows it), or give {part} another port in {field} of cluster.yaml",
    ),
    _row(
        "NoSuchAddress",
        r"listen (?:tcp|udp)[46]? (?P<place>\S+): bind: cannot assign requested address",
        "{part} can't listen on {place}: this node does not have that address",
        "correct the node's address in cluster.yaml, or give it that address (ip address)",
    ),
    # Images
    _row(
        "ImageNever",
        r"ErrImageNeverPull[^\n]*?image \\*\"(?P<image>[^\"\\]+)",
        "the image {image} is not on the node, and nobody may pull it",
        "import the image on {node}, or let it be pulled",
        "terminal",
    ),
    _row(
        "ImageMissing",
        _IMAGE + r"[^\n]*(?:: not found|manifest unknown|repository does not exist|name unknown)",
        "the registry has no image {image}",
        "correct kubernetesVersion or imageRepository in cluster.yaml, or push the image",
        "terminal",
        where="journal",
    ),
    _row(
        "ImageRefused",
        _IMAGE + r"[^\n]*(?:unauthorized|authorization failed|403 Forbidden|pull access denied|denied: )",
        "the registry does not let this node have the image {image}",
        "give the runtime on {node} its credentials, or use another imageRepository in cluster.yaml",
        where="journal",
    ),
    _row(
        "ImageUnreachable",
        _IMAGE + r"[^\n]*(?P<why>no such host|connection refused|i/o timeout|no route to host|network is unreachable"
        r"|context deadline exceeded|TLS handshake timeout|certificate signed by unknown authority|Temporary failure)",
        "the image {image} is not on the node, and its registry can't be reached: {why}",
        "let {node} reach the registry, use a mirror (imageRepository in cluster.yaml), or import the image",
        where="journal",
    ),
    # Certificates and identities
    _row(
        "CertificateNotYetValid",
        r"x509: certificate has expired or is not yet valid: current time (?P<now>\S+) is before (?P<then>[\dTZ:+-]+)",
        "a certificate is not valid before {then}, and the clock of who looks at it says {now}",
        "set the clocks right (timedatectl; chrony or systemd-timesyncd), here and on {node}",
    ),
    _row(
        "CertificateExpired",
        r"x509: certificate has expired or is not yet valid: current time (?P<now>\S+) is after (?P<then>[\dTZ:+-]+)",
        "a certificate has expired at {then}; the clock of who looks at it says {now}",
        "if the clock is right, run bootstrap apply: it issues certificates again that are about to expire",
    ),
    _row(
        "CertificateOfAnother",
        r"x509: certificate is valid for (?P<names>.*?), not (?P<name>[^\s\"\\]+)",
        "who answers shows a certificate for {names}, not for {name}: another server, or a wrong endpoint",
        "see where {name} leads; an address clients use stands in endpoint, or in apiServer.certSANs of cluster.yaml",
    ),
    _row(
        "CertificateUnknown",
        r"x509: certificate signed by unknown authority|tls: unknown certificate authority",
        "a certificate is not of this cluster's authority: it is another cluster's, or a file is older than the others",
        "see whose address it is; then bootstrap plan shows the files that differ",
    ),
    _row(
        "CertificateRefused",
        r"remote error: tls: (?P<why>bad certificate|expired certificate|certificate required|revoked certificate)",
        "the other side refuses the certificate: {why}",
        "bootstrap diagnose {node} shows what is wrong with the certificates there; bootstrap plan which files differ",
    ),
    _row(
        "KeyMismatch",
        r"tls: private key does not match public key",
        "a key does not belong to the certificate beside it",
        "bootstrap apply puts both again",
        "terminal",
    ),
    # etcd
    _row(
        "OtherCluster",
        r"cluster ID mismatch|\"request cluster ID mismatch\"|clusterID mismatch",
        "etcd here and its peers are of different clusters: data of another one lies in its directory",
        "see which node's data is right (bootstrap status); bootstrap remove and bootstrap join for the other",
        where="log",
    ),
    _row(
        "RemovedMember",
        r"the member has been permanently removed from the cluster",
        "etcd's data is of a member that was removed from the cluster",
        "bootstrap join brings the node in as a new member",
        "terminal",
        where="log",
    ),
    _row(
        "AlreadyBootstrapped",
        r"member \w+ has already been bootstrapped",
        "etcd began with an empty directory, but the cluster has known it before: its data was lost",
        "bootstrap join takes it out of the list and in again",
        "terminal",
        where="log",
    ),
    _row(
        "OtherMember",
        r"couldn't find local name|member count is unequal|error validating peerURLs|"
        r"unmatched member while checking PeerURLs",
        "etcd's --initial-cluster is not what the cluster has: the data or the list is another member's",
        "bootstrap status shows the list; bootstrap join brings a node in",
        "terminal",
        where="log",
    ),
    _row(
        "NoSpaceInEtcd",
        r"mvcc: database space exceeded|etcdserver: no space|alarm:NOSPACE|\"alarm\":\"NOSPACE\"",
        "etcd takes no more writes: its database has reached its quota (alarm NOSPACE)",
        "raise quota-backend-bytes in etcd.extraArgs of cluster.yaml, or compact and defragment; then disarm the alarm",
    ),
    _row(
        "DamagedData",
        r"walpb: crc mismatch|snap: crc mismatch|Was the raft log corrupted, truncated, or lost|freepages: failed|"
        r"failed to (?:read|recover) WAL|file header checksum",
        "etcd's data on this node is damaged",
        "with other members healthy: bootstrap remove {node}, then bootstrap join; else restore a snapshot",
        "terminal",
        where="log",
    ),
    # The node
    _row(
        "DiskFull",
        r"no space left on device",
        "a disk of the node is full",
        "df -h and df -i on {node} show which; make room there",
        "own",
    ),
    _row(
        "ReadOnly",
        r"(?P<path>/[\w./-]+): read-only file system",
        "{path} can't be written: its file system is read-only",
        "see why (dmesg on {node}: a disk that fails is mounted so), or name a directory that can be written",
        "own",
    ),
    _row(
        "Denied",
        r"(?P<what>open|mkdir|stat|listen \w+|unlinkat) (?P<path>/?[\w./:-]+)(?:: bind)?: permission denied",
        "{part} may not {what} {path}",
        "look at its mode and owner on {node} (ls -ld), and at what SELinux or AppArmor says (dmesg)",
    ),
    _row(
        "CgroupDriver",
        r"expected cgroupsPath to be of format|cgroup driver: \\?\"\w+\\?\" is different from|"
        r"cgroup-parent for systemd cgroup should be a valid slice",
        "the kubelet and the runtime use different cgroup drivers",
        "make them one: kubelet.cgroupDriver in cluster.yaml, or SystemdCgroup in the runtime's on {node}",
        "terminal",
        where="journal",
    ),
    _row(
        "CgroupVersion",
        r"kubelet is configured to not run on a host using cgroup v1",
        "the node has cgroups of version 1, which this kubelet refuses",
        "boot {node} with cgroups of version 2, or set kubelet.failCgroupV1: false in cluster.yaml",
        "terminal",
        where="journal",
    ),
    _row(
        "Swap",
        r"running with swap on is not supported",
        "the node swaps, which this kubelet refuses",
        "swapoff -a on {node} (and in /etc/fstab), or set kubelet.failSwapOn: false in cluster.yaml",
        "terminal",
        where="journal",
    ),
    _row(
        "NoRuntime",
        r"\"command failed\" err=\"failed to run Kubelet: [^\n]*(?:validate service connection|container runtime)",
        "the container runtime does not answer the kubelet",
        "on {node}: systemctl status containerd (or crio); journalctl -u containerd",
        where="journal",
    ),
    _row(
        "MissingFile",
        r"hostPath type check failed: (?P<path>\S+) is not an? (?P<kind>\w+)",
        "{path}, which {part} mounts, is no {kind} on the node",
        "make it on {node}, or take the mount out of {field} in cluster.yaml",
        where="journal",
    ),
    _row(
        "NoSuchFile",
        r"(?:open|stat|lstat) (?P<path>/[\w./-]+): no such file or directory\W*$",
        "{part} does not find {path}; a file has to lie where its container sees it",
        "if {field} in cluster.yaml names it, mount it too (extraVolumes)",
        where="log",
    ),
    _row(
        "WrongName",
        r"dial tcp: lookup (?P<name>[\w.-]+)(?: on \S+)?: (?P<why>no such host|server misbehaving|i/o timeout)",
        "the name {name} leads nowhere on the node: {why}",
        "correct endpoint in cluster.yaml, or let {node} resolve it (DNS, /etc/hosts)",
    ),
    _row(
        "NoRoute",
        r"dial tcp (?P<place>[\w.:\[\]-]+): (?:connect: )?(?P<why>no route to host|network is unreachable|i/o timeout)",
        "{part} does not reach {place}: {why}",
        "see what is there, and what is between (firewalls, routes, the balancer behind endpoint)",
    ),
)
