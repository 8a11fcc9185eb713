#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2086 # compiler options are lists of words
#
# examples.sh - PROBEMETER_TEST and PROBEMETER_DISABLE: the two examples and what they leave open. Called by run.sh with
# CC, INCLUDE and WARNINGS set.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
c="$CC -std=c11"
case $CC in *clang*) cxx=${CC/clang/clang++} ;; *) cxx=${CC/gcc/g++} ;; esac
cxx="$cxx -std=c++17"

fail() {
	echo "error: $*"
	exit 1
}

# Recording in the process: the example, then threads and units, in each language, mixed, and under sanitizers.
for options in "-O2" "-O1 -fsanitize=address,undefined -fno-sanitize-recover=all"; do
	options="$WARNINGS $options -DPROBEMETER_TEST -I$INCLUDE"
	$c $options -O0 "$here/example_test_mode.c" -o example
	./example
	$cxx $options -x c++ "$here/example_test_mode.c" -o example
	./example
	$c $options -pthread "$here/test_mode.c" "$here/test_mode_other.c" -o test_mode
	./test_mode
	$cxx $options -x c++ -c "$here/test_mode_other.c" -o other.o
	$c $options -c "$here/test_mode.c" -o main.o
	$cxx $options -pthread main.o other.o -o test_mode
	./test_mode
	$cxx $options -x c++ -pthread "$here/test_mode.c" "$here/test_mode_other.c" -o test_mode
	./test_mode
	# A library's uses are seen by the program that it is linked to.
	$c $options -fvisibility=hidden -fPIC -shared "-Dfire_from_other_unit=__attribute__((visibility(\"default\")))fire_from_other_unit" \
		"$here/test_mode_other.c" -o libother.so
	$c $options -fvisibility=hidden -pthread "$here/test_mode.c" -L. -lother -Wl,-rpath,"$PWD" -o test_mode
	./test_mode
done
$c $WARNINGS -O1 -fsanitize=thread -DPROBEMETER_TEST -I"$INCLUDE" -pthread "$here/test_mode.c" "$here/test_mode_other.c" -o test_mode
./test_mode

# Nothing at all: no note, no symbol, no string, in a disabled build and on what passes for an unknown platform.
for options in "-O0 -DPROBEMETER_DISABLE" "-O2 -DPROBEMETER_DISABLE" "-O0 -U__linux__"; do
	for compiler in "$c" "$cxx -x c++"; do
		$compiler $WARNINGS $options -I"$INCLUDE" -c "$here/example_disable.c" -o disabled.o
		case $compiler in *c++*) $cxx disabled.o -o disabled ;; *) $c disabled.o -o disabled ;; esac
		./disabled
		nm disabled.o >symbols
		readelf -SW disabled.o >sections
		! grep -i probemeter symbols || fail "a symbol is left ($compiler $options)"
		! grep -iE 'probemeter|stapsdt|probes' sections || fail "a section is left ($compiler $options)"
		! grep -aq 'orders.placed' disabled.o || fail "a text is left ($compiler $options)"
	done
done
# Freestanding, for another architecture.
case $CC in
*clang*)
	$c $WARNINGS --target=aarch64-none-elf -ffreestanding -nostdlibinc -I"$INCLUDE" -c "$here/example_disable.c" -o other.o
	;;
esac
# DISABLE wins over TEST.
$c $WARNINGS -DPROBEMETER_DISABLE -DPROBEMETER_TEST -I"$INCLUDE" "$here/example_disable.c" -o disabled
./disabled
