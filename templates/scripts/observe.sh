#!/bin/sh
# Tells all that is known of a node: lines of a key and its fields, tab-separated. Reads only.
# Usage: observe.sh ETCD MANIFESTS   (the manifest directory that cluster.yaml names, or "")
set -u
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export LC_ALL PATH
etcd=$1
manifests=$2
ours=/var/lib/bootstrap
tab=$(printf '\t')

# A turn may outlive the run that began it: what it leaves is what is seen.
[ -f $ours/lock ] && flock -w 45 $ours/lock true

say() { printf '%s\t%s\n' "$1" "$2"; }

say user "$(id -u)"
say hostname "$(hostname 2>/dev/null || cat /proc/sys/kernel/hostname)"
say clock "$(date +%s)"
[ -r /etc/machine-id ] && IFS= read -r id </etc/machine-id && say machine-id "$id"
command -v systemctl >/dev/null && say systemd yes
[ -f $ours/record.json ] && say record "$(cat $ours/record.json)"
recorded=$(sed -n 's/.*"manifests":"\([^"]*\)".*/\1/p' $ours/record.json 2>/dev/null)
manifests=${manifests:-$recorded}

# The kubelet: how it runs, else how its unit would run it.
unit=$(systemctl show -p MainPID,LoadState,Environment,EnvironmentFiles,ExecStart kubelet 2>/dev/null)
property() { # as many lines as it has
	printf '%s\n' "$unit" | sed -n "s/^$1=//p"
}
unit_words() { # the command line of the unit, one word a line, its variables replaced by their words
	{
		property Environment | # NAME=value "OTHER=two words"
			awk -F '"' '{ for (i = 1; i <= NF; i++) { if (i % 2) gsub(" ", "\n", $i); print $i } }'
		property 'EnvironmentFiles\{0,1\}' | sed 's/ (ignore_errors=[a-z]*)$//' |
			while IFS= read -r file; do [ -r "$file" ] && sed "s/=[\"']\(.*\)[\"']\$/=\1/" "$file"; done
		echo --
		# "{ path=/usr/bin/kubelet ; argv[]=/usr/bin/kubelet $ARGS ; ignore_errors=… }"
		property ExecStart | sed -n 's/.*argv\[\]=\([^;]*\);.*/\1/p' | tr ' ' '\n'
	} 2>/dev/null | awk '
		$0 == "--" { command = 1; next }
		!command { name = $0; sub("=.*", "", name); value[name] = substr($0, length(name) + 2); next }
		/^\$/ { gsub("[${}]", ""); $0 = value[$0]; gsub(" ", "\n") }
		{ print }' | grep .
}
pid=$(property MainPID)
# Between fork and exec it still is systemd.
if [ "${pid:-0}" != 0 ] && [ -r "/proc/$pid/cmdline" ] && ! [ "/proc/$pid/exe" -ef /proc/1/exe ]; then
	words=$(tr '\0' '\n' <"/proc/$pid/cmdline")
	say kubelet.state running
else
	words=$(unit_words)
	say kubelet.state "$(property LoadState)"
fi
say kubelet.binary "$(command -v kubelet)"
printf '%s\n' "$words" | while IFS= read -r word; do [ -n "$word" ] && say kubelet.word "$word"; done

flag() { # the value of --NAME=value or --NAME value; the last one counts
	printf '%s\n' "$words" | sed -n "s/^--$1=//p; /^--$1\$/{n;p;}" | tail -n 1
}
static_pod_path() { # of one KubeletConfiguration, YAML or JSON
	sed '/^[[:space:]]*#/d; s/[{,][[:space:]]*"/\n"/g' "$1" 2>/dev/null |
		sed -n 's/^[[:space:]]*"\{0,1\}staticPodPath"\{0,1\}[[:space:]]*:[[:space:]]*//p' |
		sed 's/[[:space:]]#.*$//; s/[",'"'"'}[:space:]]*$//; s/^["'"'"']//' | tail -n 1
}
drop_ins() { # in the order of the kubelet: file names, directory by directory
	find "$1" -name '*.conf' ! -type d | tr / '\001' | sort | tr '\001' /
}
if [ -z "$manifests" ]; then
	config=$(flag config)
	directory=$(flag config-dir)
	manifests=$(flag pod-manifest-path)
	if [ -z "$manifests" ] && [ -n "$directory" ] && [ -d "$directory" ]; then
		manifests=$(drop_ins "$directory" | while IFS= read -r file; do static_pod_path "$file" && echo; done |
			grep . | tail -n 1)
	fi
	[ -z "$manifests" ] && [ -n "$config" ] && manifests=$(static_pod_path "$config")
	[ -z "$manifests" ] && manifests=/etc/kubernetes/manifests
fi
manifests=${manifests%/}
say manifests "$manifests"

# Every file that is ours, or lies where ours go; few processes, since this runs before every wave.
paths=$({
	find /etc/kubernetes "$manifests" ${recorded:+"$recorded"} /etc/systemd/system/kubelet.service.d /etc/cni/net.d -type f 2>/dev/null
	find /var/lib/kubelet -maxdepth 1 -type f \( -name '*.yaml' -o -name '*.env' \) 2>/dev/null
	find /var/lib/kubelet/pki -maxdepth 1 -type f 2>/dev/null
	find /etc/sysctl.d/99-bootstrap.conf /etc/modules-load.d/bootstrap.conf \
		/etc/systemd/system/bootstrap-routes.service /etc/systemd/system/kubelet.service -type f 2>/dev/null
} | grep -v "$tab" | sort -u)
[ -n "$paths" ] && {
	printf '%s\n' "$paths" | tr '\n' '\0' | xargs -0 sha256sum
	echo --
	printf '%s\n' "$paths" | tr '\n' '\0' | xargs -0 stat -c '%a %u:%g %n'
} | awk '
	/^--$/ { modes = 1; next }
	!modes { sum[substr($0, 67)] = substr($0, 1, 64); next }
	{
		path = substr($0, length($1) + length($2) + 3)
		printf "file\t%s\t%s:%s%s\n", path, sum[path], $1, $2 == "0:0" ? "" : ":" $2
	}'
for entry in "$manifests"/*; do # what the kubelet would try to read and is no plain file
	if [ -e "$entry" ] && { [ -d "$entry" ] || [ -L "$entry" ]; }; then say odd "$entry"; fi
done

# What runs: the environment tells, in any runtime and cgroup layout, API up or down.
grep -lsz '^BOOTSTRAP_GENERATION=' /proc/[0-9]*/environ 2>/dev/null | while IFS= read -r environ; do
	read -r stat 2>/dev/null <"${environ%environ}stat" || continue # it has just ended
	# shellcheck disable=SC2086 # words; the 22nd is when it began, and the second, in brackets, may have blanks
	set -- ${stat##*)}
	printf 'run\t%s\t%s\n' "${20}" "$(tr '\0' '\n' <"$environ" 2>/dev/null | sed -n 's/^BOOTSTRAP_PART=//p; s/^BOOTSTRAP_GENERATION=//p' | tr '\n' '\t')"
done

[ -d $ours/former-etcd ] && say aside yes

# etcd's member id: the second entry of any write-ahead log holds it.
if [ -d "$etcd" ] && [ -n "$(ls -A "$etcd" 2>/dev/null)" ]; then
	wal=$(find "$etcd/member/wal" -name '*.wal' -size +0 2>/dev/null | sort | tail -n 1)
	say etcd "$([ -n "$wal" ] && od -An -v -tx1 -N 160 "$wal" | tr -d ' \n')"
fi

# What its files depend on.
[ -S /run/systemd/resolve/io.systemd.Resolve ] && say resolved yes
for directory in /etc/pki/ca-trust /etc/pki/tls/certs /etc/ca-certificates /usr/share/ca-certificates /usr/local/share/ca-certificates; do
	[ -d $directory ] && say ca $directory
done
for socket in /run/containerd/containerd.sock /run/crio/crio.sock /run/cri-dockerd.sock; do
	[ -S $socket ] && say runtime $socket
done
[ -r /etc/sysctl.d/99-bootstrap.conf ] && while IFS='= ' read -r name value; do
	case $name in '' | '#'*) continue ;; esac
	[ "$(cat "/proc/sys/$(printf %s "$name" | tr . /)" 2>/dev/null)" = "$value" ] || say sysctl "$name"
done </etc/sysctl.d/99-bootstrap.conf
parent=$etcd
while [ -n "$parent" ] && [ ! -d "$parent" ]; do parent=${parent%/*}; done
say free "$(df -Pk "${parent:-/}" | awk 'NR == 2 { print $4 }')"
awk '$4 == "0A" { print "port\t" $2 }' /proc/net/tcp /proc/net/tcp6 2>/dev/null | sort -u
say end ok
