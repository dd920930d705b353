"""Bring up a Kubernetes control plane of static pods over SSH, from one cluster.yaml."""
