"""The nodes of cluster.yaml as an inventory of Ansible's: as INI, as YAML, and as an inventory script prints it."""

from __future__ import annotations

import shlex
from typing import Any

from bootstrap.spec.model import Cluster, Node

Tree = dict[str, Any]


def groups(cluster: Cluster) -> dict[str, list[str]]:
    """Group -> its nodes, in the order of the file."""
    schedulers = {node for each in cluster.schedulers for node in (each.nodes or [it.name for it in cluster.voters])}
    control_plane = [node.name for node in cluster.voters]
    return {
        "control_plane": control_plane,
        "etcd": control_plane,
        "workers": [node.name for node in cluster.nodes if not node.control_plane],
        "schedulers": [name for name in control_plane if name in schedulers],  # further ones: kube-scheduler is on all
    }


def host(cluster: Cluster, node: Node) -> Tree:
    """How Ansible's ssh reaches a node as we do, and what a play may want to know of it."""
    ssh = cluster.ssh_of(node)
    user = ssh.user or "root"
    options = [f"-o ProxyJump={ssh.jump}"] if ssh.jump else []
    if ssh.config_file:
        options.append(f"-F {shlex.quote(_path(cluster, ssh.config_file) if ssh.config_file != 'none' else 'none')}")
    if ssh.host_key:  # the only key that is accepted, without a file: ssh asks this program, since OpenSSH 8.5
        options.append(f'-o "KnownHostsCommand=/bin/echo %H {ssh.host_key}"')
        options.append("-o UserKnownHostsFile=none -o StrictHostKeyChecking=yes")
    elif ssh.host_key_policy:
        options.append(f"-o StrictHostKeyChecking={'yes' if ssh.host_key_policy == 'strict' else 'accept-new'}")
    known: Tree = {
        "ansible_host": ssh.host,
        "ansible_port": ssh.port,
        "ansible_user": user,
        "ansible_ssh_private_key_file": _path(cluster, ssh.identity_file) if ssh.identity_file else None,
        "ansible_become": user != "root" if ssh.sudo is None else ssh.sudo,
        "ansible_ssh_common_args": " ".join(options) or None,
        "bootstrap_address": node.address,
        "bootstrap_role": node.role,
    }
    return {name: value for name, value in known.items() if value is not None}


def everywhere(cluster: Cluster) -> Tree:
    """What a play may want to know of the cluster."""
    return {
        "bootstrap_cluster": cluster.name,
        "bootstrap_kubernetes_version": cluster.kubernetes_version,
        "bootstrap_url": cluster.public_url,
    }


def tree(cluster: Cluster) -> Tree:
    """As YAML: https://docs.ansible.com/ansible/latest/collections/ansible/builtin/yaml_inventory.html."""
    return {
        "all": {
            "vars": everywhere(cluster),
            "hosts": {node.name: host(cluster, node) for node in cluster.nodes},
            "children": {name: {"hosts": {node: {} for node in nodes}} for name, nodes in groups(cluster).items()},
        }
    }


def script(cluster: Cluster) -> Tree:
    """As a script prints it: https://docs.ansible.com/ansible/latest/dev_guide/developing_inventory.html."""
    return {
        "_meta": {"hostvars": {node.name: host(cluster, node) for node in cluster.nodes}},
        "all": {"vars": everywhere(cluster), "children": list(groups(cluster))},
        **{name: {"hosts": nodes} for name, nodes in groups(cluster).items()},
    }


def ini(cluster: Cluster) -> str:
    """As INI: https://docs.ansible.com/ansible/latest/collections/ansible/builtin/ini_inventory.html."""
    lines = [
        " ".join([node.name, *(f"{name}={_word(value)}" for name, value in host(cluster, node).items())])
        for node in cluster.nodes
    ]
    for name, nodes in groups(cluster).items():
        lines += ["", f"[{name}]", *nodes]
    lines += ["", "[all:vars]", *(f"{name}={value}" for name, value in everywhere(cluster).items())]
    return "\n".join(lines) + "\n"


def _path(cluster: Cluster, text: str) -> str:
    """Paths of the file start from its directory, an inventory may lie anywhere."""
    return text if text.startswith("~") else str((cluster.base / text).resolve())


def _word(value: object) -> str:
    """Ansible splits the line as a shell does, and then reads what it can as Python."""
    return shlex.quote(str(value))
