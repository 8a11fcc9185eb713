#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# deps.sh - install the Debian packages this project needs, and only the missing ones
#
#   scripts/deps.sh                 every group but package and bench
#   scripts/deps.sh build           what `make` needs
#   scripts/deps.sh build service   several groups
#   scripts/deps.sh --list [GROUP]  print the table's rows, install nothing
#
# Written for Debian 12. When nothing is missing this is one dpkg-query and no network. Installing needs root;
# without it the exact command to run is printed instead. Nothing that is present is removed or replaced
# (apt-get runs with --no-remove), and no package below starts a daemon. The receivers that the end-to-end
# tests export to are not installed at all: scripts/tools.sh unpacks them under build/tools.
set -euo pipefail

# group | package, or alternatives of which one is enough | why it is needed
TABLE='
build   | gcc                   | compiles the agent and half of the header matrix
build   | g++                   | the headers are C++17 too
build   | libc6-dev             | libc headers; gcc only recommends them
build   | libc-bin              | getconf, in the Makefile
build   | make                  | runs the Makefile
build   | binutils              | bfd and gold linkers, strip, readelf, objcopy
build   | clang                 | the BPF target, and the other half of the header matrix
build   | llvm                  | llvm-strip, and llvm-objdump of BPF objects
build   | lld                   | header matrix: ld.lld
build   | mold                  | header matrix: mold
build   | bpftool               | writes the BPF skeleton; shows loaded programs in tests
build   | libbpf-dev            | loads and attaches the BPF programs
build   | linux-libc-dev        | linux/bpf.h and linux/perf_event.h
build   | libelf-dev            | libbpf links against it
build   | zlib1g-dev            | gzip on the wire; libbpf links against it
build   | libprotobuf-c-dev     | OTLP encoding
build   | protobuf-c-compiler   | protoc-c, makes C from the .proto subset
build   | protobuf-compiler     | protoc, which protoc-c shares its input with; python modules for tests
build   | libcurl4-openssl-dev / libcurl4-gnutls-dev | ships the metrics over HTTP
build   | libmicrohttpd-dev     | serves the page, /metrics and the agent'"'"'s socket; the sample service speaks HTTP by it
build   | libcap-ng-dev         | names the capabilities that are missing, drops what is not needed
build   | libseccomp-dev        | the system calls that the agent may make
build   | libsystemd-dev        | tells systemd that the agent is ready and alive, and its journal what it says
build   | libjson-c-dev         | --json output, answers in OTLP/JSON; the sample service reads and writes JSON too
build   | libncurses-dev        | draws the live view in a terminal
build   | libcmocka-dev         | unit tests
build   | uthash-dev            | hash tables
build   | pkg-config / pkgconf  | finds the libraries above
service | libsqlite3-dev        | the sample service keeps its jobs in SQLite
service | python3               | runs jobs, the load script and the end-to-end tests
service | sqlite3               | looks into the sample service'"'"'s tables by hand
test    | ca-certificates       | package mirrors reached over https
test    | debian-archive-keyring | verifies the receivers that scripts/tools.sh downloads
test    | python3-protobuf      | decodes OTLP strictly, independent of protobuf-c
test    | python3-grpcio        | a gRPC server that is not ours: statuses, TLS, mutual TLS
test    | npm / nodejs          | brings and runs the mock OTLP server that decodes gRPC
test    | openssl               | makes the certificates of the TLS tests
test    | python3-h2            | HTTP/2 of the test collector that misbehaves
test    | gdb                   | backtraces from inside a probe
test    | linux-perf            | perf --call-graph dwarf from inside a probe
test    | libcap2-bin           | setpriv'"'"'s companion: capsh, getpcaps in the non-root checks
test    | util-linux            | setpriv and unshare
test    | systemd               | systemd-analyze, on the unit; its journal, asked for what the agent said
test    | procps                | ps and sysctl
test    | curl                  | talks to the sample service by hand and in make run
test    | jq                    | reads --json output
test    | strace                | proves that a quiet service makes no system call for us
test    | bpftrace              | lists and uses our probes as any USDT
test    | qemu-system-x86       | boots other kernels
test    | busybox-static        | what runs in them, beside our own
test    | cpio                  | packs it
test    | tmux                  | the terminal that the live view is drawn on
test    | zsh                   | has its completion typed at
test    | fish                  | likewise
test    | man-db                | renders the manual pages
test    | mandoc                | judges them
test    | valgrind              | memory checks of the agent
test    | libclang-rt-dev       | sanitizers and libFuzzer of clang, for tests/fuzz
test    | chromium              | looks at the live page
test    | fonts-dejavu-core     | letters for it
arm64   | gcc-aarch64-linux-gnu | compiles headers, agent and services for arm64
arm64   | g++-aarch64-linux-gnu | in C++ too
arm64   | libc6-dev-arm64-cross | libc for it; gcc only recommends it
arm64   | qemu-user             | runs programs for arm64
arm64   | qemu-system-arm       | boots kernels for it
package | debhelper             | builds the Debian packages, and tests install them
package | lintian               | judges them
package | fakeroot              | files in them belong to root, whoever builds
package | mmdebstrap            | makes the small system that they are installed in
package | rpm                   | builds the RPM packages
package | skopeo                | reads the image as docker load and podman load do
package | umoci                 | unpacks it as for a runtime
package | python3-kubernetes    | knows the fields of the DaemonSet
package | npm / nodejs          | brings the schemas of Kubernetes, holds the manifest against them
package | cmake                 | finds the installed headers
bench   | systemtap-sdt-dev     | sys/sdt.h: the classic probe
bench   | bpftrace              | counts on that probe
bench   | prometheus-cpp-dev    | the usual client library
bench   | libabsl-dev           | opentelemetry-cpp, which scripts/tools.sh unpacks, includes it
bench   | npm / nodejs          | brings and runs the OpenTelemetry SDK for JavaScript
bench   | wrk                   | saturates the sample service
bench   | util-linux            | unshare and lscpu
'

say() { printf 'deps: %s\n' "$*"; }
die() { printf 'deps: %s\n' "$*" >&2; exit 1; }

# rows GROUP... - the table's rows of these groups as "group|names separated by blanks|why"
rows() {
	local wanted=" $* " group names why alternatives
	while IFS='|' read -r group names why; do
		group=${group// /}
		[[ -n $group && $wanted == *" $group "* ]] || continue
		read -ra alternatives <<<"${names//\// }"
		read -r why <<<"$why"
		printf '%s|%s|%s\n' "$group" "${alternatives[*]}" "$why"
	done <<<"$TABLE"
}

# missing GROUP... - those rows of which no alternative is installed
missing() {
	local group names why name
	local -A have=()

	# dpkg-query fails when it does not know a name; what it does know it prints all the same.
	# The format's variables are its own, not the shell's.
	# shellcheck disable=SC2016
	while read -r name; do
		have[$name]=1
	done < <(rows "$@" | cut -d'|' -f2 |
			xargs dpkg-query -W -f='${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p')

	while IFS='|' read -r group names why; do
		for name in $names; do
			[[ -v have[$name] ]] && continue 2
		done
		printf '%s|%s|%s\n' "$group" "$names" "$why"
	done < <(rows "$@")
}

# show WORDS - how far a step is: on a terminal in place, else a line each ten seconds
shown=-10
show() {
	if [[ -t 1 ]]; then
		printf '\r\033[Kdeps: %.70s' "$1"
	elif ((SECONDS >= shown + 10)); then
		shown=$SECONDS
		say "$1"
	fi
}

show_end() { [[ ! -t 1 ]] || printf '\r\033[K'; }

# progress - show what an apt-get reports on standard input, see README.progress-reporting of apt
progress() {
	local kind percent words
	while IFS=: read -r kind _ percent words; do
		[[ $kind != dlstatus && $kind != pmstatus ]] || show "$(LC_ALL=C printf '%3.0f %%: %s' "$percent" "$words")"
	done
	show_end
}

# apt ARG... - apt-get that asks nothing, waits for another apt to end, retries downloads, shows progress, and speaks when it fails
apt() {
	local log status=0
	log=$(mktemp)
	{
		DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 \
			-o Dpkg::Use-Pty=0 -o APT::Status-Fd=3 "$@" 3>&1 >"$log" 2>&1 || echo "$?" >"$log.status"
	} | progress
	[[ ! -e $log.status ]] || status=$(<"$log.status")
	((status == 0)) || tail -20 "$log" | sed 's/^/      /' >&2
	rm -f "$log" "$log.status"
	return "$status"
}

update() {
	local try
	for try in 1 2 3; do
		apt update && return
		sleep $((try * 3))
	done
	die "apt-get update failed three times. Remedy: make 'apt-get update' work (network, proxy, /etc/apt/sources.list*), then run this again"
}

ALL='build service test arm64'
list=0
groups=
for arg in "$@"; do
	case $arg in
	--list) list=1 ;;
	-h|--help) sed -n '4,14s/^# \{0,1\}//p' "$0"; exit 0 ;;
	build|service|test|arm64|package|bench) groups+=" $arg" ;;
	all) groups=" $ALL" ;;
	*) printf 'deps: %s\n' "expected a group (${ALL// /, }, bench, all) or --list, not '$arg'" >&2; exit 2 ;;
	esac
done
groups=${groups:- $ALL}
# A group is a single word of the list above.
# shellcheck disable=SC2086
set -- $groups

if ((list)); then
	rows "$@" | while IFS='|' read -r group names why; do
		printf '%-8s %-44s %s\n' "$group" "${names// / or }" "$why"
	done
	exit 0
fi

command -v dpkg-query >/dev/null || die "needs Debian: there is no dpkg-query here. Remedy: install the equivalents of 'scripts/deps.sh --list' by hand"

todo=$(missing "$@")
[[ -n $todo ]] || exit 0

# The first alternative is the one to install.
packages=$(cut -d'|' -f2 <<<"$todo" | cut -d' ' -f1)

if ((EUID != 0)); then
	say "missing: $(xargs <<<"$packages")"
	die "installing them needs root. Remedy, as root: $(printf '%q' "$(realpath "$0")") $*
      or: apt-get install --no-install-recommends $(xargs <<<"$packages")"
fi

say "installing what is missing:"
while IFS='|' read -r group names why; do
	printf '      %-24s %-8s %s\n' "${names%% *}" "$group" "$why"
done <<<"$todo"

say "1 of 3: lists of packages"
update

say "2 of 3: can each be installed?"
absent=
number=0
while IFS='|' read -r group names why; do
	name=${names%% *}
	show "$((number += 1)) of $(wc -l <<<"$todo"): $name"
	trial=$(apt-get -qq --simulate --no-install-recommends install "$name" 2>&1) && continue
	why_not=$(sed -n 's/^E: //p' <<<"$trial" | head -1)
	absent+="
      $name ($why): ${why_not:-apt cannot install it}"
done <<<"$todo"
show_end
if [[ -n $absent ]]; then
	# shellcheck source=/dev/null
	release=$(. /etc/os-release && echo "${PRETTY_NAME:-unknown}")
	die "apt cannot install, on '$release':$absent
      Remedy: enable component 'main' of Debian 12 (bookworm, -updates, -security) in the apt sources, or install an equivalent by hand"
fi

say "3 of 3: downloading and unpacking $(wc -l <<<"$todo") packages and what they need"
# shellcheck disable=SC2086
for try in 1 2 3; do
	apt install --no-install-recommends --no-remove $packages && break
	((try < 3)) || break
	say "apt-get install failed, trying again"
	sleep $((try * 3))
	update
done

left=$(missing "$@")
[[ -z $left ]] || die "still missing after installing: $(cut -d'|' -f2 <<<"$left" | cut -d' ' -f1 | xargs)
      Remedy: apt-get install --no-install-recommends $(cut -d'|' -f2 <<<"$left" | cut -d' ' -f1 | xargs)   and read what it says"
say "done"
