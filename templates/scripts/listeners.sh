# shellcheck shell=sh
# A function for other scripts: who listens, from /proc, since ss is not everywhere.
listeners() { # port PLACE PID PROGRAM PART: PLACE as /proc/net has it, PART where the process is one of ours
	{
		ls -l /proc/[0-9]*/fd 2>/dev/null
		echo --
		cat /proc/net/tcp /proc/net/tcp6 2>/dev/null
	} | awk '
		/^--$/ { net = 1; next }
		!net && /^\/proc\// { split($0, word, "/"); pid = word[3]; next }
		!net { if (match($0, /socket:\[[0-9]+\]/)) owner[substr($0, RSTART + 8, RLENGTH - 9)] = pid; next }
		$4 == "0A" { print $2 "\t" owner[$10] }' | sort -u | while read -r place pid; do
		printf 'port\t%s\t%s\t%s\t%s\n' "$place" "$pid" "$(cat "/proc/${pid:-0}/comm" 2>/dev/null)" \
			"$(tr '\0' '\n' <"/proc/${pid:-0}/environ" 2>/dev/null | sed -n 's/^BOOTSTRAP_PART=//p')"
	done
}
