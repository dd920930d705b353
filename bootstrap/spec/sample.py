"""A cluster.yaml to start from: every field, with what it means; what begins with `#` and no blank is switched off."""

from __future__ import annotations

from bootstrap import versions


def example() -> str:
    """A complete cluster.yaml; valid as it is, and with every `#` that has no blank after it taken away."""
    return _TEXT.replace("VERSION", versions.DEFAULT)


_TEXT = """\
# cluster.yaml: everything bootstrap knows about your cluster. Lines that begin with "#" and no blank are fields
# switched off: mostly they show the default. Only apiVersion, kind, name and nodes are needed.
#   bootstrap config validate              checks this file
#   bootstrap config schema > schema.json  and a first line "# yaml-language-server: $schema=schema.json"
#                                          make editors complete and check it as you type
apiVersion: bootstrap/v1
kind: Cluster

# Lower-case letters, digits and "-". It can't change once the cluster exists.
name: demo

# Kubernetes to run; etcd, CoreDNS and pause follow from it.
kubernetesVersion: VERSION

# host:port of a balancer or DNS name that leads to every API server. Needed with several control-plane nodes.
#endpoint: api.demo.example:6443

# How all nodes are reached. What is not said here, ~/.ssh/config and /etc/ssh/ssh_config may say (Host, Match,
# ProxyJump, ...); then: user root, port 22, the agent's keys and those of ~/.ssh.
ssh:
  user: root
  #port: 22
  #identityFile: ~/.ssh/id_ed25519
  # Where the passphrase of that key is: a file, or with passphraseEnv a variable; if not said, you are asked.
  #passphraseFile: secrets/passphrase
  # A host to go through; one connection to it serves all nodes.
  #jump: admin@bastion.example
  # A host key that nobody knows is refused. accept-new: it is written down the first time, a changed one is refused.
  #hostKeyPolicy: strict
  # Whether to become root by sudo; if not said, whenever the user is not root.
  #sudo: true
  # Where the password is that sudo asks for, or with sudoPasswordFile a file; if not said, you are asked, once.
  #sudoPasswordEnv: SUDO_PASSWORD
  # A configuration of ssh to look at instead of your own and the machine's; none: none.
  #configFile: ~/.ssh/config

nodes:
# address: where the other nodes reach it. Names that look like numbers need quotes: "123".
- name: cp1
  address: 192.168.56.11
  role: control-plane
  #ssh:
    # Where you reach it, if not at its address; and what it may differ in: port, user, identityFile, jump, sudo.
    #host: cp1.example
    # The only host key that is accepted, as ssh-keyscan prints it; if not given, known_hosts decides.
    #hostKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEvq3isjNDC5cYuqzs8P4FHLIqILbXmlqfxa2HOI4vc8
#- name: cp2
  #address: 192.168.56.12
  #role: control-plane
#- name: cp3
  #address: 192.168.56.13
  #role: control-plane
- name: w1
  address: 192.168.56.21
  role: worker
  #labels:
    #topology.kubernetes.io/zone: a
  # If not given: kubeadm's taint on control-plane nodes, none on workers.
  #taints:
  #- key: dedicated
    #value: batch
    #effect: NoSchedule
  # KubeletConfiguration fields of this node, over those below; null removes one.
  #kubelet:
    #maxPods: 50

# Networks that overlap neither each other nor the addresses of the nodes. Pod subnet: a /24 for each node.
networking:
  podSubnet: 10.244.0.0/16
  serviceSubnet: 10.96.0.0/12
  #dnsDomain: cluster.local
  # bridge: bootstrap connects the pods, of nodes on one network. none: you install a CNI plugin yourself.
  #plugin: bridge

# Schedulers beside kube-scheduler. The name is enough: it is what pods write as schedulerName.
#schedulers:
#- name: batch-scheduler
  # If not given, the next free one from 10260.
  #port: 10270
  # If not given, every control-plane node.
  #nodes: [cp1]
  # KubeSchedulerConfiguration profiles; if not given, one of the scheduler's name.
  #profiles:
  #- schedulerName: batch-scheduler
    #plugins:
      #multiPoint:
        #disabled:
        #- name: PodTopologySpread

# What you add to the static pods. extraArgs replace every default of the same name; values are text.
#apiServer:
  # Further names and addresses of its certificate.
  #certSANs: [api.demo.example, 203.0.113.7]
  #extraArgs:
  #- name: event-ttl
    #value: 2h
  #extraVolumes:
  #- name: policies
    #hostPath: /etc/demo/policies
    #mountPath: /etc/demo/policies
    #readOnly: true
    #pathType: Directory
  #extraEnvs:
  #- name: GOMEMLIMIT
    #value: 3GiB
#controllerManager:
  #extraArgs:
  #- name: node-monitor-grace-period
    #value: 50s
#scheduler:
  #extraArgs:
  #- name: v
    #value: "2"
#etcd:
  # A disk of its own is worth it. It can't change once the cluster exists.
  #dataDir: /var/lib/etcd
  #serverCertSANs: [etcd.demo.example]
  #peerCertSANs: [etcd.demo.example]
  #extraArgs:
  #- name: quota-backend-bytes
    #value: "8589934592"

# KubeletConfiguration fields of every node.
#kubelet:
  #maxPods: 110
  # The manifest directory; if not given, the one the node's kubelet has already.
  #staticPodPath: /etc/kubernetes/manifests

#dns:
  #disabled: false
#proxy:
  #disabled: false
  #mode: nftables
  # KubeProxyConfiguration fields.
  #config:
    #metricsBindAddress: 127.0.0.1:10249

# Where the images come from; a mirror is flat, as kubeadm's are: mirror.example/coredns.
#imageRepository: registry.k8s.io

# Static pods of your own: one pod a file, on these nodes or on all. They can't refer to Secrets or ConfigMaps.
#staticPods:
#- file: pods/agent.yaml
  #nodes: [w1]

# Manifests to apply, files or directories; never forced over what somebody else owns.
#addons:
#- file: addons/

# Let machines join as workers by `kubeadm join` (bootstrap token create prints the line); a CA key is then on the
# control-plane nodes. It needs networking.plugin none.
#kubeadmJoin: false

# ECDSA-P256, ECDSA-P384, RSA-2048, RSA-3072 or RSA-4096.
#encryptionAlgorithm: ECDSA-P256
#certificateValidityDays: 365
#caCertificateValidityDays: 3650
"""
