"""Where things lie on a node: kubeadm's paths, so that its users and tools feel at home."""

KUBERNETES = "/etc/kubernetes"
MANIFESTS = f"{KUBERNETES}/manifests"
PKI = f"{KUBERNETES}/pki"
KUBELET = "/var/lib/kubelet"
KUBELET_PKI = f"{KUBELET}/pki"
KUBELET_CONFIG = f"{KUBELET}/config.yaml"
KUBELET_UNIT = "/etc/systemd/system/kubelet.service"  # ours only where the node has none
KUBELET_DROPIN = "/etc/systemd/system/kubelet.service.d/50-bootstrap.conf"
ETCD = "/var/lib/etcd"
AUDIT_LOGS = "/var/log/kubernetes/audit"
CNI = "/etc/cni/net.d/10-bootstrap.conflist"
OURS = "/var/lib/bootstrap"  # record, former generations, staging: root 0700
ASIDE = f"{OURS}/former-etcd"  # etcd's data that was moved aside, by time
