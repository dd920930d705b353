#!/bin/sh
# Gives a Debian 12 machine what bootstrap wants to find: containerd, the CNI plugins and a kubelet. May run again.
# Usage: provision.sh KUBERNETES_VERSION ENDPOINT_NAME CONTROL_PLANE_ADDRESS...
set -eu
export DEBIAN_FRONTEND=noninteractive

version=${1#v} # 1.37.2
endpoint=$2
shift 2

# The kubelet refuses to start with swap on.
swapoff --all
sed -i '/[[:space:]]swap[[:space:]]/d' /etc/fstab

# The endpoint is every control-plane node: Kubernetes' clients try the next address where one does not answer.
sed -i "/[[:space:]]$endpoint\$/d" /etc/hosts
for address in "$@"; do
    printf '%s %s\n' "$address" "$endpoint" >>/etc/hosts
done

# Debian's containerd has its own place for CNI plugins; systemd manages cgroups, so containerd has to ask it.
apt-get update -q
apt-get install -qy --no-install-recommends \
    ca-certificates conntrack containerd containernetworking-plugins curl gpg iptables
cat >/etc/containerd/config.toml <<'TOML'
version = 2

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.10.2"

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "/etc/cni/net.d"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = true
TOML
systemctl enable containerd
systemctl restart containerd

# https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/change-package-repository/
packages="https://pkgs.k8s.io/core:/stable:/v${version%.*}/deb"
keyring=/etc/apt/keyrings/kubernetes.gpg
mkdir -p /etc/apt/keyrings
curl --fail --silent --show-error --location --retry 5 "$packages/Release.key" --output /tmp/kubernetes.asc
gpg --batch --yes --dearmor --output "$keyring" /tmp/kubernetes.asc
echo "deb [signed-by=$keyring] $packages/ /" >/etc/apt/sources.list.d/kubernetes.list
apt-get update -q
apt-get install -qy --no-install-recommends --allow-change-held-packages "kubelet=$version-*"
apt-mark hold kubelet # bootstrap says which version runs
systemctl enable kubelet
