#!/bin/sh
# Lets the node's runtime have images before a kubelet asks for them: lines of IMAGE, what became of it, why.
# What is there already is not asked for again. Usage: pull.sh SOCKET IMAGE…
set -u
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export LC_ALL PATH
socket=$1
shift
place=${socket#unix://}
hosts=
[ -d /etc/containerd/certs.d ] && hosts=--hosts-dir=/etc/containerd/certs.d

if command -v crictl >/dev/null; then # as the kubelet does: with the runtime's own mirrors, credentials and proxies
	there() { crictl --runtime-endpoint "$socket" inspecti "$1" >/dev/null 2>&1; }
	pull() { crictl --runtime-endpoint "$socket" pull "$1" 2>&1; }
elif command -v ctr >/dev/null && [ "${place##*/}" = containerd.sock ]; then
	there() { ctr -a "$place" -n k8s.io images ls -q "name==$1" | grep -q .; }
	# shellcheck disable=SC2086 # one word or none
	pull() { ctr -a "$place" -n k8s.io images pull $hosts "$1" 2>&1; }
	# It fetches by itself, not through containerd: with containerd's proxies.
	pid=$(systemctl show -p MainPID --value containerd 2>/dev/null)
	for variable in $(tr '\0' '\n' <"/proc/${pid:-0}/environ" 2>/dev/null | grep -iE '^(https?|no)_proxy=[^ ]*$'); do
		export "${variable?}"
	done
else
	echo "neither crictl nor ctr is there to ask the runtime" >&2
	exit 1
fi

for image in "$@"; do
	{
		if there "$image"; then
			printf '%s\tthere\n' "$image"
		elif why=$(pull "$image"); then
			printf '%s\tpulled\n' "$image"
		else
			printf '%s\tfailed\t%s\n' "$image" "$(printf '%s' "$why" | tail -n 1 | cut -c 1-500)"
		fi
	} &
done
wait
