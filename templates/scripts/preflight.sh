#!/bin/sh
# Tells what has to be known of a machine before anything of ours goes there: lines of a key and its fields,
# tab-separated. Reads only. listeners.sh is sent before it.
# Usage: preflight.sh ETCD MANIFESTS SOCKET NAME
#   etcd's data directory, the manifest directory, the runtime's socket ("" for none), the node's name in cluster.yaml
set -u
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export LC_ALL PATH
etcd=$1
manifests=$2
socket=${3#unix://}
name=$4
tab=$(printf '\t')

say() { printf '%s\t%s\n' "$1" "$2"; }
has() { command -v "$1" >/dev/null; }

say clock "$(date +%s)"

# What takes a while, beside the rest; it tells one short line.
{ has kubelet && say kubelet "$(kubelet --version 2>/dev/null | tail -n 1)"; } &

# The machine
say machine-id "$(cat /etc/machine-id 2>/dev/null)"
say product "$(cat /sys/class/dmi/id/product_uuid 2>/dev/null)"
say cpus "$(getconf _NPROCESSORS_ONLN 2>/dev/null || grep -c ^processor /proc/cpuinfo)"
awk '$1 == "MemTotal:" { print "memory\t" $2 }' /proc/meminfo
awk 'NR > 1 { print "swap\t" $1 }' /proc/swaps 2>/dev/null
say cgroup "$(stat -fc %T /sys/fs/cgroup 2>/dev/null)"
[ "$(cat /sys/fs/selinux/enforce 2>/dev/null)" = 1 ] && say guard selinux
[ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" = Y ] && ! has apparmor_parser && say guard apparmor
[ "$(systemctl is-active firewalld 2>/dev/null)" = active ] && say guard firewalld
grep -qis '^ENABLED=yes' /etc/ufw/ufw.conf && say guard ufw
for program in awk base64 cp find flock grep ip losetup modprobe mount sed sha256sum sync systemd-run tar umount xargs; do
	has $program || say lacks $program
done
has iptables || has nft || say lacks iptables
{ grep -qw overlay /proc/filesystems || modprobe -qn overlay 2>/dev/null; } || say unloadable overlay
{ [ -d /proc/sys/net/bridge ] || modprobe -qn br_netfilter 2>/dev/null; } || say unloadable br_netfilter
for setting in net/ipv4/ip_forward net/ipv6/conf/all/forwarding; do
	[ -w /proc/sys/$setting ] || printf 'fixed\t%s\t%s\n' $setting "$(cat /proc/sys/$setting 2>/dev/null)"
done

# Names and addresses
ip -o addr 2>/dev/null | awk '{ sub("/.*", "", $4); print "address\t" $4 }'
getent ahosts "$name" 2>/dev/null | awk '{ print "resolves\t" $1 }' | sort -u
listeners

# Room, and what can't be written; a path that is not there yet is judged by the directory it would lie in.
there() { # the path, or the directory nearest to it
	place=$1
	while ! [ -e "$place" ]; do place=${place%/*} place=${place:-/}; done
	printf '%s\n' "$place"
}
paths="$etcd $manifests /etc/kubernetes /var/lib/bootstrap /var/lib/kubelet /var/lib/containerd /var/log"
set --
for path in $paths; do set -- "$@" "$(there "$path")"; done
{
	printf '%s\n' "$paths"
	df -Pk "$@"
	df -Pi "$@"
} 2>/dev/null | awk '
	NR == 1 { for (i = 1; i <= NF; i++) path[i] = $i; next }
	$1 == "Filesystem" { i = 0; inodes = $2 == "Inodes"; next }
	!inodes { i++; size[i] = $2; free[i] = $4; next }
	{ i++; print "room\t" path[i] "\t" size[i] "\t" free[i] "\t" $2 "\t" $4 }'
{
	for path in "$etcd" "$manifests" /etc/kubernetes /var/lib/bootstrap /var/lib/kubelet/config.yaml /var/lib/kubelet/pki \
		/etc/systemd/system/kubelet.service.d /etc/cni/net.d /etc/sysctl.d /etc/modules-load.d; do
		there "$path"
	done
	find /etc/kubernetes /etc/systemd/system/kubelet.service /etc/systemd/system/kubelet.service.d/50-bootstrap.conf \
		/etc/systemd/system/bootstrap-routes.service /etc/cni/net.d/10-bootstrap.conflist /etc/sysctl.d/99-bootstrap.conf \
		/etc/modules-load.d/bootstrap.conf /var/lib/kubelet/pki/kubelet.* ! -type l 2>/dev/null
} | sort -u | while IFS= read -r path; do
	# The superuser may write anything, but what is immutable, or on a file system that is read-only.
	[ -w "$path" ] && continue
	case ,$(findmnt -no OPTIONS -T "$path" 2>/dev/null), in
	*,ro,*) say readonly "$(findmnt -no TARGET -T "$path")" ;;
	*) say immutable "$path" ;;
	esac
done | sort -u

# Another cluster's authority is public.
[ -r /etc/kubernetes/pki/ca.crt ] && say authority "$(tr '\n' '|' </etc/kubernetes/pki/ca.crt)"

# Proxies, in whose environment; a proxy may have a password in it, so only that there is one is told.
{ systemctl show -p Id,MainPID,Environment kubelet containerd crio 2>/dev/null && echo; } |
	while IFS='=' read -r key value; do
		case $key in
		Id) unit=${value%.service} ;;
		MainPID) pid=$value ;;
		Environment) variables=$value ;;
		'') # the end of a unit: what its process has counts, else what it would have
			if [ "$pid" != 0 ] && [ -r "/proc/$pid/environ" ]; then
				tr '\0' '\n' <"/proc/$pid/environ"
			else
				printf '%s\n' "$variables" | tr ' ' '\n' | tr -d '"'
			fi | sed -n "s/^\(https\{0,1\}_proxy\|HTTPS\{0,1\}_PROXY\)=..*/proxy${tab}$unit/p; s/^\(no_proxy\|NO_PROXY\)=/unproxied${tab}$unit${tab}/p"
			;;
		esac
	done | sort -u

# The runtime: whether it listens, its images, and what of its configuration pods depend on
has ctr || { has containerd && say containerd "$(containerd --version 2>/dev/null | cut -d ' ' -f 3)"; }
listening() { sed -n 's#^.* 00010000 .* \(/.*\)$#\1#p' /proc/net/unix | sed 's#^/var/run/#/run/#' | grep -qxF "$socket"; }
if [ -n "$socket" ] && listening; then
	say listens yes
	case $socket in
	*/containerd.sock)
		has ctr && {
			say containerd "$(ctr -a "$socket" version 2>/dev/null | awk '$1 == "Server:" { its = 1 } its && $1 == "Version:" { print $2 }')"
			say cri "$(ctr -a "$socket" plugins ls 2>/dev/null | awk '$2 == "cri" && $1 ~ /grpc/ { print $NF }')"
			images=$(ctr -a "$socket" -n k8s.io images ls -q 2>/dev/null) && say images told
		}
		;;
	*)
		has crictl && {
			say cri "$(crictl --runtime-endpoint "unix://$socket" version >/dev/null 2>&1 && echo ok)"
			images=$(crictl --runtime-endpoint "unix://$socket" images -o yaml 2>/dev/null) && say images told
			images=$(printf '%s\n' "$images" | sed -n 's/^ *- "\{0,1\}\([^"]*\)"\{0,1\}$/\1/p')
		}
		;;
	esac
fi
plugins=/opt/cni/bin
case $socket in
'' | */containerd.sock)
	# Nothing but these lines: passwords of registries may stand between them.
	config=$(containerd config dump 2>/dev/null | grep -E '^ *(\[|(version|sandbox|sandbox_image|SystemdCgroup|bin_dir|bin_dirs|default_runtime_name) =)')
	printf '%s\n' "$config" | sed "s/^ */config$tab/"
	plugins=$(printf '%s\n' "$config" | sed -n 's/^ *bin_dirs\{0,1\} = \[\{0,1\}["'"'"']\([^"'"'"']*\).*/\1/p' | head -n 1)
	for mirror in /etc/containerd/certs.d/*; do [ -d "$mirror" ] && say mirror "${mirror##*/}"; done
	;;
esac
printf '%s\n' "${images-}" | grep : | sed "s/^/image$tab/"
[ -n "$plugins" ] && say plugins "$plugins" && for plugin in bridge host-local loopback portmap; do
	[ -x "$plugins/$plugin" ] || say unplugged $plugin
done
wait
say end ok
