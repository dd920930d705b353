#!/bin/sh
# Takes one node from what it has to what it should have: numbered moves, each of which may be repeated.
#
# It lies in /var/lib/bootstrap/turn beside `moves`, `record.json` (ours, not yet healthy), `settled.json` (ours, healthy)
# and `back.json` (after a swap back; empty: nothing is ours). The files themselves are staged beside their places.
# It runs as a transient unit, so that it outlives the connection. Usage: turn.sh go|back|settle EPOCH, turn.sh begin go|back EPOCH
#
# moves, tab-separated:
#   kubelet  restart|leave|keep
#   image    IMAGE SOCKET                             what takes the place of a part that runs is there, says the runtime
#   stop     PART SECONDS                             a part that changes: SIGTERM, and SIGKILL once the seconds are over
#   fresh    PATH                                     etcd's data is of no listed member: it goes aside
#   data     PATH                                     etcd's directory exists, root's alone
#   put      PATH STAGED WAS NEW original|ours        WAS: the fingerprint it replaces, "-" for none
#   drop     PATH STAGED
#   bare     yes                                      nothing was ours before: a swap back empties the node
#   purge    yes                                      etcd's data is not kept, once nothing of ours is left
#   leave    COMMAND                                  a kubelet that runs what lies in the manifest directory, and no more
set -u
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export LC_ALL PATH
umask 077
ours=/var/lib/bootstrap
turn=$ours/turn
network=^/etc/cni/ # outlives the pods: without it a runtime can't take their networks down
tab=$(printf '\t')

fail() { # CODE WORDS…: 1 by content, 2 the node moved since the plan, 3 the node's own fault, 4 by an older epoch
	printf '%s\t%s\n' "$1" "$2" | tee "$ours/result" >&2
	exit "$1"
}

moves() { # the fields of every move of this kind, one line each
	sed -n "s/^$1$tab//p" "$turn/moves"
}

lock() {
	exec 9>"$ours/lock"
	flock -w "$1" 9 || fail 3 "another turn is at work on this node"
	known=$(guard) || fail 4 "$known"
}

guard() { # somebody else may have taken the cluster's lock since whoever asks did: then what is staged here is theirs
	known=$(cat "$ours/epoch" 2>/dev/null)
	[ "${known:-0}" -le "$epoch" ] || { echo "epoch $known was taken since, this is of epoch $epoch" && return 4; }
}

inits() { # the init processes of a part's containers
	grep -lsz "^BOOTSTRAP_PART=$1\$" /proc/[0-9]*/environ 2>/dev/null | while IFS= read -r environ; do
		pid=${environ#/proc/}
		pid=${pid%/environ}
		case $(sed -n 's/^NSpid://p' "/proc/$pid/status" 2>/dev/null) in *"${tab}1") printf '%s ' "$pid" ;; esac
	done
}

pods() { # processes of pods, by the name every runtime gives their cgroups
	grep -ls kubepods /proc/[0-9]*/cgroup 2>/dev/null | sed 's#/proc/##; s#/cgroup##' | tr '\n' ' '
}

busy() { # a pod has processes, or the runtime has not taken its network and its memory down yet: processes end first
	[ -n "$(pods)" ] ||
		grep -qE ' (/var)?/run/netns/(cni-)?[0-9a-f]{8}-[0-9a-f-]{27} |/sandboxes/[0-9a-f]{64}/shm ' /proc/mounts
}

end() { # SECONDS PID…: SIGTERM, wait, SIGKILL
	[ $# -eq 1 ] && return
	deadline=$(($(date +%s) + $1))
	shift
	kill -TERM "$@" 2>/dev/null
	for pid in "$@"; do
		while kill -0 "$pid" 2>/dev/null; do
			[ "$(date +%s)" -gt "$deadline" ] && kill -KILL "$pid" 2>/dev/null
			sleep 0.05
		done
	done
}

write_record() { # FILE: whole or not at all
	cp "$1" "$ours/record.new" && sync "$ours/record.new" && mv "$ours/record.new" "$ours/record.json"
}

start_kubelet() { # after a daemon-reload; each takes 0.2 s, and `enable` by itself would do another
	systemctl is-enabled --quiet kubelet || systemctl enable --quiet --no-reload kubelet 2>/dev/null
	systemctl reset-failed kubelet 2>/dev/null
	systemctl start --no-block kubelet || fail 3 "can't start the kubelet"
}

begin() { # go|back EPOCH
	guard >&2 || exit 4
	rm -f "$ours/result"
	systemctl reset-failed bootstrap-turn.service 2>/dev/null
	systemd-run --quiet --wait --collect --unit=bootstrap-turn -p RuntimeMaxSec=300 -p KillMode=process \
		-p ExecStopPost="-/bin/sh $turn/turn.sh ensure" /bin/sh "$turn/turn.sh" "$1" "$epoch" 2>"$ours/unit.log"
	[ -s "$ours/result" ] || fail 3 "the turn ended without a word: $(tail -n 1 "$ours/unit.log")"
	IFS=$tab read -r code words <"$ours/result"
	case $code$words in
	0done) ;;
	0*) printf '%s\n' "$words" ;;
	*) printf '%s\n' "$words" >&2 ;;
	esac
	[ -f "$ours/record.json" ] || rm -rf "$turn" "$ours/result" "$ours/unit.log"
	exit "$code"
}

ensure() { # whatever became of the turn: the kubelet comes back
	[ -f "$turn/kubelet-stopped" ] && systemctl start --no-block kubelet
	exit 0
}

check() { # 1: nothing moved since the plan was made
	paths=$(moves put | cut -f 1)
	[ -n "$paths" ] || return 0
	{
		printf '%s\n' "$paths" | while IFS= read -r path; do [ -f "$path" ] && printf '%s\0' "$path"; done | xargs -0 -r sha256sum
		echo --
		printf '%s\n' "$paths" | tr '\n' '\0' | xargs -0 stat -c '%a %u:%g %n' 2>/dev/null
		echo --
		moves put
	} | awk -F "$tab" '
		/^--$/ { section++; next }
		section == 0 { sum[substr($0, 67)] = substr($0, 1, 64); next }
		section == 1 {
			split($0, word, " ")
			path = substr($0, length(word[1]) + length(word[2]) + 3)
			now[path] = sum[path] ":" word[1] (word[2] == "0:0" ? "" : ":" word[2])
			next
		}
		{ is = $1 in now ? now[$1] : "-" }
		is != $3 && is != $4 { print $1 }' >"$turn/moved"
	[ -s "$turn/moved" ] && fail 2 "$(head -n 1 "$turn/moved") changed since the plan was made"
	return 0
}

images() { # what takes the place of a part that runs is there: nothing is stopped for what can't start
	moves image | cut -f 1 | sort -u >"$turn/images"
	[ -s "$turn/images" ] || return 0
	socket=$(moves image | head -n 1 | cut -f 2)
	case $socket in
	*/containerd.sock) command -v ctr >/dev/null && ctr -a "${socket#unix://}" -n k8s.io images ls -q ;;
	*) false ;;
	esac >"$turn/present" 2>/dev/null ||
		crictl --runtime-endpoint "$socket" images -o yaml 2>/dev/null | sed -n 's/^ *- "\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' >"$turn/present"
	[ -s "$turn/present" ] || { word="images were not looked at: neither ctr nor crictl could tell" && return 0; }
	missing=$(grep -vxFf "$turn/present" "$turn/images" | tr '\n' ' ')
	[ -z "$missing" ] || fail 3 "an image is missing, and nothing was stopped; crictl pull ${missing% }"
}

keep() { # 2: the former generation, begun once a turn; originals of what was never ours; what the node was like
	[ -f "$ours/unsettled" ] || {
		rm -rf "$ours/former"
		{ mkdir -p "$ours/former/files" && : >"$ours/former/paths"; } || fail 3 "can't write $ours"
		[ -f "$ours/record.json" ] && cp "$ours/record.json" "$ours/former/"
		: >"$ours/unsettled"
	}
	{ moves put | cut -f 1,2 && moves drop; } |
		awk -F "$tab" 'FNR == NR && FILENAME != "-" { kept[$1]; next } !($1 in kept)' "$ours/former/paths" - >"$turn/kept"
	cut -f 1 "$turn/kept" | while IFS= read -r path; do [ -f "$path" ] && printf '%s\n' "$path"; done >"$turn/had"
	tar -cPf - -T "$turn/had" | tar -xpf - -C "$ours/former/files" 2>/dev/null ||
		fail 3 "can't keep the former generation in $ours"
	cat "$turn/kept" >>"$ours/former/paths" || fail 3 "can't write $ours"
	moves put | awk -F "$tab" '$5 == "original" && $3 != "-" { print $1 }' | while IFS= read -r path; do
		[ -e "$ours/originals$path" ] && continue
		mkdir -p "$ours/originals$(dirname "$path")" && cp -p "$path" "$ours/original.new" &&
			mv "$ours/original.new" "$ours/originals$path" && continue
		printf '%s\n' "$path" && break
	done >"$turn/stuck"
	[ -s "$turn/stuck" ] && fail 3 "can't keep the original of $(cat "$turn/stuck")"
	[ -f "$ours/found" ] || {
		printf 'kubelet %s\n' "$(systemctl is-active kubelet 2>/dev/null)"
		printf 'enabled %s\n' "$(systemctl is-enabled kubelet 2>/dev/null)"
		printf 'directory %s\n' "$([ -e /var/lib/kubelet/pods ] && echo used || echo unused)"
		printf 'mounted %s\n' "$(grep -q ' /var/lib/kubelet ' /proc/mounts && echo yes || echo no)"
		nft list tables 2>/dev/null
		for path in /var/lib/cni /var/lib/cni/networks; do [ -d $path ] || printf '%s\n' $path >>"$ours/directories"; done
		for name in net/ipv4/ip_forward net/ipv6/conf/all/forwarding; do
			[ -r "/proc/sys/$name" ] && printf 'sysctl %s %s\n' "$name" "$(cat "/proc/sys/$name")"
		done
	} >"$ours/found.new"
	[ -f "$ours/found" ] || mv "$ours/found.new" "$ours/found"
	write_record "$turn/record.json" || fail 3 "can't write $ours/record.json"
}

stop() { # 3: the kubelet first, so that it restarts nothing meanwhile; then one SIGTERM to each container that changes
	rm -f "$turn/stuck"
	: >"$turn/kubelet-stopped"
	systemctl stop kubelet
	moves stop | while IFS=$tab read -r part seconds; do
		# shellcheck disable=SC2046 # process ids are words
		end "$seconds" $(inits "$part")
	done
	moves fresh | while IFS= read -r path; do
		[ -d "$path" ] || continue
		aside "$path" && printf '%s\t%s\n' "$path" "$place" >"$ours/former/etcd"
	done
	[ -n "$(inits etcd)" ] || moves data | while IFS= read -r path; do
		unbegun "$path" && aside "$path"
	done
	[ -s "$turn/stuck" ] && fail 3 "can't move $(cat "$turn/stuck") aside"
	moves data | while IFS= read -r path; do mkdir -p "$path" && chmod 700 "$path"; done
}

aside() { # etcd's data; where to, is `place`
	place=$ours/former-etcd/$(date +%Y%m%dT%H%M%S)
	mkdir -p "$ours/former-etcd" && mv "$1" "$place" && return
	printf '%s' "$1" >"$turn/stuck"
	return 1
}

unbegun() { # etcd's data: it was killed while it made its log, where nothing comes after the three records of 80 bytes
	# that it begins with; on this it would wait for ever for members that it does not know.
	log=$1/member/wal/0000000000000000-0000000000000000.wal
	[ "$(echo "$1"/member/wal/*.wal)" = "$log" ] && [ "$(tail -c +81 "$log" | head -c 4096 | tr -d '\000' | wc -c)" -eq 0 ]
}

flush() { # paths on stdin are on the disk; a sync of everything would wait for the writes of others
	tr '\n' '\0' | xargs -0 -r sync
}

routes() { # stop|start: those to the pods of other nodes
	[ -f /etc/systemd/system/bootstrap-routes.service ] || return 0
	case $1 in
	stop) systemctl disable --quiet --now bootstrap-routes ;;
	start) systemctl enable --quiet --no-reload bootstrap-routes && systemctl restart bootstrap-routes ;;
	esac || printf 'routes to other nodes: %s\n' "$(systemctl show -p Result --value bootstrap-routes)" >"$turn/stuck"
}

swap() { # 4: renames only, manifests last, since the moves come in that order
	moves put | cut -f 2 | while IFS= read -r staged; do [ -e "$staged" ] && printf '%s\n' "$staged"; done | flush
	moves put | while IFS=$tab read -r path staged _; do
		[ -e "$staged" ] || continue
		mv -f "$staged" "$path" || { printf '%s\n' "$path" && break; }
	done >"$turn/stuck"
	[ -s "$turn/stuck" ] && fail 3 "can't replace $(cat "$turn/stuck")"
	drop -v "$network"
	{ moves put && moves drop; } | grep -q '^/etc/systemd/' && systemctl daemon-reload & # beside the flush
	{ moves put && moves drop; } | cut -f 1 | sed 's#/[^/]*$##' | sort -u | flush
	wait
}

drop() { # what grep lets through; an original is kept until the turn settles, since a swap back puts ours over it
	moves drop | grep "$@" | while IFS=$tab read -r path staged; do
		if [ -e "$ours/originals$path" ]; then
			{ cp -p "$ours/originals$path" "$staged" && mv -f "$staged" "$path"; } || mv -f "$ours/originals$path" "$path"
		else
			rm -f "$path"
		fi
	done
}

settings() { # 5: what lies in sysctl.d and modules-load.d holds now, not only after the next boot
	[ -f /etc/modules-load.d/bootstrap.conf ] && while read -r module; do
		case $module in '' | '#'*) ;; *) modprobe "$module" 2>/dev/null ;; esac
	done </etc/modules-load.d/bootstrap.conf
	[ -f /etc/sysctl.d/99-bootstrap.conf ] && while IFS='= ' read -r name value; do
		case $name in '' | '#'*) continue ;; esac
		printf '%s' "$value" >"/proc/sys/$(printf %s "$name" | tr . /)" || printf '%s\n' "$name" >"$turn/stuck"
	done </etc/sysctl.d/99-bootstrap.conf
	moves put | grep -q bootstrap-routes.service && routes start
	[ -s "$turn/stuck" ] && fail 3 "can't set $(cat "$turn/stuck")"
	return 0
}

empty() { # a kubelet without an API server removes every pod that no file asks for
	busy || return 0
	systemd-run --quiet --collect --unit=bootstrap-leave /bin/sh -c "exec $(moves leave)" 2>/dev/null
	deadline=$(($(date +%s) + 90))
	while busy && [ "$(date +%s)" -le $deadline ]; do sleep 0.2; done
	systemctl stop bootstrap-leave 2>/dev/null
	# shellcheck disable=SC2046
	end 5 $(pods)
}

leave() { # 6, when nothing of ours stays: the node as it was found
	sed -n 's#^[^ ]* \(/var/lib/kubelet/[^ ]*\) .*#\1#p' /proc/mounts | sort -r | while IFS= read -r mount; do umount "$mount"; done
	grep -q '^mounted no' "$ours/found" && umount /var/lib/kubelet 2>/dev/null # a kubelet mounts it on itself
	# What could not be unmounted is a user's volume: nothing in it is ours to delete.
	grep -q '^directory unused' "$ours/found" && ! grep -q ' /var/lib/kubelet/' /proc/mounts &&
		find /var/lib/kubelet -xdev -mindepth 1 -delete 2>/dev/null
	ip link delete cni0 2>/dev/null
	rm -rf /var/lib/cni/networks/bootstrap /var/lib/cni/results
	for family in ip ip6; do nft delete table $family kube-proxy 2>/dev/null; done
	for family in iptables ip6tables; do
		command -v $family-save >/dev/null && $family-save 2>/dev/null | grep -q KUBE- &&
			$family-save 2>/dev/null | grep -v KUBE- | $family-restore
	done
	nft list tables 2>/dev/null | grep -vxFf "$ours/found" | while read -r _ family table; do
		nft list table "$family" "$table" 2>/dev/null | grep -qvE '^#|^table |^	chain |^		type |^	?}$|^$' ||
			nft delete table "$family" "$table" # what iptables made, once nothing is in it
	done
	sed -n 's/^sysctl //p' "$ours/found" | while read -r name value; do printf %s "$value" >"/proc/sys/$name"; done
	sort -r "$ours/directories" 2>/dev/null | while IFS= read -r directory; do rmdir "$directory" 2>/dev/null; done
	systemctl daemon-reload
	case $(sed -n 's/^enabled //p' "$ours/found") in
	disabled) systemctl disable --quiet kubelet ;;
	'' | not-found) rm -f /etc/systemd/system/*.wants/kubelet.service ;; # the unit was ours
	esac
	case $(sed -n 's/^kubelet //p' "$ours/found") in active | activating) systemctl start --no-block kubelet ;; esac
	for name in former originals found directories record.json unsettled epoch; do rm -rf "${ours:?}/$name"; done
	[ -z "$(moves purge)" ] || rm -rf "${ours:?}/former-etcd"
}

go() {
	word='done'
	lock 0
	check
	images
	keep
	kubelet=$(moves kubelet)
	[ "$kubelet" = keep ] || stop
	moves drop | grep -q bootstrap-routes.service && routes stop
	swap
	settings
	[ "$kubelet" = leave ] && empty
	drop "$network"
	case $kubelet in
	restart) start_kubelet ;;
	leave) leave ;;
	esac
	rm -f "$turn/kubelet-stopped"
	printf '0\t%s\n' "$word" >"$ours/result"
}

restore() { # the files of the former generation that grep lets through
	grep "$@" "$ours/former/paths" | while IFS=$tab read -r path staged; do
		if [ -f "$ours/former/files$path" ]; then
			cp -p "$ours/former/files$path" "$staged" && mv -f "$staged" "$path"
		else
			rm -f "$path"
		fi
	done
}

back() { # the former generation again; etcd's data stays, and comes back where it was to leave
	lock 60
	[ -f "$ours/unsettled" ] || {
		moves put | cut -f 2 | tr '\n' '\0' | xargs -0 -r rm -f
		printf '0\tkeeps what it had\n' >"$ours/result"
		exit 0
	}
	[ "$(moves kubelet)" = keep ] || stop
	if [ "$(moves kubelet)" = leave ] && [ -s "$ours/former/etcd" ]; then
		IFS=$tab read -r path place <"$ours/former/etcd"
		[ -e "$path" ] || mv "$place" "$path"
	fi
	moves put | grep -q bootstrap-routes.service && routes stop
	restore -v "$network"
	[ -n "$(moves bare)" ] && empty
	restore "$network"
	moves put | cut -f 2 | tr '\n' '\0' | xargs -0 -r rm -f
	if [ -s "$turn/back.json" ]; then write_record "$turn/back.json"; else rm -f "$ours/record.json"; fi
	cut -f 1 "$ours/former/paths" | sed 's#/[^/]*$##' | sort -u | flush
	systemctl daemon-reload
	grep -q bootstrap-routes.service "$ours/former/paths" && routes start
	# Where the unit came with this turn, it went with it.
	[ "$(moves kubelet)" = keep ] || [ "$(systemctl show -p LoadState --value kubelet)" = not-found ] || start_kubelet
	rm -f "$ours/unsettled" "$turn/kubelet-stopped"
	printf '0\tdone\n' >"$ours/result"
}

settle() { # the probes have passed
	guard >&2 || exit 4
	lock 60
	write_record "$turn/settled.json" || return 1
	moves drop | cut -f 1 | while IFS= read -r path; do
		rm -f "$ours/originals$path"
		case $path in *.key) rm -f "$ours/former/files$path" ;; esac # a key that is not to be here any more
	done
	rm -f "$ours/unsettled"
}

for epoch; do :; done # the last word
"$@"
