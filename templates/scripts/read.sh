#!/bin/sh
# Prints files, and of others only since when they are as they are: PATH, seconds since 1970, content, each ended by a
# zero byte. Reads only. Usage: read.sh PATH… -- PATH…   (whole before the --, without content after it)
set -u
LC_ALL=C
export LC_ALL
whole=yes
for path in "$@"; do
	[ "$path" = -- ] && {
		whole=
		continue
	}
	[ -f "$path" ] || continue
	printf '%s\0%s\0' "$path" "$(stat -c %Z "$path")" # the change of mode or owner counts too, and nobody can set it back
	[ -z "$whole" ] || head -c 1048576 "$path" | tr -d '\000' # somebody may have put anything there
	printf '\0'
done
