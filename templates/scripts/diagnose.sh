#!/bin/sh
# Tells what a node can tell of a failure: lines of a key and its fields, tab-separated. Reads only.
# Usage: diagnose.sh LINES MANIFESTS PART…
#   LINES of every log; MANIFESTS: the directory whose files are told too, "" for none of them
set -u
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export LC_ALL PATH
lines=$1
manifests=$2
shift 2
ours=/var/lib/bootstrap

say() { printf '%s\t%s\n' "$1" "$2"; }
told() { # KEY FIELD…: every line of stdin, as the last field
	prefix=$(printf '%s\t' "$@")
	sed "s/^/$(printf '%s' "$prefix" | sed 's#[\\/&]#\\&#g')/"
}

say clock "$(date +%s)"
# The last turn: what was written before is of what ran before it.
began=$ours/unit.log
[ -f $began ] && say turn "$(stat -c %Y $began)"

ends() { # its beginning too: etcd complains of a flag before it prints how it is used
	[ "$(wc -l <"$1")" -gt $((lines + 4)) ] && head -n 4 "$1"
	tail -n "$lines" "$1"
}

outcome() { # PART ATTEMPT LOG: how the container ended that wrote it, as containerd or crictl knows
	for link in /var/log/containers/*"_$1"-*.log; do
		[ "$link" -ef "$3" ] || continue
		id=${link##*-}
		id=${id%.log}
		for status in /var/lib/containerd/io.containerd.*/containers/"$id"/status; do
			[ -r "$status" ] && tr -d '\n' <"$status" | told state "$1" "$2" && echo && return
		done
		command -v crictl >/dev/null && crictl inspect "$id" 2>/dev/null | grep -E '"(exitCode|reason|finishedAt)"' |
			tr -d '\n' | told state "$1" "$2" && echo
		return
	done
}

for part in "$@"; do
	[ "$part" = kubelet ] && continue
	# A directory changes when a container begins to write in it: the newest is of the last manifest.
	directory=$(find /var/log/pods -type d -path "*_$part-*/$part" -exec ls -td {} + 2>/dev/null | head -n 1)
	[ -n "$directory" ] || continue
	old=no
	[ -f $began ] && [ -z "$(find "$directory" -prune -newer $began)" ] && old=yes
	# The files beside N.log are what the kubelet cut off and compressed.
	find "$directory" -name '*.log' | sed 's#.*/##; s/\.log$//' | sort -n | tail -n 2 | while IFS= read -r attempt; do
		log=$directory/$attempt.log
		printf 'attempt\t%s\t%s\t%s\t%s\n' "$part" "$attempt" "$old" "$log"
		outcome "$part" "$attempt" "$log"
		ends "$log" | cut -d ' ' -f 4- | cut -c 1-2000 | told log "$part" "$attempt"
	done
done

# The kubelet, since the last turn, or for a quarter of an hour.
say kubelet "$(systemctl is-active kubelet 2>/dev/null)"
say restarts "$(systemctl show -p NRestarts --value kubelet 2>/dev/null)"
since=$(($(date +%s) - 900))
turned=$(stat -c %Y $began 2>/dev/null || echo 0)
[ "$turned" -gt "$since" ] && since=$turned
journalctl -u kubelet --since "@$since" -n 2000 --no-pager -o cat 2>/dev/null |
	grep -E '^[EF][0-9]{4} |exited|[Ff]ailed|[Ee]rror' | grep -v 'mirror pod' | tail -n $((lines * 3)) | cut -c 1-2000 | told journal
# The kernel ends who takes more memory than there is.
journalctl -k --since "@$since" --no-pager -o cat 2>/dev/null | grep -iE 'out of memory|oom-kill' | tail -n 5 | told kernel

listeners # of listeners.sh, which is sent before this

df -Pk / /var/lib/etcd /var/lib/kubelet /var/lib/containerd /var/log /etc/kubernetes 2>/dev/null |
	awk 'NR > 1 { print "disk\t" $6 "\t" $2 "\t" $4 }' | sort -u
df -Pi / /var/lib/etcd /var/lib/kubelet /var/lib/containerd /var/log 2>/dev/null |
	awk 'NR > 1 && $2 > 0 { print "inodes\t" $6 "\t" $2 "\t" $4 }' | sort -u
awk '/^(MemTotal|MemAvailable):/ { print "memory\t" substr($1, 1, length($1) - 1) "\t" $2 }' /proc/meminfo

# Certificates are public; kubeconfigs hold them beside a key, which stays where it is.
find /etc/kubernetes/pki /var/lib/kubelet/pki -name '*.crt' 2>/dev/null | sort | while IFS= read -r file; do
	# shellcheck disable=SC2094 # it is only named
	tr '\n' '|' <"$file" | told certificate "$file" && echo
done

# shellcheck disable=SC2094
[ -n "$manifests" ] && for file in "$manifests"/*; do
	[ -f "$file" ] && told manifest "$file" <"$file"
done
say end ok
