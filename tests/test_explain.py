# ruff: noqa: E501 (lines as programs wrote them)
"""Why a part is not healthy, in words: each symptom on lines that programs really wrote."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bootstrap import diagnosis, explain
from bootstrap.diagnosis import Attempt, Diagnosis, Listener, Room
from bootstrap.errors import Problem
from bootstrap.symptoms import SYMPTOMS

NOW = datetime(2026, 11, 27, 18, tzinfo=UTC)
NODE = Diagnosis(
    node="cp1",
    clock=NOW.timestamp(),
    turn=NOW.timestamp() - 20,
    kubelet="active",
    restarts=0,
    attempts={},
    journal=(),
    kernel=(),
    listeners=(Listener("0.0.0.0", 6443, 4711, "nginx"),),
    rooms=(Room("/", 250 << 30, 60 << 30, 1_000_000),),
    memory=8 << 30,
    certificates={},
)
PULL = (
    'E1127 17:57:15.125734     509 pod_workers.go:1338] "Error syncing pod, skipping" err="failed to '
    '\\"StartContainer\\" for \\"etcd\\" with ErrImagePull: \\"failed to pull and unpack image '
    '\\\\\\"registry.k8s.io/etcd:9.9.9-0\\\\\\": failed to resolve reference \\\\\\"registry.k8s.io/etcd:9.9.9-0\\\\\\": {}'
    '\\"" pod="kube-system/etcd-cp1" podUID="24914cb580b28ef97c9ae312845f6654"'
)
SANDBOX = (
    'E1127 17:57:15.125734     509 pod_workers.go:1338] "Error syncing pod, skipping" err="failed to '
    '\\"CreatePodSandbox\\" for \\"kube-apiserver-cp1_kube-system(7cb053)\\" with CreatePodSandboxError: '
    '\\"Failed to create sandbox for pod \\\\\\"kube-apiserver-cp1\\\\\\": rpc error: code = Unknown desc = failed to '
    "create containerd task: OCI runtime create failed: expected cgroupsPath to be of format "
    '\\\\\\"slice:prefix:name\\\\\\" for systemd cgroups, got \\\\\\"/kubepods/burstable/pod7cb0/6a\\\\\\" instead: '
    'unknown\\"" pod="kube-system/kube-apiserver-cp1" podUID="7cb053e4772de6501a6c2117e4f99e22"'
)

# (symptom, part, what its container, or with "kubelet:" the kubelet, wrote, words of the explanation)
LINES: tuple[tuple[str, str, str, str], ...] = (
    ("UnknownFlag", "kube-apiserver", "Error: unknown flag: --no-such-flag", "does not know the flag --no-such-flag"),
    (
        "UnknownFlag",
        "etcd",
        "flag provided but not defined: -no-such-flag",
        "etcd does not know the flag -no-such-flag",
    ),
    (
        "UnknownFlag",
        "kubelet",
        'kubelet:E1127 17:57:16.131719   26019 run.go:72] "command failed" err="failed to parse kubelet flag: '
        'unknown flag: --no-such-flag"',
        "kubelet does not know the flag --no-such-flag",
    ),
    (
        "WrongValue",
        "kube-apiserver",
        'Error: invalid argument "abc" for "-v, --v" flag: strconv.ParseUint: parsing "abc": invalid syntax',
        "can't take abc for the flag -v, --v",
    ),
    (
        "WrongValue",
        "etcd",
        'invalid value "abc" for flag -quota-backend-bytes: parse error',
        "can't take abc for the flag -quota-backend-bytes",
    ),
    (
        "WrongConfiguration",
        "kube-scheduler",
        'E1127 17:57:15.155592   25621 run.go:72] "command failed" err="strict decoding error: unknown field \\"foo\\""',
        'unknown field "foo',
    ),
    (
        "PortTaken",
        "kube-apiserver",
        'E1127 17:57:12.1       1 run.go:72] "command failed" err="failed to create listener: failed to listen on '
        '0.0.0.0:6443: listen tcp 0.0.0.0:6443: bind: address already in use"',
        "can't listen on 0.0.0.0:6443: nginx (process 4711) listens there",
    ),
    (
        "PortTaken",
        "etcd",
        '{"level":"fatal","ts":"2026-11-27T17:57:01Z","caller":"etcdmain/etcd.go:183","msg":"discovery failed",'
        '"error":"listen tcp 127.0.0.1:2379: bind: address already in use"}',
        "something else listened there",
    ),
    (
        "NoSuchAddress",
        "etcd",
        '{"level":"fatal","msg":"discovery failed","error":"listen tcp 10.9.9.9:2380: bind: cannot assign requested '
        'address"}',
        "this node does not have that address",
    ),
    ("ImageMissing", "etcd", "kubelet:" + PULL.format("registry.k8s.io/etcd:9.9.9-0: not found"), "has no image"),
    (
        "ImageUnreachable",
        "etcd",
        "kubelet:"
        + PULL.format("failed to do request: Head: dial tcp: lookup registry.k8s.io on 10.77.0.1:53: no such host"),
        "image registry.k8s.io/etcd:9.9.9-0 is not on the node",
    ),
    (
        "ImageRefused",
        "etcd",
        "kubelet:" + PULL.format("pull access denied, repository does not require: authorization failed"),
        "does not let this node have",
    ),
    (
        "ImageNever",
        "etcd",
        'kubelet:E1127 17:57:15.1     509 pod_workers.go:1338] "Error syncing pod, skipping" err="failed to '
        '\\"StartContainer\\" for \\"etcd\\" with ErrImageNeverPull: \\"Container image \\\\\\"lab/etcd:1\\\\\\" is not '
        'present with pull policy of Never\\"" pod="kube-system/etcd-cp1"',
        "the image lab/etcd:1 is not on the node",
    ),
    (
        "CertificateNotYetValid",
        "kube-apiserver",
        'W1127 17:57:12.1  1 logging.go:55] "transport: authentication handshake failed: tls: failed to verify '
        "certificate: x509: certificate has expired or is not yet valid: current time 2026-11-20T18:00:00Z is before "
        '2026-11-27T17:41:50Z"',
        "not valid before 2026-11-27T17:41:50Z",
    ),
    (
        "CertificateExpired",
        "kube-scheduler",
        "E1127 reflector.go:227] Get https://10.0.0.1:6443: x509: certificate has expired or is not yet valid: "
        "current time 2028-11-20T18:00:00Z is after 2027-11-27T17:41:50Z",
        "has expired at 2027-11-27T17:41:50Z",
    ),
    (
        "CertificateOfAnother",
        "kube-controller-manager",
        'E1127 17:57:12.1  1 leaderelection.go:448] "error retrieving resource lock" err="Get '
        '\\"https://api.demo:6443/apis\\": tls: failed to verify certificate: x509: certificate is valid for '
        'cp1, kubernetes, not api.demo"',
        "a certificate for cp1, kubernetes, not for api.demo",
    ),
    (
        "CertificateUnknown",
        "kube-scheduler",
        "E1127 reflector.go:227] tls: failed to verify certificate: x509: certificate signed by unknown authority",
        "not of this cluster's authority",
    ),
    (
        "CertificateRefused",
        "etcd",
        '{"level":"warn","msg":"rejected connection on client endpoint","error":"remote error: tls: bad certificate"}',
        "refuses the certificate: bad certificate",
    ),
    (
        "OtherCluster",
        "etcd",
        '{"level":"error","caller":"rafthttp/stream.go:221","msg":"request sent was ignored by remote peer due to '
        'cluster ID mismatch","remote-peer-id":"8211f1d0f64f3269","remote-peer-cluster-id":"ef37ad9dc622a7c4"}',
        "of different clusters",
    ),
    (
        "RemovedMember",
        "etcd",
        '{"level":"warn","msg":"failed to publish local member","error":"the member has been permanently removed from '
        'the cluster"}',
        "member that was removed",
    ),
    (
        "AlreadyBootstrapped",
        "etcd",
        '{"level":"fatal","msg":"discovery failed","error":"member 87180b1f044db190 has already been bootstrapped"}',
        "its data was lost",
    ),
    (
        "OtherMember",
        "etcd",
        '{"level":"fatal","msg":"discovery failed","error":"couldn\'t find local name \\"x\\" in the initial cluster '
        'configuration"}',
        "another member's",
    ),
    (
        "NoSpaceInEtcd",
        "kube-apiserver",
        "E1127 17:57:12 1 status.go:71] apiserver received an error: etcdserver: mvcc: database space exceeded",
        "quota (alarm NOSPACE)",
    ),
    (
        "DamagedData",
        "etcd",
        '{"level":"fatal","msg":"failed to open WAL","error":"walpb: crc mismatch"}',
        "data on this node is damaged",
    ),
    (
        "DiskFull",
        "etcd",
        '{"level":"fatal","msg":"failed to save","error":"write /var/lib/etcd/member/wal/0.tmp: no space left on device"}',
        "a disk of the node is full",
    ),
    (
        "ReadOnly",
        "etcd",
        '{"level":"fatal","msg":"cannot make directory","error":"mkdir /var/lib/etcd/member: read-only file system"}',
        "/var/lib/etcd/member can't be written",
    ),
    (
        "Denied",
        "kube-apiserver",
        'E1127 17:57:12  1 run.go:72] "command failed" err="open /etc/kubernetes/encryption.yaml: permission denied"',
        "may not open /etc/kubernetes/encryption.yaml",
    ),
    ("CgroupDriver", "kube-apiserver", "kubelet:" + SANDBOX, "different cgroup drivers"),
    (
        "Swap",
        "kubelet",
        'kubelet:E1127 17:57:12.1  1 run.go:72] "command failed" err="failed to run Kubelet: running with swap on is '
        'not supported, please disable swap or set --fail-swap-on flag to false"',
        "the node swaps",
    ),
    (
        "CgroupVersion",
        "kubelet",
        'kubelet:E1127 17:57:12.1  1 run.go:72] "command failed" err="kubelet is configured to not run on a host using '
        'cgroup v1. cgroup v1 support is in maintenance mode"',
        "cgroups of version 1",
    ),
    (
        "NoRuntime",
        "kubelet",
        'kubelet:E1127 17:57:12.1  1 run.go:72] "command failed" err="failed to run Kubelet: validate service '
        'connection: validate CRI v1 runtime API for endpoint \\"unix:///run/containerd/containerd.sock\\": dial unix"',
        "runtime does not answer",
    ),
    (
        "MissingFile",
        "kube-apiserver",
        'kubelet:E1127 17:57:12.1  1 nestedpendingoperations.go:348] Operation for "x" failed. Error: MountVolume.SetUp '
        'failed for volume "webhook" (UniqueName: "x") pod "kube-apiserver-cp1" : hostPath type check failed: '
        '/etc/webhook.yaml is not a file pod="kube-system/kube-apiserver-cp1"',
        "/etc/webhook.yaml, which kube-apiserver mounts, is no file",
    ),
    (
        "NoSuchFile",
        "kube-controller-manager",
        'E1127 17:57:17.797504   26028 run.go:72] "command failed" err="stat /nonexistent.conf: no such file or directory"',
        "does not find /nonexistent.conf",
    ),
    (
        "WrongName",
        "kubelet",
        'kubelet:E1127 17:57:12.1  1 kubelet_node_status.go:108] "Unable to register node with API server" err="Post '
        '\\"https://api.demo:6443/api/v1/nodes\\": dial tcp: lookup api.demo on 10.77.0.1:53: no such host" node="cp1"',
        "the name api.demo leads nowhere",
    ),
    (
        "NoRoute",
        "kubelet",
        'kubelet:E1127 17:57:12.1  1 controller.go:208] "Failed to ensure lease exists, will retry" err="Get '
        '\\"https://10.9.9.9:6443/apis\\": dial tcp 10.9.9.9:6443: connect: no route to host" interval="200ms"',
        "does not reach 10.9.9.9:6443: no route to host",
    ),
)
# What healthy parts write while they start.
HEALTHY = (
    'E1127 17:56:52.381468     509 event.go:374] "Unable to write event" err="Post \\"https://10.77.3.11:6443/api\\": '
    'dial tcp 10.77.3.11:6443: connect: connection refused"',
    "E1127 17:56:52.390437     509 factory.go:220] Registration of the crio container factory failed: dial unix "
    "/var/run/crio/crio.sock: connect: no such file or directory",
    'E1127 17:56:52.324457     509 remote_runtime.go:1359] "RuntimeConfig from runtime service failed" err="rpc error: '
    'code = Unimplemented desc = unknown method RuntimeConfig for service runtime.v1.RuntimeService"',
    'E1127 17:57:03.645146       1 reflector.go:227] "Failed to watch" err="failed to list *v1.VolumeAttachment: '
    'volumeattachments.storage.k8s.io is forbidden: User \\"system:kube-scheduler\\" cannot list resource"',
    '{"level":"warn","ts":"2026-11-27T17:56:55.269699Z","caller":"embed/config.go:956","msg":"Running http and grpc '
    'server on single port. This is not recommended for production."}',
)


def told(part: str, line: str, times: int = 1) -> Diagnosis:
    """A node where a container of the part wrote this line before it ended, or the kubelet, so many times."""
    if line.startswith("kubelet:"):
        return replace(NODE, journal=(line.removeprefix("kubelet:"),) * times)
    ended = tuple(Attempt(number, old=False, lines=("Usage:", line), exit=1) for number in range(times))
    return replace(NODE, attempts={part: ended})


@pytest.mark.parametrize(("symptom", "part", "line", "words"), LINES, ids=[f"{s}-{p}" for s, p, *_ in LINES])
def test_a_line_that_tells_a_cause_is_explained(symptom: str, part: str, line: str, words: str) -> None:
    (cause,) = explain.causes(told(part, line), [part])
    assert (cause.symptom, cause.part) == (symptom, part)
    assert words in cause.cause
    assert cause.next
    assert "{" not in cause.cause + cause.next


def test_every_symptom_has_a_line_that_a_program_wrote() -> None:
    # Words that other rows share; nothing in the lab makes kubelets or API servers say these.
    assert {row.name for row in SYMPTOMS} - {name for name, *_ in LINES} <= {"WrongFeatureGate", "KeyMismatch"}


@pytest.mark.parametrize("line", HEALTHY)
@pytest.mark.parametrize("whose", ["", "kubelet:"])
def test_what_healthy_parts_write_while_they_start_is_no_symptom(whose: str, line: str) -> None:
    for part in ("etcd", "kube-apiserver", "kube-scheduler", "kubelet"):
        assert explain.causes(told(part, whose + line, 3), [part]) == ()


@pytest.mark.parametrize(("symptom", "part", "line", "words"), LINES, ids=[f"{s}-{p}" for s, p, *_ in LINES])
def test_nobody_stops_waiting_for_what_was_seen_once(symptom: str, part: str, line: str, words: str) -> None:
    assert not explain.hopeless(told(part, line), [part]), (symptom, words)


def test_the_wait_ends_early_only_for_what_cannot_mend_itself() -> None:
    terminal = {symptom for symptom, part, line, _ in LINES if explain.hopeless(told(part, line, 2), [part])}
    assert {"UnknownFlag", "WrongValue", "WrongConfiguration", "ImageMissing", "CgroupDriver"} <= terminal
    assert terminal == {row.name for row in SYMPTOMS if row.terminal} - {"WrongFeatureGate", "KeyMismatch"}
    waits = {"PortTaken", "ImageUnreachable", "CertificateNotYetValid", "CertificateRefused", "WrongName", "DiskFull"}
    assert not waits & terminal


def test_a_container_that_runs_again_is_waited_for() -> None:
    ended = told("kube-apiserver", "Error: unknown flag: --no-such-flag", 2).attempts["kube-apiserver"]
    running = replace(NODE, attempts={"kube-apiserver": (ended[0], Attempt(1, old=False, lines=("I1127 starts",)))})
    assert not explain.hopeless(running, ["kube-apiserver"])


def test_what_ran_before_the_turn_is_no_cause() -> None:
    ended = told("kube-apiserver", "Error: unknown flag: --no-such-flag", 2).attempts["kube-apiserver"]
    before = replace(NODE, attempts={"kube-apiserver": tuple(replace(each, old=True) for each in ended)})
    assert explain.causes(before, ["kube-apiserver"]) == ()
    assert "no container has started since the turn" in explain.text(before, {"kube-apiserver": "no answer"}, ())


def test_another_parts_trouble_is_not_this_parts() -> None:
    assert explain.causes(told("etcd", "Error: unknown flag: --no-such-flag", 2), ["kube-apiserver"]) == ()
    assert not explain.hopeless(told("etcd", "kubelet:" + PULL.format("x: not found"), 5), ["kube-apiserver"])


def test_what_the_kubelet_says_of_somebody_elses_pod_is_not_the_kubelets_own() -> None:
    said = (
        'E1127 pod_workers.go:1338] "Error syncing pod" err="ErrImageNeverPull: Container image \\"x:1\\" is not" pod="default/agent"',
        'E1127 kuberuntime_manager.go:1854] "Unhandled Error" err="container agent start failed in pod '
        'agent-cp1_kube-system(8976): ErrImageNeverPull: Container image \\"x:1\\" is not present"',
    )
    assert explain.causes(replace(NODE, journal=said * 2), ["kubelet", "etcd"]) == ()
    assert [cause.symptom for cause in explain.causes(replace(NODE, journal=said), ["agent"])] == ["ImageNever"]


def test_a_scheduler_of_the_user_is_told_where_in_the_file_it_stands() -> None:
    (cause,) = explain.causes(told("batch-scheduler", "Error: unknown flag: --colour"), ["batch-scheduler"])
    assert cause.next.startswith("take --colour out of the entry batch-scheduler under schedulers in cluster.yaml")


def test_a_container_that_was_killed_for_memory_is_told_so() -> None:
    ended = Attempt(0, old=False, lines=("working",), exit=137, reason="OOMKilled")
    (cause,) = explain.causes(replace(NODE, attempts={"etcd": (ended,)}), ["etcd"])
    assert (cause.symptom, cause.terminal) == ("OutOfMemory", False)
    assert "exit code 137" in cause.cause


def test_a_disk_without_room_is_the_nodes_own_fault() -> None:
    full = replace(NODE, rooms=(Room("/var", 1 << 30, 0, 5), Room("/srv", 1 << 30, 1 << 29, 0)))
    found = explain.causes(full, ["etcd"])
    assert [(cause.symptom, cause.own) for cause in found] == [("DiskFull", True), ("DiskFull", True)]
    assert [cause.cause for cause in found] == ["/var has 0 MiB left", "/srv has no room for another file"]


def test_clocks_that_are_apart_are_told() -> None:
    assert not list(explain.clock_cause(NODE, NODE.clock + 5))
    (cause,) = explain.clock_cause(NODE, NODE.clock + 3600)
    assert cause.cause == "the clock of cp1 is 3600 s behind this workstation's"


def certificate(days: tuple[int, int], of: str = "ca", signed: ec.EllipticCurvePrivateKey | None = None) -> str:
    """The PEM of a certificate, valid from so many days after NOW to so many, by a key of its own or this one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, of)])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key((signed or key).public_key())
        .serial_number(1)
        .not_valid_before(NOW + timedelta(days[0]))
        .not_valid_after(NOW + timedelta(days[1]))
        .sign(signed or key, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM).decode()


def test_certificates_are_judged_by_the_nodes_clock_and_beside_their_authority() -> None:
    key, pki = ec.generate_private_key(ec.SECP256R1()), "/etc/kubernetes/pki"
    good = {f"{pki}/ca.crt": certificate((-1, 9), signed=key), f"{pki}/apiserver.crt": certificate((-1, 9), signed=key)}
    assert list(explain.certificate_causes(replace(NODE, certificates=good))) == []
    wrong = good | {
        f"{pki}/apiserver-kubelet-client.crt": certificate((2, 9), signed=key),
        f"{pki}/etcd/server.crt": certificate((-9, -2)),
        f"{pki}/front-proxy-client.crt": "nonsense",
        f"{pki}/old.crt": certificate((-1, 9), of="ca"),
    }
    found = {
        cause.cause.split()[0]: cause.symptom for cause in explain.certificate_causes(replace(NODE, certificates=wrong))
    }
    assert found == {
        f"{pki}/apiserver-kubelet-client.crt": "CertificateNotYetValid",
        f"{pki}/etcd/server.crt": "CertificateExpired",
        f"{pki}/front-proxy-client.crt": "CertificateUnreadable",
        f"{pki}/old.crt": "CertificateUnknown",
    }


SCRIPT = """clock\t1795802258
turn\t1795802211
attempt\tetcd\t1\tno\t/var/log/pods/x/etcd/1.log
state\tetcd\t1\t{"Version":"v1","Pid":0,"FinishedAt":1795802215191171274,"ExitCode":2,"Reason":"Error","Message":""}
log\tetcd\t1\tflag provided but not defined: -x\twith a tab
kubelet\tactive
restarts\t3
journal\tE1127 one
port\t00000000000000000000000000000000:192B\t855\tkube-apiserver
port\t0100007F:094B\t\t
disk\t/var\t264212084\t63464204
inodes\t/var\t16777216\t15849608
memory\tMemAvailable\t1024
certificate\t/etc/kubernetes/pki/ca.crt\t-----BEGIN CERTIFICATE-----|MII|-----END CERTIFICATE-----|
manifest\t/etc/kubernetes/manifests/etcd.yaml\tkind: Pod
manifest\t/etc/kubernetes/manifests/etcd.yaml\t  indented: yes
end\tok
"""


def test_what_the_script_prints_is_read() -> None:
    found = diagnosis.parse("cp1", SCRIPT)
    assert found.attempts["etcd"] == (
        Attempt(1, old=False, lines=("flag provided but not defined: -x\twith a tab",), exit=2, reason="Error"),
    )
    assert (found.kubelet, found.restarts, found.journal) == ("active", 3, ("E1127 one",))
    assert [(it.address, it.port, it.pid) for it in found.listeners] == [("::", 6443, 855), ("127.0.0.1", 2379, 0)]
    assert found.rooms == (Room("/var", 264212084 << 10, 63464204 << 10, 15849608),)
    assert found.certificates["/etc/kubernetes/pki/ca.crt"].splitlines()[1] == "MII"
    assert found.manifests == {"/etc/kubernetes/manifests/etcd.yaml": "kind: Pod\n  indented: yes\n"}


def test_a_script_that_did_not_end_is_no_diagnosis() -> None:
    with pytest.raises(Problem, match="did not end"):
        diagnosis.parse("cp1", SCRIPT.removesuffix("end\tok\n"))


@pytest.mark.parametrize(
    ("state", "ended"),
    [
        ('{"StartedAt":1,"FinishedAt":0,"ExitCode":0,"Reason":""}', (None, "")),
        ('{"FinishedAt":5,"ExitCode":137,"Reason":"OOMKilled"}', (137, "OOMKilled")),
        ('    "exitCode": 1,    "finishedAt": "2026-11-27T17:57:15.1Z",    "reason": "Error",', (1, "Error")),
        ('    "exitCode": 0,    "finishedAt": "0001-01-01T00:00:00Z",    "reason": "",', (None, "")),
        ("", (None, "")),
    ],
)
def test_how_a_container_ended_is_told_by_containerd_or_by_crictl(state: str, ended: tuple[int | None, str]) -> None:
    assert diagnosis.outcome(state) == ended


def test_every_symptom_is_in_the_page_of_faults() -> None:
    page = (Path(__file__).parent.parent / "docs" / "faults.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", page, re.MULTILINE))
    for symptom in SYMPTOMS:
        assert rows[symptom.name].strip() == ("at once" if symptom.terminal else ""), symptom.name
    assert {"OutOfMemory", "KubeletDown", "Clock", "CertificateUnreadable"} <= rows.keys()
