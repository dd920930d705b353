"""`kubeadmJoin` on real nodes: a worker joins by `kubeadm join`, is of use, and all of it goes away again.

In the same cluster, since it costs a founding: a network plugin of the user's own, `join NODE`, and `remove` of a node
that the file no longer names.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from ssl import CERT_NONE, create_default_context

import pytest

from tests.cluster import Desk, Ended, nodes_of_its_own, pod, root, until
from tests.lab import Lab

pytestmark = pytest.mark.lab

IGNORED = "--ignore-preflight-errors=SystemVerification,Mem,NumCPU"  # what a container can't show
KEY = "etc/kubernetes/pki/kubelet-ca.key"
INFO = "/api/v1/namespaces/kube-public/configmaps/cluster-info"


@dataclass(frozen=True, slots=True)
class Joined:
    """A cluster with cp1 and w1, where w2 has joined by kubeadm."""

    desk: Desk
    init: Ended
    early: Ended  # `token create` before kubeadmJoin
    line: str
    waits: tuple[Ended, Ended]  # `status` after it, for programs and for people
    first: Ended  # `apply` after that


@pytest.fixture(scope="module")
def joined(lab_names: Iterator[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Joined]:
    """Founded, changed, and joined, once."""
    with nodes_of_its_own(next(lab_names), tmp_path_factory.mktemp("desk"), nodes=1, workers=2) as here:
        every = here.tree()
        nodes = [node for node in every["nodes"] if node["name"] != "w2"]
        here.describe(networking={**every["networking"], "plugin": "none"}, nodes=nodes[:1])
        init = here.bootstrap("init")
        network(here.lab)
        early = here.bootstrap("token", "create")
        here.describe(kubeadmJoin=True)
        here.done("apply", "--yes")
        line = here.done("token", "create", "--description", "for w2").out
        w2 = here.lab.node("w2")
        w2.exec("sysctl", "-qw", "net.ipv4.ip_forward=1")
        w2.exec(*line.split(), IGNORED)
        until(lambda: [each for each in requests(here) if each["spec"]["username"] == "system:node:w2"])
        waits = here.bootstrap("status", "-o", "json"), here.bootstrap("status")
        yield Joined(here, init, early, line, waits, here.bootstrap("apply", "--yes"))


def network(lab: Lab) -> None:
    """What a network plugin of the user's own would leave on each node."""
    for number, node in enumerate(lab.nodes):
        ipam = {"type": "host-local", "ranges": [[{"subnet": f"10.244.{number}.0/24"}]]}
        bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipam": ipam}
        node.exec("mkdir", "-p", "/etc/cni/net.d")
        conf = {"cniVersion": "0.4.0", "name": "user", "plugins": [bridge]}
        node.exec("tee", "/etc/cni/net.d/10-user.conflist", stdin=json.dumps(conf))


def requests(here: Desk) -> list[dict[str, dict[str, str]]]:
    """The requests for serving certificates."""
    every: list[dict[str, dict[str, str]]] = here.get("certificatesigningrequests")["items"]
    return [each for each in every if each["spec"]["signerName"] == "kubernetes.io/kubelet-serving"]


def is_ready(here: Desk, name: str) -> bool:
    """Whether this node is Ready."""
    conditions = here.get("node", name)["status"]["conditions"]
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def nobody(here: Desk, path: str) -> int:
    """The status that the API answers with, to somebody without a credential."""
    tls = create_default_context()
    tls.check_hostname, tls.verify_mode = False, CERT_NONE
    try:
        with urllib.request.urlopen(f"https://{here.node.address}:6443{path}", context=tls, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_init_with_a_plugin_of_the_users_own_ends_well_and_says_what_nodes_wait_for(joined: Joined) -> None:
    assert joined.init.status == 0, joined.init
    assert "cp1: not Ready until your network plugin runs" in joined.init.err


def test_before_it_is_on_there_are_no_tokens_and_people_are_told_how(joined: Joined) -> None:
    assert joined.early.status == 2
    assert "kubeadmJoin: true" in joined.early.err


def test_one_line_is_printed_and_it_joins_a_machine(joined: Joined) -> None:
    assert joined.line.startswith(f"kubeadm join {joined.desk.node.address}:6443 --token ")
    assert joined.line.count("\n") == 1
    until(lambda: is_ready(joined.desk, "w2"))


def test_who_joined_is_no_stranger_to_apply(joined: Joined) -> None:
    assert joined.first.status == 0, joined.first
    until(joined.desk.nothing_left)
    assert joined.desk.done("apply", "--yes").err.startswith("nothing to do")


def test_status_says_who_waits_for_a_serving_certificate_until_apply_has_approved_it(joined: Joined) -> None:
    tree, text = joined.waits
    assert [(each["user"], each["wrong"]) for each in json.loads(tree.out)["requests"]] == [("system:node:w2", "")]
    assert re.search(r"system:node:w2 asks for its serving certificate .*: bootstrap apply approves it", text.err)
    until(lambda: json.loads(joined.desk.bootstrap("status", "-o", "json").out)["requests"] == [])


def test_logs_and_exec_work_there_with_a_certificate_that_is_verified(joined: Joined) -> None:
    here = joined.desk
    here.apply(pod("there", ["sh", "-c", "echo listening; exec sleep 3600"], nodeName="w2"))
    try:
        here.kubectl("wait", "--for=condition=Ready", "pod/there", "--timeout=240s")
        assert until(lambda: here.kubectl("logs", "there")) == "listening\n"
        assert until(lambda: here.kubectl("exec", "there", "--", "hostname")) == "there\n"
    finally:
        here.kubectl("delete", "pod/there", "--wait=false")


def test_the_token_is_listed_without_its_secret_and_can_be_deleted(joined: Joined) -> None:
    here = joined.desk
    secret = joined.line.split()[4].partition(".")[2]
    listed = here.done("token", "list", "-o", "json").out
    (token,) = json.loads(listed)["tokens"]
    assert token["description"] == "for w2"
    assert secret not in listed
    alone = here.done("token", "create", "--ttl", "1h", "--token-only").out.strip()
    here.done("token", "delete", alone.partition(".")[0])
    assert [each["id"] for each in json.loads(here.done("token", "list", "-o", "json").out)["tokens"]] == [token["id"]]
    assert here.bootstrap("token", "delete", "nobody").status == 1


def test_nobody_reads_anything_but_cluster_info(joined: Joined) -> None:
    assert nobody(joined.desk, INFO) == 200
    assert nobody(joined.desk, "/api/v1/namespaces/kube-public/configmaps") == 401
    assert nobody(joined.desk, "/version") == 401


def test_a_node_joins_by_name_and_is_removed_after_its_entry_is_gone(joined: Joined) -> None:
    here = joined.desk
    before = here.tree()["nodes"]
    w1 = here.lab.node("w1")
    entry = {"name": "w1", "address": w1.address, "role": "worker", "ssh": {"hostKey": w1.host_key}}
    here.describe(nodes=[*before, entry])
    assert here.bootstrap("join", "w7").status == 64
    here.done("join", "w1")
    until(lambda: is_ready(here, "w1"))
    here.describe(nodes=before)
    told = here.bootstrap("apply", "--yes")
    assert (told.status, "bootstrap remove w1" in told.err) == (2, True)
    here.done("remove", "w1", "--yes")
    assert not (root(w1) / "var/lib/kubelet/config.yaml").exists()
    assert {node["metadata"]["name"] for node in here.get("nodes")["items"]} == {"cp1", "w2"}
    until(here.nothing_left)
    assert here.done("apply", "--yes").err.startswith("nothing to do")
    assert here.bootstrap("remove", "w1", "--yes").status == 64


def test_turned_off_nothing_of_it_is_left_once_nobody_lives_by_it(joined: Joined) -> None:
    here = joined.desk
    assert (root(here.node) / KEY).exists()
    here.describe(kubeadmJoin=False)
    refused = here.bootstrap("apply", "--yes")
    assert (refused.status, "bootstrap remove w2" in refused.err) == (7, True)
    removed = here.done("remove", "w2", "--yes")
    assert "on w2, if it is there still: kubeadm reset" in removed.err
    here.done("apply", "--yes")
    assert not here.get("-n", "kube-system", "secrets")["items"]
    kept = here.get("-A", "clusterroles,clusterrolebindings,roles,rolebindings,configmaps")["items"]
    assert not [each["metadata"]["name"] for each in kept if "bootstrappers" in json.dumps(each.get("subjects", ""))]
    assert "cluster-info" not in {each["metadata"]["name"] for each in kept}
    assert nobody(here, INFO) == 401
    gone = "find /etc/kubernetes -name 'kubelet-ca*' -o -name 'kubernetes-cas*'; "
    gone += "find / -xdev -ignore_readdir_race -name kubelet-ca.key"
    assert here.node.shell(gone) == ""
    until(here.nothing_left)
    assert here.done("apply", "--yes").err.startswith("nothing to do")
