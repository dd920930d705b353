#!/bin/sh
# The demo: a fresh node, `bootstrap init` on it over SSH, and what a newcomer would look at. Usage: demo.sh BIN NAME
set -eu
bin=$1
name=$2
step() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }
echo "A node that looks like a fresh machine: systemd, sshd, containerd, a kubelet. The first time, Kubernetes is built."
BOOTSTRAP_FILE=$("$bin/python" -m tests.lab up --nodes 1 --name "$name")
export BOOTSTRAP_FILE
directory=$(dirname "$BOOTSTRAP_FILE")
kubectl=$("$bin/python" -c 'from bootstrap.versions import DEFAULT; from tests.lab.build import binaries; print(binaries(DEFAULT))')/kubectl
step bootstrap init
"$bin/bootstrap" init
"$bin/bootstrap" kubeconfig >"$directory/admin.conf"
KUBECONFIG=$directory/admin.conf
export KUBECONFIG
step kubectl wait --for=condition=Ready node --all
"$kubectl" wait --for=condition=Ready node --all --timeout=120s
"$kubectl" -n kube-system rollout status deployment/coredns --timeout=180s
step kubectl get nodes -o wide
"$kubectl" get nodes -o wide
step kubectl get pods -A
"$kubectl" get pods -A
step bootstrap status
"$bin/bootstrap" status
cat <<END

The cluster is yours to look at:
  export BOOTSTRAP_FILE=$BOOTSTRAP_FILE
  export KUBECONFIG=$KUBECONFIG
  $kubectl get pods -A
  $bin/bootstrap plan
Away with it:
  $bin/python -m tests.lab down --name $name
END
