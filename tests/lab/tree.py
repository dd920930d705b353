"""What a node has beside Debian's files: path -> text, or a symbolic link as Path."""

from __future__ import annotations

from pathlib import PurePosixPath

from bootstrap.versions import Release

KUBELET_DROPIN = "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"
LINK = PurePosixPath  # where a symbolic link points
UNWANTED = (  # hardware, consoles and housekeeping are the machine's, not a container's
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty-static.service",
    "getty@.service",
    "proc-sys-fs-binfmt_misc.automount",
    "systemd-binfmt.service",
    "systemd-remount-fs.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udevd.service",
)

# The layout of the packages that people install; until a configuration exists it restarts every ten seconds.
KUBELET_SERVICE = """\
[Unit]
Description=kubelet: the Kubernetes node agent
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=10

[Install]
WantedBy=multi-user.target
"""
KUBEADM_CONF = """\
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
--kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
"""
# The kernel's messages are the machine's, and as many again in each node's journal.
JOURNALD = """\
[Journal]
ReadKMsg=no
Storage=volatile
"""
CONTAINERD_1 = """\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""
CONTAINERD_2 = """\
version = 3
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "registry.k8s.io/pause:{pause}"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "/etc/cni/net.d"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      SystemdCgroup = true
"""
# What goes astray, to a pod of another node say, must not leave this machine. Yet a node needs a default route: without
# one the kernel refuses to send to a Service's address before kube-proxy's rules have seen the packet. So the default
# route ends at a bridge without ports; it comes before podman's, which has a metric.
NOWHERE = """\
[Unit]
Description=A default route that leads nowhere
Before=containerd.service kubelet.service

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'ip link add nowhere type bridge; ip link set nowhere up; ip route replace default dev nowhere'
"""


def files(release: Release, *, containerd: int) -> dict[str, str | PurePosixPath]:
    """The node's own files for this release and this major version of containerd."""
    units = "/etc/systemd/system"
    configuration = {1: CONTAINERD_1, 2: CONTAINERD_2}[containerd]
    return {
        "/etc/containerd/config.toml": configuration.format(pause=release.pause),
        "/etc/systemd/journald.conf.d/lab.conf": JOURNALD,
        "/usr/lib/systemd/system/kubelet.service": KUBELET_SERVICE,
        KUBELET_DROPIN: KUBEADM_CONF,
        f"{units}/multi-user.target.wants/kubelet.service": LINK("/usr/lib/systemd/system/kubelet.service"),
        f"{units}/nowhere.service": NOWHERE,
        f"{units}/multi-user.target.wants/nowhere.service": LINK(f"{units}/nowhere.service"),
        f"{units}/default.target": LINK("/usr/lib/systemd/system/multi-user.target"),
        **{f"{units}/{unit}": LINK("/dev/null") for unit in UNWANTED},
    }
