#!/bin/sh
# Listens on ports of the node for as long as its input is open, a minute at most, so that other nodes can be asked
# whether they get through; who connects is hung up on. It writes nothing to the disk. A line for each port that it
# listens on, then "ready"; none where another one listens so. Usage: listen.sh ADDRESS PORT…
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/systemd:/lib/systemd:$PATH
export PATH
address=$1
shift
case $address in *:*) address="[$address]" ;; esac
exec 9>/run/bootstrap-listen.lock
flock -n 9 || { echo ready && exec cat >/dev/null; }
export BOOTSTRAP_PART=preflight # so that nobody takes it for a port that is taken
for port in "$@"; do
	timeout 60 systemd-socket-activate --accept --inetd -l "$address:$port" true >/dev/null 2>&1 &
	pids="${pids-} $!"
	eval "pid_$port=$!"
done
heard() { awk -v port="$(printf ':%04X' "$1")" '$4 == "0A" && substr($2, length($2) - 4) == port { found = 1 } END { exit !found }' /proc/net/tcp /proc/net/tcp6 2>/dev/null; }
for port in "$@"; do
	tries=0
	# As long as it tries to: a busy machine may take a second to start it.
	while ! heard "$port" && [ $tries -lt 100 ] && eval "kill -0 \$pid_$port" 2>/dev/null; do tries=$((tries + 1)) && sleep 0.05; done
	heard "$port" && printf '%s\n' "$port"
done
echo ready
cat >/dev/null
# shellcheck disable=SC2086 # process ids are words
kill $pids 2>/dev/null
wait
