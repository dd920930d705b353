#!/bin/sh
# The cluster's lock on one node. It is held while this process lives, which is as long as lines come on stdin: it ends
# with its connection, and 20 seconds after the last line where nobody tells it that the connection is gone.
# Usage: lock.sh hold HOLDER | show | end
#
# hold answers with one line: `held EPOCH SECONDS` (the highest epoch that is known here; when the lock was last held, in
# seconds since 1970, 0 for never), or `busy PID HOLDER`. Then it answers each line it reads with the same line:
#   epoch N    this node refuses every turn of an older epoch from now on
#   beat       nothing; the holder lives
#   end        the holder is through
set -u
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export LC_ALL PATH
umask 077
ours=/var/lib/bootstrap
lock=/run/bootstrap.lock
silence=20

known() {
	{
		echo 0
		cat $ours/epoch
		sed -n 's/.*"epoch":\([0-9]*\).*/\1/p' $ours/record.json
	} 2>/dev/null | sort -n | tail -n 1
}

raise() { # EPOCH: whole or not at all
	mkdir -p $ours && printf '%s\n' "$1" >$ours/epoch.new && sync $ours/epoch.new && mv $ours/epoch.new $ours/epoch
}

hold() {
	while exec 9>>$lock; do
		flock -n 9 || { printf 'busy\t%s\n' "$(cat $lock)" && exit 0; }
		[ $lock -ef /proc/$$/fd/9 ] && break # else the former holder has just taken the file away
	done
	last=0
	[ -s $lock ] && last=$(stat -c %Y $lock)
	printf '%s\t%s\n' $$ "$1" >$lock
	printf 'held\t%s\t%s\n' "$(known)" "$last"
	# Nobody but this very process keeps the lock: whatever it starts is told to let go.
	# shellcheck disable=SC2016 # the shell within expands it
	while line=$(timeout $silence sh -c 'read -r line && printf %s "$line"' 9>&-); do
		case $line in
		epoch\ *) raise "${line#epoch }" 9>&- || break ;;
		end) break ;;
		esac
		touch $lock
		printf '%s\n' "$line"
	done
	touch $lock
	[ -f $ours/record.json ] || { # nothing of ours is here, or has just left
		rm -f $ours/epoch $lock
		rmdir $ours 2>/dev/null
	}
	[ "$line" != end ] || echo end
}

show() { # PID HOLDER, while it is held
	[ -e $lock ] && ! flock -n $lock true && cat $lock
}

end() { # whoever holds it lets go
	holder=$(show) || return 0
	printf '%s\n' "$holder"
	kill "${holder%%	*}"
}

"$@"
