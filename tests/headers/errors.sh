#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2086 # compiler options are lists of words
#
# errors.sh - each file of errors/ is refused, without -Werror, by an error that names the metric.
#
# Called by run.sh with CC and INCLUDE set. A file's second line says whom its error must name; right.c names nobody and
# must compile. C files are compiled as C++ as well, and each also with PROBEMETER_TEST in its own language.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
case $CC in
*clang*) cxx=${CC/clang/clang++} bare=-fno-caret-diagnostics ;;
*) cxx=${CC/gcc/g++} bare=-fno-diagnostics-show-caret ;;
esac
bad=0

# refused FILE COMMAND...
refused() {
	local file=$1 name out
	shift
	name=$(sed -n 's/.*Names: \([a-z_]*\)\..*/\1/p;2q' "$file")
	if out=$("$@" -I"$INCLUDE" -fsyntax-only "$file" 2>&1); then
		if [ -n "$name" ]; then echo "error: accepted: ${file##*/} by $*"; bad=1; fi
	elif [ -z "$name" ]; then
		echo "error: refused: ${file##*/} by $*"; echo "$out"; bad=1
	elif ! grep -qE "(error|note): .*$name" <<<"$out"; then
		# Without the quoted source lines, which would name it in any case.
		echo "error: ${file##*/} by $*: no error names $name"; echo "$out"; bad=1
	fi
}

for file in "$here"/errors/*.c; do
	refused "$file" "$CC" -std=c11 $bare
	refused "$file" "$CC" -std=c11 $bare -DPROBEMETER_TEST
	refused "$file" "$cxx" -std=c++17 -x c++ $bare
done
for file in "$here"/errors/*.cc; do
	refused "$file" "$cxx" -std=c++17 $bare
	refused "$file" "$cxx" -std=c++17 $bare -DPROBEMETER_TEST
done
exit $bad
