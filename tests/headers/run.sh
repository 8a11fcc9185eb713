#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2086 # compiler options are lists of words
#
# run.sh - the headers in every way a service may be built.
#
#   run.sh [WORKDIR]             everything; WORKDIR is build/headers unless told
#   run.sh --only PATTERN [WORKDIR]   the cases whose name matches the extended regular expression, and what they print
#
# A case compiles modes/ one way, lets notes.py read the result and runs it: modes/main.c traps the probed places and
# checks what arrives there. Then the compile errors (errors/), the example tests, the golden descriptor, the hash
# vectors and the unwinders. One line per failing or skipped case; the last line counts.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
warnings="-Wall -Wextra -Wpedantic -Werror"
export EMULATOR="qemu-aarch64 -L /usr/aarch64-linux-gnu"

# One case in a directory of its own. $1: the work directory, $2: a row of the table that cases() prints.
one() {
	local name form cc cflags ldflags after options
	IFS='|' read -r name form cc cflags ldflags after options <<<"$2"
	local dir="$1/${name//[^A-Za-z0-9_.+-]/_}" log
	log="$dir.log"
	rm -rf "$dir" "$log"
	mkdir -p "$dir"
	local status
	# Not behind an || or an if: bash would ignore errexit in all that is called from there.
	set +e
	(
		set -euo pipefail
		cd "$dir"
		"form_$form" "$cc" "$cflags" "$ldflags" "$after" "$options"
	) >"$log" 2>&1
	status=$?
	set -e
	case $status in
	0) echo "pass $name"; rm -rf "$dir" "$log" ;;
	77) echo "skip $name: $(tail -n 1 "$log")"; rm -rf "$dir" ;;
	*) echo "FAIL $name: $(grep -m 1 -E 'error|not so|walk:|notes.py|undefined|AssertionError' "$log" || tail -n 1 "$log") ($log)" ;;
	esac
	return 0
}

cxx_of() {
	case $1 in
	*clang*) echo "${1/clang/clang++}" ;;
	*) echo "${1/gcc/g++}" ;;
	esac
}

# compile CC FLAGS SOURCE OBJECT: modes/SOURCE in strict ISO C11 or C++17 unless FLAGS say otherwise. What another case
# has compiled the same way is taken from there.
compile() {
	local driver=$1 standard=c11
	case $3 in *.cc) driver=$(cxx_of "$1") standard=c++17 ;; esac
	case $2 in *"-x c++"*) driver=$(cxx_of "$1") standard=c++17 ;; esac
	local command="$driver -std=$standard $warnings $2 -c $here/modes/$3" common
	common=../common/$(md5sum <<<"$command" | cut -c1-32).o
	if [ ! -e "$common" ]; then
		$command -I"$root/include" -o "$4"
		# Coverage and profiles write beside the object that they were compiled as.
		case $2 in *coverage* | *profile*) return ;; esac
		cp "$4" "$common.$$" && mv "$common.$$" "$common"
	fi
	cp "$common" "$4"
}

# execute PROGRAM: here, or under an emulator if it is built for arm64 and this is another machine.
execute() {
	local emulator=
	case "$(od -An -tu2 -j18 -N2 "$1") $(uname -m)" in *183" "[!a]*) emulator="env EMULATED=1 $EMULATOR" ;; esac
	timeout 60 $emulator "$PWD/$1"
}

# finish FILE AFTER OPTIONS [NO_RUN]: what comes after linking; the notes; a run.
finish() {
	eval "${2//\{\}/$1}"
	/usr/bin/python3 "$here/notes.py" check "$1" "$here/modes/expected.txt" --optional m.uncalled ${3:-}
	/usr/bin/python3 "$here/notes.py" hide "$1"
	if [ -z "${4:-}" ]; then execute "$1"; fi
}

# Two C files.
form_c() {
	compile "$1" "$2" main.c main.o
	compile "$1" "$2" other.c other.o
	$1 ${2/-x c++/} main.o other.o $3 -o program
	finish program "$4" "$5"
}

# C++ alone, the C files compiled as C++.
form_cxx() {
	local flags="-DWITH_CXX $2"
	compile "$1" "-x c++ $flags" main.c main.o
	compile "$1" "-x c++ $flags" other.c other.o
	compile "$1" "$flags" more.cc more.o
	compile "$1" "$flags -DAGAIN" more.cc again.o
	$(cxx_of "$1") $flags main.o other.o more.o again.o $3 -o program
	finish program "$4" "$5"
}

# C11, gnu11 and C++17 in one program.
form_mix() {
	local flags="-DWITH_CXX $2"
	compile "$1" "$flags" main.c main.o
	compile "$1" "$flags -std=gnu11" other.c other.o
	compile "$1" "$flags" more.cc more.o
	compile "$1" "$flags -DAGAIN" more.cc again.o
	$(cxx_of "$1") $flags main.o other.o more.o again.o $3 -o program
	finish program "$4" "$5"
}

# Objects of gcc and of clang in one program.
form_both() {
	compile gcc "-DWITH_CXX $2" main.c main.o
	compile clang "$2" other.c other.o
	compile gcc "$2" more.cc more.o
	compile clang "$2 -DAGAIN" more.cc again.o
	$(cxx_of "$1") main.o other.o more.o again.o $3 -o program
	finish program "$4" "$5"
}

# Through a static library.
form_archive() {
	compile "$1" "$2" main.c main.o
	compile "$1" "$2" other.c other.o
	ar rcs libother.a other.o
	$1 $2 main.o -L. -lother $3 -o program
	finish program "$4" "$5"
}

# Through a partial link.
form_partial() {
	compile "$1" "-DWITH_CXX $2" main.c main.o
	compile "$1" "$2" other.c other.o
	compile "$1" "$2" more.cc more.o
	compile "$1" "$2 -DAGAIN" more.cc again.o
	ld -r main.o more.o -o first.o
	ld -r other.o again.o -o second.o
	$(cxx_of "$1") $2 first.o second.o $3 -o program
	finish program "$4" "$5"
}

# A shared library and a program with the same metrics.
form_library() {
	compile "$1" "$2 -fPIC" library.c library.o
	$1 $2 -shared library.o $3 -o libmodes.so
	finish libmodes.so "$4" "$5" no
	compile "$1" "$2 -DWITH_LIBRARY" main.c main.o
	compile "$1" "$2" other.c other.o
	$1 $2 main.o other.o $3 -L. -lmodes -Wl,-rpath,"$PWD" -o program
	finish program "$4" "$5"
}

# The catalogue included, one metric used.
form_one() {
	local flags=$2
	compile "$1" "$flags" one.c one.o
	case $flags in *"-x c++"*) flags=${flags/-x c++/} ;; esac
	$(cxx_of "$1") $flags one.o $3 -o program
	/usr/bin/python3 "$here/notes.py" check program "$here/modes/one.txt"
	execute program
}

# All of the catalogue used: what the reference documents, all of it and nothing else.
form_catalogue() {
	compile "$1" "$2" catalogue.c catalogue.o
	$(cxx_of "$1") ${2/-x c++/} catalogue.o -o program
	/usr/bin/python3 "$here/notes.py" check program "$here/modes/catalogue.txt"
	execute program
}

# What is not supported compiles to nothing, runs, and is named in ABI.md by the text in $5.
form_unsupported() {
	grep -qF -- "$5" "$root/include/probemeter/ABI.md" || { echo "error: ABI.md does not name $5"; return 1; }
	$1 -std=c11 $warnings $2 -I"$root/include" "$here/example_disable.c" $3 -o program
	./program
	if readelf -SW program | grep -q 'note.probemeter'; then echo "error: a descriptor is left"; return 1; fi
	echo "unsupported, and compiles to nothing: $5"
	return 77
}

# A warning-free compile only, with the options that careful projects add.
form_warnings() {
	compile "$1" "$2" other.c other.o
}

# PROBEMETER_TEST and PROBEMETER_DISABLE, as examples.sh has them for this machine.
form_examples() {
	local cxx mode source flags
	cxx=$(cxx_of "$1")
	for mode in test_mode disable; do
		source=example_$mode flags="$2 -DPROBEMETER_$([ $mode = disable ] && echo DISABLE || echo TEST)"
		$1 -std=c11 $warnings $flags -I"$root/include" "$here/$source.c" $3 -o $source
		execute $source
		$cxx -std=c++17 $warnings $flags -I"$root/include" -x c++ "$here/$source.c" $3 -o $source
		execute $source
	done
	$1 -std=c11 $warnings $2 -DPROBEMETER_TEST -I"$root/include" -pthread "$here/test_mode.c" "$here/test_mode_other.c" -o test_mode
	execute test_mode
}

# Instruction by instruction, by somebody else's disassembler.
form_disassembled() {
	$1 -std=c11 $warnings $2 -I"$root/include" "$here/modes/use.c" $3 -o program
	aarch64-linux-gnu-objdump -d --no-show-raw-insn program >listing
	/usr/bin/python3 "$here/listing.py" listing -- "$2"
	execute program
}

# A script of its own.
form_script() {
	CC=$1 INCLUDE="$root/include" WARNINGS=$warnings bash "$here/$3"
}

# The table: name|form|compiler|compile flags|link flags|after the link|options of notes.py
cases() {
	local cc linker opt strict
	for cc in $(compilers); do
		for opt in -O0 -O2; do
			echo "$cc c11 $opt|c|$cc|$opt||"
			echo "$cc mixed $opt|mix|$cc|$opt||"
			echo "$cc c++17 $opt|cxx|$cc|$opt||"
			echo "$cc catalogue, one used $opt|one|$cc|$opt||"
			echo "$cc catalogue, one used, c++ $opt|one|$cc|-x c++ $opt||"
			echo "$cc catalogue, all used $opt|catalogue|$cc|$opt||"
			echo "$cc library $opt|library|$cc|$opt||"
			echo "$cc sections gc-sections $opt|mix|$cc|$opt -ffunction-sections -fdata-sections|-Wl,--gc-sections|"
			echo "$cc static $opt|mix|$cc|$opt|-static|"
			echo "$cc static-pie $opt|mix|$cc|$opt -fPIE|-static-pie|"
			echo "$cc no-pie $opt|mix|$cc|$opt -fno-pie|-no-pie|"
		done
		echo "$cc catalogue, all used, c++|catalogue|$cc|-x c++ -O1||"
		echo "$cc gnu11 -O3|c|$cc|-O3 -std=gnu11||"
		echo "$cc mixed -O3|mix|$cc|-O3||"
		echo "$cc mixed -Os|mix|$cc|-Os||"
		echo "$cc c11 -Og|c|$cc|-Og||"
		echo "$cc c++20 -O2|cxx|$cc|-O2 -std=c++20||"
		echo "$cc archive|archive|$cc|-O2||"
		echo "$cc partial link|partial|$cc|-O2||"
		for linker in bfd gold lld mold; do
			echo "$cc $linker|mix|$cc|-O2|-fuse-ld=$linker|"
			echo "$cc $linker no-pie static|mix|$cc|-O2 -fno-pie|-fuse-ld=$linker -static|"
			echo "$cc $linker library|library|$cc|-O2|-fuse-ld=$linker|"
			echo "$cc $linker catalogue, one used|one|$cc|-O1 -ffunction-sections|-fuse-ld=$linker|"
		done
		for linker in gold lld mold; do
			echo "$cc $linker sections gc-sections|mix|$cc|-O2 -ffunction-sections -fdata-sections|-fuse-ld=$linker -Wl,--gc-sections|"
			echo "$cc $linker library gc-sections|library|$cc|-O2 -ffunction-sections -fdata-sections|-fuse-ld=$linker -Wl,--gc-sections|"
			echo "$cc $linker static gc-sections|mix|$cc|-O2 -ffunction-sections -fdata-sections|-fuse-ld=$linker -Wl,--gc-sections -static|"
		done
		for linker in gold lld mold; do
			echo "$cc $linker icf=all|mix|$cc|-O2 -ffunction-sections|-fuse-ld=$linker -Wl,--icf=all|"
		done
		case $cc in
		*clang*) echo "$cc -mcmodel=large|mix|$cc|-O2 -mcmodel=large||" ;;
		*) echo "$cc -mcmodel=large|unsupported|$cc|-O2 -mcmodel=large|||\`-mcmodel=large\`" ;;
		esac
		echo "$cc -mcmodel=medium|c|$cc|-O2 -mcmodel=medium||"
		echo "$cc library gc-sections|library|$cc|-O2 -ffunction-sections -fdata-sections|-Wl,--gc-sections|"
		echo "$cc library hidden|library|$cc|-O2 -fvisibility=hidden|-Wl,-Bsymbolic|"
		echo "$cc library stripped|library|$cc|-O2||strip --strip-all {}|"
		echo "$cc strip|mix|$cc|-O2||strip {}|"
		echo "$cc strip --strip-all, static|mix|$cc|-O2|-static|strip --strip-all {}|"
		echo "$cc -s|mix|$cc|-O0|-s|"
		echo "$cc llvm-strip|mix|$cc|-O2||llvm-strip {}|--usdt any"
		echo "$cc llvm-strip --strip-all lld|mix|$cc|-O0|-fuse-ld=lld|llvm-strip --strip-all {}|--usdt any"
		echo "$cc strip --strip-debug|mix|$cc|-O2 -g||strip --strip-debug {}|"
		echo "$cc split debug|mix|$cc|-O2 -g -gz||objcopy --only-keep-debug {} {}.debug; strip {}; objcopy --add-gnu-debuglink={}.debug {}|"
		echo "$cc relro now|mix|$cc|-O2|-Wl,-z,relro,-z,now,-z,separate-code|"
		echo "$cc noseparate-code|mix|$cc|-O2|-Wl,-z,noseparate-code|"
		echo "$cc -masm=intel|mix|$cc|-O2 -masm=intel||"
		echo "$cc -masm=intel -O0|c|$cc|-O0 -masm=intel||"
		echo "$cc -fcf-protection|mix|$cc|-O2 -fcf-protection|-Wl,-z,ibt,-z,shstk|"
		echo "$cc no unwind tables|c|$cc|-O2 -fno-asynchronous-unwind-tables -fno-unwind-tables -DNO_BACKTRACE||"
		echo "$cc no asynchronous unwind tables|mix|$cc|-O2 -fno-asynchronous-unwind-tables -DNO_BACKTRACE||"
		echo "$cc -fno-dwarf2-cfi-asm|mix|$cc|-O2 -fno-dwarf2-cfi-asm -DNO_BACKTRACE||"
		echo "$cc no exceptions|cxx|$cc|-O2 -fno-exceptions -fno-rtti||"
		echo "$cc frame pointers|c|$cc|-O2 -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer||"
		echo "$cc no red zone|c|$cc|-O2 -mno-red-zone||"
		echo "$cc -fstack-protector-all|mix|$cc|-O2 -fstack-protector-all||"
		echo "$cc hardening|mix|$cc|-O2 -D_FORTIFY_SOURCE=2 -fstack-clash-protection -fstack-protector-strong -fcf-protection -fPIE|-pie -Wl,-z,relro,-z,now|"
		echo "$cc -g|mix|$cc|-O0 -g||"
		echo "$cc -g3 -O2|c|$cc|-O2 -g3 -fdebug-types-section||"
		echo "$cc -pg|c|$cc|-O2 -pg|-pg|"
		echo "$cc -finstrument-functions|c|$cc|-O0 -finstrument-functions||"
		echo "$cc -finstrument-functions -O2|c|$cc|-O2 -finstrument-functions||"
		echo "$cc -fpatchable-function-entry|c|$cc|-O2 -fpatchable-function-entry=2||"
		echo "$cc address,undefined|mix|$cc|-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all||"
		echo "$cc address -O0|cxx|$cc|-O0 -fsanitize=address||"
		echo "$cc undefined|c|$cc|-O2 -fsanitize=undefined -fno-sanitize-recover=all||"
		echo "$cc thread|mix|$cc|-O2 -fsanitize=thread||"
		echo "$cc --coverage|mix|$cc|-O0 --coverage||"
		echo "$cc --coverage -O2|c|$cc|-O2 --coverage||"
		echo "$cc -fno-plt|c|$cc|-O2 -fno-plt -fPIC||"
		echo "$cc -fno-semantic-interposition library|library|$cc|-O2 -fno-semantic-interposition||"
		echo "$cc -march=x86-64-v2|c|$cc|-O3 -march=x86-64-v2||"
		echo "$cc -fno-common -fshort-enums|c|$cc|-O2 -fno-common -fshort-enums -fno-strict-aliasing||"
		echo "$cc -funsigned-char|c|$cc|-O2 -funsigned-char||"
		echo "$cc examples|script|$cc||examples.sh|"
		echo "$cc compile errors|script|$cc||errors.sh|"
		echo "$cc golden descriptor and hash vectors|script|$cc||golden.sh|"
		echo "$cc unwind|script|$cc||unwind.sh|"
		echo "$cc perf|script|$cc||perf.sh|"
	done
	for cc in $(compilers); do
		strict="-O2 -Wshadow -Wconversion -Wsign-conversion -Wundef -Wcast-qual -Wcast-align -Wredundant-decls"
		echo "$cc more warnings|warnings|$cc|$strict -Wstrict-prototypes -Wbad-function-cast -Wno-missing-prototypes||"
		echo "$cc more warnings, c++|warnings|$cc|-x c++ $strict -Wold-style-cast -Wzero-as-null-pointer-constant -Wno-missing-declarations||"
		case $cc in
		*clang*)
			echo "$cc -flto|mix|$cc|-O2 -flto|-fuse-ld=lld|"
			echo "$cc -flto -O0|mix|$cc|-O0 -flto|-fuse-ld=lld|"
			echo "$cc -flto=thin|mix|$cc|-O2 -flto=thin|-fuse-ld=lld|"
			echo "$cc -flto=thin -O0|cxx|$cc|-O0 -flto=thin|-fuse-ld=lld|"
			echo "$cc -flto c++17|cxx|$cc|-O3 -flto|-fuse-ld=lld|"
			echo "$cc -flto library|library|$cc|-O2 -flto|-fuse-ld=lld|"
			echo "$cc -flto=thin library|library|$cc|-O2 -flto=thin -fvisibility=hidden|-fuse-ld=lld|"
			echo "$cc -flto static gc-sections|mix|$cc|-O2 -flto -ffunction-sections|-fuse-ld=lld -static -Wl,--gc-sections|"
			echo "$cc -flto catalogue, one used|one|$cc|-O2 -flto|-fuse-ld=lld|"
			echo "$cc -flto llvm-strip|mix|$cc|-O2 -flto|-fuse-ld=lld|llvm-strip --strip-all {}|--usdt any"
			echo "$cc -fsanitize-coverage|mix|$cc|-O1 -fsanitize=address -fsanitize-coverage=trace-pc-guard||"
			echo "$cc icf=safe|mix|$cc|-O2 -ffunction-sections|-fuse-ld=lld -Wl,--icf=safe|"
			echo "$cc -fno-integrated-as|mix|$cc|-O2 -fno-integrated-as||"
			echo "$cc -fprofile-instr-generate|mix|$cc|-O2 -fprofile-instr-generate -fcoverage-mapping||"
			echo "$cc -fsanitize=cfi|c|$cc|-O2 -flto -fvisibility=hidden -fsanitize=cfi|-fuse-ld=lld|"
			echo "$cc safe-stack|c|$cc|-O2 -fsanitize=safe-stack||"
			echo "$cc split sections|mix|$cc|-O2 -fbasic-block-sections=all|-fuse-ld=lld|"
			;;
		*)
			echo "$cc -flto|mix|$cc|-O2 -flto||"
			echo "$cc -flto -O0|mix|$cc|-O0 -flto||"
			echo "$cc -flto-partition=max|mix|$cc|-O2 -flto -flto-partition=max||"
			echo "$cc -flto-partition=1to1|cxx|$cc|-O2 -flto -flto-partition=1to1||"
			echo "$cc -flto-partition=none|mix|$cc|-O3 -flto -flto-partition=none||"
			echo "$cc -flto c++17|cxx|$cc|-O3 -flto||"
			echo "$cc -flto fat|mix|$cc|-O2 -flto -ffat-lto-objects||"
			echo "$cc -flto library|library|$cc|-O2 -flto||"
			echo "$cc -flto-partition=max library|library|$cc|-O2 -flto -flto-partition=max||"
			echo "$cc -flto static gc-sections|mix|$cc|-O2 -flto -ffunction-sections -fdata-sections|-static -Wl,--gc-sections|"
			echo "$cc -flto gold|mix|$cc|-O2 -flto|-fuse-ld=gold|"
			echo "$cc -flto mold|mix|$cc|-O2 -flto|-fuse-ld=mold|"
			echo "$cc -flto catalogue, one used|one|$cc|-O2 -flto||"
			echo "$cc -flto strip|mix|$cc|-O2 -flto|-s||"
			echo "$cc -fsanitize-coverage|cxx|$cc|-O1 -fsanitize-coverage=trace-pc -DTRACE_PC||"
			echo "$cc -finstrument-functions, mixed|mix|$cc|-O0 -finstrument-functions||"
			echo "$cc -fprofile-generate|mix|$cc|-O2 -fprofile-generate||"
			echo "$cc -fzero-call-used-regs|mix|$cc|-O2 -fzero-call-used-regs=all||"
			echo "$cc -fwhole-program|one|$cc|-O2 -fwhole-program||"
			echo "$cc -fno-toplevel-reorder|c|$cc|-O1 -fno-toplevel-reorder||"
			echo "$cc -fno-plt -fno-inline|mix|$cc|-O2 -fno-inline -fno-plt||"
			echo "$cc -fipa-pta|mix|$cc|-O3 -fipa-pta -fwhole-program -flto||"
			;;
		esac
	done
	echo "gcc and clang in one program|both|gcc|-O2|||"
	echo "gcc and clang in one program, lld|both|clang|-O0|-fuse-ld=lld||"
}

# The same for arm64, in fewer ways: what the machine is no part of is tried above.
cases_arm64() {
	local cc opt lto
	for cc in aarch64-linux-gnu-gcc "clang --target=aarch64-linux-gnu"; do
		for opt in -O0 -O1 -O2 -O3 -Os "-O2 -fPIC" "-O2 -mbranch-protection=standard"; do
			echo "$cc disassembled $opt|disassembled|$cc|$opt||"
		done
		echo "$cc disassembled -O2, no-pie|disassembled|$cc|-O2 -fno-pie|-no-pie|"
		echo "$cc c11 -O0|c|$cc|-O0||"
		echo "$cc mixed -O2, gc-sections|mix|$cc|-O2 -ffunction-sections -fdata-sections|-Wl,--gc-sections|"
		echo "$cc c++17 -O3|cxx|$cc|-O3||"
		echo "$cc catalogue, all used|catalogue|$cc|-O1||"
		echo "$cc library -O2|library|$cc|-O2||"
		echo "$cc static-pie|c|$cc|-O2 -fPIE|-static-pie|"
		echo "$cc static no-pie, all hardening|c|$cc|-Os -fno-pie -D_FORTIFY_SOURCE=2 -fstack-protector-all -mbranch-protection=standard|-no-pie -static|"
		echo "$cc frame pointers, atomics|c|$cc|-O2 -march=armv8.1-a -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer||"
		echo "$cc -mcmodel=tiny, no unwind tables|c|$cc|-O2 -mcmodel=tiny -fno-asynchronous-unwind-tables -fno-unwind-tables -DNO_BACKTRACE||llvm-strip --strip-all {}|--usdt any"
		echo "$cc -mcmodel=large|c|$cc|-O2 -mcmodel=large -fno-pie|-no-pie|"
		echo "$cc examples, test mode|examples|$cc|-O2||"
		echo "$cc golden descriptor and hash vectors|script|$cc||golden.sh|"
		lto="-flto -flto-partition=max|"
		case $cc in clang*)
			echo "$cc lld icf=all|c|$cc|-O2 -ffunction-sections|-fuse-ld=lld -Wl,--icf=all|"
			echo "$cc mold icf=all|c|$cc|-O2 -ffunction-sections|-fuse-ld=mold -Wl,--icf=all|"
			lto="-flto=thin|-fuse-ld=lld"
			;;
		esac
		echo "$cc -flto|mix|$cc|-O2 $lto|"
	done
}

compilers() {
	local cc
	for cc in gcc clang clang-19; do
		if command -v "$cc" >/dev/null && command -v "$(cxx_of "$cc")" >/dev/null; then echo "$cc"; fi
	done
}

has_arm64() {
	command -v aarch64-linux-gnu-gcc && command -v aarch64-linux-gnu-g++ && command -v qemu-aarch64
} >/dev/null

if [ "${1:-}" = --one ]; then
	one "$2" "$3"
	exit
fi
only=.
if [ "${1:-}" = --only ]; then
	only=$2
	shift 2
fi
work=${1:-build/headers}
mkdir -p "$work"
work=$(cd "$work" && pwd)
rm -rf "$work/common"
mkdir "$work/common"
{ cases; if has_arm64; then cases_arm64; fi; } | { grep -E -- "^[^|]*($only)" || true; } | tr '\n' '\0' |
	xargs -0 -r -P "$(nproc)" -n 1 bash "${BASH_SOURCE[0]}" --one "$work" >"$work/results"
rm -rf "$work/common"
{ grep -v ^pass "$work/results" || true; } | sort
passed=$(grep -c ^pass "$work/results" || true)
failed=$(grep -c ^FAIL "$work/results" || true)
skipped=$(grep -c ^skip "$work/results" || true)
if ! command -v clang-19 >/dev/null; then echo "skip clang-19: not installed"; skipped=$((skipped + 1)); fi
if ! has_arm64; then
	echo "skip arm64: no cross compiler and emulator; scripts/deps.sh arm64 installs them"
	skipped=$((skipped + 1))
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
