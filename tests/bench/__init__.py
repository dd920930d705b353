"""The benchmark: kubeadm, the lower bound and ours, in turn, in one run. `python -m tests.bench --help` tells more."""
