#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2086 # compiler options are lists of words
#
# unwind.sh - from every instruction of a stub gdb sees main; exceptions pass. Called by run.sh with CC and INCLUDE set.
#
# That _Unwind_Backtrace gets from each probed place to its caller is checked in every build mode, by modes/main.c.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
case $CC in *clang*) cxx=${CC/clang/clang++} ;; *) cxx=${CC/gcc/g++} ;; esac

for options in -O0 -O2 "-O2 -static" "-O0 -fno-pie -no-pie"; do
	$cxx -std=c++17 $WARNINGS $options -fnon-call-exceptions -I"$INCLUDE" "$here/unwind/throw.cc" -o throw 2>throw.log ||
		$cxx -std=c++17 $WARNINGS $options -I"$INCLUDE" "$here/unwind/throw.cc" -o throw
	/usr/bin/python3 "$here/notes.py" hide throw
	./throw || { echo "error: an exception got lost: $options, exit code $?"; exit 1; }
done

if ! command -v gdb >/dev/null; then echo "gdb is not installed"; exit 77; fi
for options in "-O0 -g" -O0 -O2 "-O2 -fcf-protection" "-O3 -flto -fuse-ld=lld"; do
	case "$CC $options" in *gcc*-flto*) options=${options/ -fuse-ld=lld/} ;; esac
	$CC -std=c11 $WARNINGS $options -I"$INCLUDE" "$here/unwind/frames.c" -o frames
	# gdb cannot step through a probe that the kernel has turned into a call: keep an agent on this host away.
	cp frames unwatched
	/usr/bin/python3 "$here/notes.py" hide unwatched
	NOTES=$here gdb -q -nx -batch -x "$here/unwind/frames_gdb.py" ./unwatched >gdb.log 2>&1 || { cat gdb.log; exit 1; }
	grep -q '^frames: right' gdb.log || { cat gdb.log; echo "error: gdb said nothing ($options)"; exit 1; }
done
