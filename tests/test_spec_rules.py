"""What may stand in cluster.yaml: single values, rules over several fields, what the tool owns."""

from __future__ import annotations

import pytest

from bootstrap.spec import owned, parse
from tests.test_spec import MINIMAL, at_mark, wrong

HA = f"""\
endpoint: api.demo.example:6443
{MINIMAL}- {{name: cp2, address: 10.77.0.12, role: control-plane}}
- {{name: w1, address: 10.77.0.21, role: worker}}
"""


def node(fields: str) -> str:
    """A second node, after MINIMAL."""
    return f"- {{name: w1, address: 10.77.0.21, role: worker, {fields}}}"


VALUES = [
    # names
    ('- {name: ▸"Node-A", address: 10.77.0.9, role: worker}', '"Node-A" is not an RFC 1123 name', 'write "node-a"'),
    ("- {name: ▸node_a, address: 10.77.0.9, role: worker}", '"node_a" is not an RFC 1123 name', 'write "node-a"'),
    ("- {name: ▸-x, address: 10.77.0.9, role: worker}", "is not an RFC 1123 name", ""),
    (f"- {{name: ▸{'a' * 64}, address: 10.77.0.9, role: worker}}", "in parts of at most 63", ""),
    (
        f"- {{name: ▸{'a' * 53}, address: 10.77.0.9, role: worker}}",
        "53 characters, and its certificate has room for 52",
        "",
    ),
    ("- {name: ▸5, address: 10.77.0.9, role: worker}", "must be text, and 5 is not", 'write "5"'),
    ("schedulers: [{name: ▸a.b}]", '"a.b" is not an RFC 1123 label', ""),
    ("schedulers: [{name: ▸kube-scheduler}]", "is a part of every control plane", "choose a name"),
    ("networking: {dnsDomain: ▸Cluster.Local}", "is not a DNS domain", 'write "cluster.local"'),
    (node("labels: {▸a b: c}"), '"a b" is not the key of a label', "such as disk"),
    (node("labels: {▸Example.com/x: c}"), "is not the key of a label", ""),
    (node("labels: {a: ▸-x}"), "is not a label's value", ""),
    (node("taints: [{key: ▸a/b/c}]"), "is not the key of a label", ""),
    (node("taints: [{key: a, effect: ▸NoSchedul}]"), 'must be "NoSchedule"', 'did you mean "NoSchedule"?'),
    # addresses
    ("- {name: w1, address: ▸10.77.0.300, role: worker}", "is not an IP address", "ssh.host"),
    ("- {name: w1, address: ▸127.0.0.1, role: worker}", "is loopback", ""),
    ("- {name: w1, address: ▸0.0.0.0, role: worker}", "is unspecified", ""),
    ("- {name: w1, address: ▸224.0.0.1, role: worker}", "is multicast", ""),
    ("- {name: w1, address: ▸169.254.1.1, role: worker}", "is link-local", ""),
    ("- {name: w1, address: ▸'FD00:0::1', role: worker}", "is not the usual way", "write fd00::1"),
    ("- {name: w1, address: ▸'fd00::1%eth0', role: worker}", "is not a plain IPv6 address", ""),
    ("networking: {podSubnet: ▸10.244.3.0/16}", "is not the usual way", "write 10.244.0.0/16"),
    ("networking: {podSubnet: ▸10.244.0.0}", "has no prefix length", "such as 10.244.0.0/16"),
    ("networking: {podSubnet: ▸pods}", "is not a network", ""),
    ("networking: {podSubnet: ▸'10.244.0.0/16,fd00::/56'}", "only one network is supported", "write 10.244.0.0/16"),
    ("networking: {podSubnet: ▸127.0.0.0/8}", "can't carry pods", ""),
    ("networking: {serviceSubnet: ▸96.0.0.0/11}", "larger than the API server takes", "/12 is the largest"),
    ("networking: {serviceSubnet: ▸10.96.0.0/29}", "has no 10th address", "/28 is the smallest"),
    ("endpoint: ▸https://api.demo.example/", "is not host:port", 'write "api.demo.example:6443"'),
    ("endpoint: ▸api.demo.example", "is not host:port", 'write "api.demo.example:6443"'),
    ("endpoint: ▸'fd00::1'", "is not host:port", 'write "[fd00::1]:6443"'),
    ("endpoint: ▸api:0", "0 is not a port", ""),
    ("endpoint: ▸api:70000", "70000 is not a port", ""),
    ("endpoint: ▸API:6443", "neither an IP address nor a DNS name", ""),
    ("endpoint: ▸10.0.0.999:6443", "neither an IP address nor a DNS name", ""),
    ("apiServer: {certSANs: [ok.example, ▸'a:6443']}", "neither an IP address nor a DNS name", "no port"),
    ("apiServer: {certSANs: ['*.ok.example', ▸'*.10.0.0.1x_']}", "neither an IP address nor a DNS name", ""),
    # ssh
    ("ssh: {port: ▸0}", "must be at least 1", ""),
    ("ssh: {port: ▸65536}", "must be at most 65535", ""),
    ("ssh: {port: ▸'22'}", "must be a whole number", "without quotes"),
    ("ssh: {user: ▸-oProxyCommand=x}", "is not a user's name", ""),
    ("ssh: {jump: ▸'a,-oX'}", "is not a host to go through", ""),
    ("ssh: {identityFile: ▸''}", "must not be empty", ""),
    (node("ssh: {host: ▸-x}"), "is not a host", ""),
    (node("ssh: {host: ▸'a:22'}"), "is not a host", "fields of their own"),
    (node("ssh: {hostKey: ▸'SHA256:abc'}"), "is not a public host key", "ssh-keyscan"),
    (node("ssh: {hostKey: ▸'ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIEvq'}"), "is not a public host key", ""),
    # components
    ("apiServer: {extraArgs: [{name: ▸--v, value: '2'}]}", "without dashes", "write name: v"),
    ("apiServer: {extraArgs: [{name: ▸v=2, value: '2'}]}", "is not a flag's name", "write name: v"),
    ("apiServer: {extraArgs: [{name: ▸log_dir, value: x}]}", "is not a flag's name", "write name: log-dir"),
    ("apiServer: {extraArgs: [{name: v, value: ▸2}]}", "must be text, and 2 is not", 'write "2"'),
    ("apiServer: {extraArgs: [{name: v, value: ▸true}]}", "must be text, and true is not", 'write "true"'),
    ("apiServer: {extraArgs: ▸{v: '2'}}", "must be a list, not a mapping", ""),
    ("apiServer: {extraArgs: [{name: v, ▸valu: '2', value: x}]}", "unknown field", 'did you mean "value"?'),
    ("apiServer: {extraEnvs: [{name: ▸1X, value: x}]}", "is not the name of an environment variable", ""),
    ("apiServer: {extraEnvs: [{name: ▸BOOTSTRAP_PART, value: x}]}", "how this tool recognises what runs", ""),
    (
        "apiServer: {extraVolumes: [{name: x, hostPath: ▸etc, mountPath: /x}]}",
        "is not an absolute path",
        "begins with /",
    ),
    ("apiServer: {extraVolumes: [{name: x, hostPath: /x, mountPath: ▸/a/../b}]}", "plain way", "write /b"),
    ("etcd: {dataDir: ▸/}", "belongs to the system", ""),
    ("etcd: {dataDir: ▸/var/lib}", "belongs to the system", ""),
    ("etcd: {dataDir: ▸/tmp/etcd}", "is emptied by the system", ""),
    ("etcd: {dataDir: ▸/etc/kubernetes/manifests}", "is not apart from /etc/kubernetes", "/var/lib/etcd"),
    ("etcd: {dataDir: ▸/var/lib/bootstrap/etcd}", "is not apart from /var/lib/bootstrap", ""),
    ("schedulers: [{name: a, port: ▸10259}]", "10259 is the port of kube-scheduler", ""),
    ("imageRepository: ▸https://mirror.example/k8s/", "is not an image repository", "write mirror.example/k8s"),
    ("kubernetesVersion: ▸1.37.2", "must be v1.37.2", 'did you mean "v1.37.2"?'),
    ("kubernetesVersion: ▸latest", "must be v1.37.2, v1.36.3 or v1.35.4", ""),
    ("encryptionAlgorithm: ▸RSA2048", "must be", 'did you mean "RSA-2048"?'),
    ("networking: {▸serviceSubnett: 10.96.0.0/12}", "unknown field", 'did you mean "serviceSubnet"?'),
    ("networking: {▸zzz: 1}", "unknown field", "known: podSubnet, serviceSubnet, dnsDomain, plugin"),
]

RULES = [
    ("- {name: ▸cp1, address: 10.77.0.9, role: worker}", "nodes[1].name: is the same as nodes[0].name"),
    ("- {name: w1, address: ▸10.77.0.11, role: worker}", "nodes[1].address: is the same as nodes[0].address"),
    (
        f"{node('ssh: {host: 127.0.0.1, port: 2222}')}\n"
        "- {name: w2, address: 10.77.0.22, role: worker, ssh: {host: ▸127.0.0.1, port: 2222}}",
        "nodes[2].ssh.host: is the same as nodes[1].ssh.host",
    ),
    ("ssh: {▸host: x}", "ssh.host: belongs to one node (write it below nodes[].ssh.host)"),
    ("ssh: {▸hostKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEvq}", "ssh.hostKey: belongs to one node"),
    ("networking: {podSubnet: 10.96.0.0/16, serviceSubnet: ▸10.96.0.0/12}", "overlaps networking.podSubnet"),
    ("networking: {serviceSubnet: ▸10.244.128.0/20}", "10.244.128.0/20 overlaps networking.podSubnet, 10.244.0.0/16"),
    ("- {name: w1, address: ▸10.244.1.1, role: worker}", "lies in networking.podSubnet, 10.244.0.0/16"),
    ("- {name: w1, address: ▸10.96.0.9, role: worker}", "lies in networking.serviceSubnet, 10.96.0.0/12"),
    ("- {name: w1, address: ▸'fd00::1', role: worker}", "is IPv6, and nodes[0].address is IPv4"),
    ("networking: {podSubnet: ▸'fd00::/56'}", "is IPv6, and nodes[0].address is IPv4"),
    (
        f"{node('labels: {}')}\nnetworking: {{podSubnet: ▸10.1.0.0/24}}",
        "has no /24 for each of 2 nodes (/23 has room for 2)",
    ),
    ("networking: {podSubnet: ▸12.0.0.0/7}", "12.0.0.0/7 is too large to be split into /24s (/8 is the largest)"),
    (
        "certificateValidityDays: ▸3000\ncaCertificateValidityDays: 2000",
        "3000 days are more than the authorities' own 2000",
    ),
    (
        "schedulers: [{name: a}, {name: ▸a, profiles: [{schedulerName: b}]}]",
        "schedulers[1].name: is the same as schedulers[0]",
    ),
    (
        "schedulers: [{name: a, port: 10270}, {name: b, port: ▸10270}]",
        "schedulers[1].port: is the same as schedulers[0].port",
    ),
    ("schedulers: [{name: a, profiles: [{schedulerName: ▸default-scheduler}]}]", "is kube-scheduler's"),
    (
        "schedulers: [{name: a}, {name: b, profiles: [{schedulerName: ▸a}]}]",
        "schedulerName: is the same as schedulers[0].name",
    ),
    ("schedulers: [{name: a, profiles: [▸{plugins: {}}]}]", "schedulerName: is missing (write schedulerName: a)"),
    ("schedulers: [{name: a, profiles: [{schedulerName: ▸5}]}]", "schedulerName: must be text"),
    ("schedulers: [{name: a, nodes: [▸cp3]}]", 'there is no node cp3 (did you mean "cp1"?)'),
    (f"{node('labels: {}')}\nschedulers: [{{name: a, nodes: [▸w1]}}]", "w1 is a worker"),
    ("schedulers: [{name: a, nodes: [cp1, ▸cp1]}]", "is the same as schedulers[0].nodes[0]"),
    ("staticPods: [{file: a.yaml, nodes: [▸cp9]}]", "there is no node cp9"),
    ("staticPods: [{file: ▸pods/.x.yaml}]", "does not see a file whose name begins with a dot"),
    ("staticPods: [{file: ▸etcd.yaml}]", "etcd.yaml is the manifest of a part of the control plane"),
    (
        "staticPods: [{file: ▸pods/batch.yaml}]\nschedulers: [{name: batch}]",
        "is the manifest of a part of the control plane",
    ),
    (
        "staticPods: [{file: a/x.yaml}, {file: ▸b/x.yaml, nodes: [cp1]}]",
        "node cp1 has a x.yaml already, from staticPods[0].file",
    ),
    ("controllerManager: {extraArgs: [{name: secure-port, value: ▸'10259'}]}", "10259 is the port of kube-scheduler"),
    ("controllerManager: {extraArgs: [{name: secure-port, value: ▸'x'}]}", "x is not a port"),
    (
        "schedulers: [{name: a, port: 10300}]\nscheduler: {extraArgs: [{name: secure-port, value: ▸'10300'}]}",
        "scheduler.extraArgs[0].value: is the same as schedulers[0].port",
    ),
    ("controllerManager: {extraArgs: [{name: ▸allocate-node-cidrs, value: 'true'}]}", "networking.plugin bridge"),
    (
        "apiServer: {extraVolumes: [{name: a, hostPath: /a, mountPath: /a}, {name: ▸a, hostPath: /b, mountPath: /b}]}",
        "extraVolumes[1].name: is the same as",
    ),
    (
        "apiServer: {extraVolumes: [{name: a, hostPath: /a, mountPath: /a}, {name: b, hostPath: /b, mountPath: ▸/a}]}",
        "extraVolumes[1].mountPath: is the same as",
    ),
    ("etcd: {extraEnvs: [{name: A, value: x}, {name: ▸A, value: y}]}", "extraEnvs[1].name: is the same as"),
    ("kubelet: {kind: ▸Kubelet}", "kubelet.kind: must be KubeletConfiguration (or leave it out)"),
    ("kubelet: {apiVersion: ▸v1}", "kubelet.apiVersion: must be kubelet.config.k8s.io/v1beta1"),
    ("proxy: {config: {kind: ▸x}}", "proxy.config.kind: must be KubeProxyConfiguration"),
    ("kubelet: {staticPodPath: ▸pods}", "is not an absolute path"),
    ("kubelet: {staticPodPath: ▸/run/pods}", "is emptied by the system"),
    ("kubelet: {staticPodPath: ▸/var/lib/etcd/pods}", "is not apart from etcd's data, /var/lib/etcd"),
    (node("kubelet: {staticPodPath: ▸/etc}"), "belongs to the system"),
]


@pytest.mark.parametrize(("marked", "says", "hint"), VALUES)
def test_a_wrong_value_is_told_where_it_is_and_what_to_write(marked: str, says: str, hint: str) -> None:
    text, position = at_mark(f"{MINIMAL}{marked}\n")
    [finding] = wrong(text)
    assert finding.startswith(f"{position}: ")
    assert says in finding
    assert hint in finding


@pytest.mark.parametrize(("marked", "says"), RULES)
def test_a_rule_over_several_fields_is_told_at_the_field_that_breaks_it(marked: str, says: str) -> None:
    text, position = at_mark(f"{MINIMAL}{marked}\n")
    [finding] = wrong(text)
    assert finding.startswith(f"{position}: ")
    assert says in finding


def test_several_control_plane_nodes_need_an_endpoint_and_are_told_why() -> None:
    [finding] = wrong(HA.replace("endpoint: api.demo.example:6443\n", ""))
    assert finding.startswith(
        "1:1: endpoint: is missing, and there are 2 control-plane nodes: kubelets and people need"
    )
    assert "write endpoint: api.demo.example:6443" in finding
    assert wrong(HA.replace("api.demo.example:6443", ""))[0].startswith("1:10: endpoint: is missing")


def test_a_cluster_needs_a_control_plane_node_and_a_typing_error_is_told_only_once() -> None:
    [finding] = wrong(MINIMAL.replace("control-plane", "worker"))
    assert finding.startswith("5:1: nodes: no node has the role control-plane")
    [finding] = wrong(MINIMAL.replace("control-plane", "control-plan"))
    assert "nodes[0].role: must be" in finding


@pytest.mark.parametrize(
    "extra",
    [
        "networking: {plugin: none}\ncontrollerManager: {extraArgs: [{name: allocate-node-cidrs, value: 'false'}]}",
        "networking: {podSubnet: 10.1.0.0/25, plugin: none}\n"
        "controllerManager: {extraArgs: [{name: node-cidr-mask-size, value: '28'}]}",
        "controllerManager: {extraArgs: [{name: secure-port, value: '10357'}]}",
        "scheduler: {extraArgs: [{name: secure-port, value: '10259'}, {name: config, value: /etc/demo.yaml}]}",
        "apiServer: {certSANs: [10.0.0.1, 'fd00::1', '*.demo.example', localhost]}",
        "endpoint: '[fd00::1]:6443'",
        "endpoint: 10.77.0.9:443",
        "kubelet: {staticPodPath: /etc/kubelet.d, kind: KubeletConfiguration, readOnlyPort: null}",
        "ssh: {jump: 'admin@bastion.example:2222,[fd00::9]', user: svc.deploy, sudo: true}",
        "etcd: {dataDir: /srv/etcd}",
        "imageRepository: mirror.example:5000/a/b_c",
        "endpoint:",
        node("ssh: {host: 127.0.0.1, port: 2222}") + "\n"
        "- {name: w2, address: 10.77.0.22, role: worker, ssh: {host: 127.0.0.1, port: 2200}}",
        node("labels: {a: '', example.com/b: x_1.y}, taints: []"),
    ],
)
def test_what_is_right_is_taken(extra: str) -> None:
    assert parse(f"{MINIMAL}{extra}\n", "x").name == "demo"


def test_a_cluster_can_be_all_ipv6_and_its_subnets_have_to_say_so() -> None:
    six = MINIMAL.replace("10.77.0.11", '"fd00:77::11"')
    assert [finding.partition(" (")[0] for finding in wrong(six)] == [
        "1:1: networking.podSubnet: is IPv4 by default",
        "1:1: networking.serviceSubnet: is IPv4 by default",
    ]
    subnets = "networking: {podSubnet: 'fd00:10:244::/56', serviceSubnet: 'fd00:10:96::/112'}\n"
    assert parse(six + subnets, "x").service_address(10) == "fd00:10:96::a"


# --- what the tool owns -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "name", "why"), [(row.place, name, row.why) for row in owned.ARGUMENTS for name in row.names]
)
def test_a_flag_that_is_the_tools_is_refused_with_the_reason(place: str, name: str, why: str) -> None:
    flag = name.replace("*", "x").strip("x-") if name.startswith("*") else name.replace("*", "x")
    arguments = f"extraArgs: [{{name: ▸{flag}, value: x}}]"
    component = f"[{{name: batch, {arguments}}}]" if place == "schedulers" else f"{{{arguments}}}"
    text, position = at_mark(f"{MINIMAL}{place}: {component}\n")
    [finding] = wrong(text)
    assert finding.startswith(f"{position}: {place}")
    assert finding.endswith(f"--{flag} can't be set here ({why})")


@pytest.mark.parametrize(
    ("place", "name", "why"), [(row.place, name, row.why) for row in owned.FIELDS for name in row.names]
)
def test_a_configurations_field_that_is_the_tools_is_refused_with_the_reason(place: str, name: str, why: str) -> None:
    nested = "".join(f"{{{step}: " for step in f"{place}.{name}".split(".")[1:])
    tree = f"{place.partition('.')[0]}: {nested}null{'}' * nested.count('{')}\n"
    [finding] = wrong(MINIMAL + tree)
    assert finding.endswith(f": {place}.{name}: can't be set here ({why})")


# --- what a Cluster knows -----------------------------------------------------------------------------------------


def test_schedulers_without_a_port_get_the_next_free_one_in_the_order_of_the_file() -> None:
    cluster = parse(
        f"{MINIMAL}schedulers: [{{name: a}}, {{name: b, port: 10260}}, {{name: c}}, {{name: d}}]\n"
        "controllerManager: {extraArgs: [{name: secure-port, value: '10262'}]}\n",
        "x",
    )
    assert [cluster.scheduler_port(name) for name in "abcd"] == [10261, 10260, 10263, 10264]
    with pytest.raises(KeyError):
        cluster.scheduler_port("e")


def test_a_node_is_reached_as_it_says_itself_then_as_the_cluster_says() -> None:
    cluster = parse(f"{MINIMAL}{node('ssh: {user: me, host: w1.example}')}\nssh: {{user: root, port: 2222}}\n", "x")
    first, second = (cluster.ssh_of(each) for each in cluster.nodes)
    assert (first.host, first.user, first.port, first.sudo) == ("10.77.0.11", "root", 2222, None)
    assert (second.host, second.user, second.port, second.sudo) == ("w1.example", "me", 2222, None)


def test_nodes_are_found_by_name() -> None:
    cluster = parse(HA, "x")
    assert cluster.node("w1").address == "10.77.0.21"
    assert [each.name for each in cluster.voters] == ["cp1", "cp2"]
    assert cluster.public_url == "https://api.demo.example:6443"
    with pytest.raises(KeyError):
        cluster.node("w2")
