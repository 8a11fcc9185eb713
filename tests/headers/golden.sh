#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2086 # compiler options are lists of words
#
# golden.sh - what ABI.md promises for ever, compared with what is committed: the descriptors and stubs of golden/ byte
# for byte (places masked, as a linker decides them), and the hash vectors. Called by run.sh with CC and INCLUDE set.
#
# A difference is a change of the ABI: agents in the field know only what is committed here.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

case $($CC -dumpmachine) in
aarch64*) bytes=aarch64.txt emulator=$EMULATOR modes="-O0 -O1 -O2" ;;
*) bytes=golden.txt emulator= modes="-O0 -O2 -O2,-masm=intel" ;;
esac
for options in $modes; do
	options=${options/,/ }
	$CC -std=c11 $WARNINGS $options -I"$INCLUDE" "$here/golden/golden.c" -o golden
	for name in g.counter g.updown g.latest g.gauge g.histogram g.bounds; do
		echo "$name"
		/usr/bin/python3 "$here/notes.py" bytes golden "$name"
	done >golden.txt
	# At -O0 clang's assembler takes the long forms of jumps; ABI.md promises the places, not the distances.
	case $options in -O0) keep='stub\|places' ;; *) keep=nothing ;; esac
	diff <(grep -v "^\($keep\)" "$here/golden/$bytes") <(grep -v "^\($keep\)" golden.txt) || { echo "error: the ABI changed ($CC $options)"; exit 1; }

	$CC -std=c11 $WARNINGS $options -I"$INCLUDE" "$here/golden/hash.c" -o hash
	$emulator ./hash <"$here/golden/hash.txt" | diff <(grep -v '^#' "$here/golden/hash.txt") - ||
		{ echo "error: hash.h changed ($CC $options)"; exit 1; }
done
/usr/bin/python3 "$here/golden/hash.py" <"$here/golden/hash.txt" | diff <(grep -v '^#' "$here/golden/hash.txt") - ||
	{ echo "error: the vectors are not ABI.md's"; exit 1; }
# ABI.md's own examples are among the vectors.
for hash in $(sed -n 's/^| .* | `\([0-9a-f]\{16\}\)` |$/\1/p' "$INCLUDE/probemeter/ABI.md"); do
	grep -q "= $hash\$" "$here/golden/hash.txt" || [ "$hash" = 9e3779b97f4a7c15 ] || { echo "error: ABI.md: $hash is no vector"; exit 1; }
done
