#!/bin/sh
# Prints the last words of these parts and of the kubelet, for people. Reads only. Usage: diagnose.sh PART…
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export LC_ALL PATH
for part in "$@"; do
	[ "$part" = kubelet ] && continue
	log=$(find /var/log/pods -path "*_${part}-*/${part}/*.log" -exec ls -t {} + 2>/dev/null | head -n 1)
	if [ -z "$log" ]; then
		echo "$part: no container has started"
	else
		echo "$part, last words ($log):"
		tail -n 6 "$log" | cut -d ' ' -f 4- | cut -c 1-400 | sed 's/^/  /'
	fi
done
echo "kubelet ($(systemctl is-active kubelet)), last complaints:"
journalctl -u kubelet -n 200 --no-pager -o cat 2>/dev/null | grep -E '^[EF][0-9]{4}' | grep -v 'mirror pod' | tail -n 5 | cut -c 1-400 | sed 's/^/  /'
