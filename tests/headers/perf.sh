#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2086 # compiler options are lists of words
#
# perf.sh - perf finds the probe by its USDT note, raises its semaphore, reads its arguments, and its DWARF call graphs
# reach main. Called by run.sh with CC and INCLUDE set. Needs root and tracefs, which it mounts for itself alone.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

skip() {
	echo "$*"
	exit 77
}

if [ "${1:-}" != inside ]; then
	command -v perf >/dev/null || skip "perf is not installed"
	[ "$(id -u)" = 0 ] || skip "not root"
	unshare -m true 2>/dev/null || skip "no private mounts"
	exec unshare -m bash "$here/perf.sh" inside
fi
[ -e /sys/kernel/tracing/uprobe_events ] || mount -t tracefs none /sys/kernel/tracing 2>/dev/null || skip "no tracefs"
[ -e /sys/kernel/tracing/uprobe_events ] || skip "a kernel without uprobe events"

for level in -O0 -O2; do
	# The event's name is the metric's, and is the whole host's.
	metric=perf_$(tr -c 'a-z0-9\n' _ <<<"$CC$level")_$$
	$CC -std=c11 $WARNINGS $level -DMETRIC="$metric" -I"$INCLUDE" "$here/unwind/frames.c" -o frames
	export HOME=$PWD
	perf buildid-cache --add ./frames
	trap 'perf probe -q -d "sdt_probemeter:$metric" || true' EXIT
	perf probe -q "sdt_probemeter:$metric" >probe.log 2>&1 || { cat probe.log; echo "error: perf probe"; exit 1; }
	perf record -q -o perf.data --call-graph dwarf -e "sdt_probemeter:$metric" ./frames >record.log 2>&1
	perf script -i perf.data >script.log 2>/dev/null
	perf probe -q -d "sdt_probemeter:$metric"
	trap - EXIT
	# Five hits, the first argument counts up, and each has all frames, in order.
	[ "$(grep -c "sdt_probemeter:$metric: .*arg1=" script.log)" = 5 ] || { head -20 script.log; echo "error: not 5 hits"; exit 1; }
	[ "$(grep -o 'arg1=[0-9]*' script.log | tr '\n' ' ')" = "arg1=0 arg1=1 arg1=2 arg1=3 arg1=4 " ] ||
		{ echo "error: wrong arguments: $(grep -o 'arg1=[0-9]*' script.log)"; exit 1; }
	# A frame's line is "address symbol+offset (file)": the file's path may well have a directory called main.
	frames=$(awk '$1 ~ /^[0-9a-f]+$/ { sub(/[+].*/, "", $2); print $2 }' script.log |
		grep -xE "probemeter_site_$metric.*|inner|middle|outer|main" | tr '\n' ' ')
	wanted=$(for _ in 1 2 3 4 5; do printf '%s ' "probemeter_site_$metric" inner middle outer main; done)
	[ "$frames" = "$wanted" ] || { echo "error: frames: $frames"; exit 1; }
done
