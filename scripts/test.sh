#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test.sh - run groups of tests and add up what they say
#
#   scripts/test.sh GROUP...      unit headers fuzz hostile service e2e stress packages kernels
#
# A test is a program that prints what it checks, closes with "N passed, N failed[, N skipped]" (cmocka programs close
# in cmocka's own words) and exits 0 or 1. Every test runs, whatever the ones before it did. The last line adds up.
set -uo pipefail
cd "$(dirname "$0")/.."

passed=0 failed=0 skipped=0 failures='' number=0 total=0
started=$SECONDS

# Builds the packages, which takes minutes and packages of its own: not in `make test`.
packages='tests/e2e/test_packages.py
tests/e2e/test_image.py
tests/systemd/test_service.py'

# What a group consists of.
tests_of() {
    case $1 in
    unit) ls build/unit/test_* | grep -v '\.d$' ;;
    headers) echo tests/headers/run.sh ;;
    fuzz) ls tests/fuzz/*.c ;;
    hostile) echo tests/hostile/run.py ;;
    service) echo tests/services/test_scriptd.py ;;
    e2e) ls tests/e2e/test_*.py | grep -vxF "$packages" ;;
    stress) echo tests/stress/test_judge.py tests/stress/run.py ;;
    packages) echo "$packages" ;;
    kernels) echo tests/kernels/test_absent.py tests/kernels/test_found.py tests/kernels/run.py ;;
    *) echo "test.sh: no group '$1': unit headers fuzz hostile service e2e stress packages kernels" >&2; return 1 ;;
    esac
}

# The sum of the numbers that a pattern's group picks from the lines of a file; empty if there are none.
sum_of() {
    sed -nE "s/$1/\\1/p" "$2" | awk '{ n += $1 } END { if (NR) print n }'
}

start_one() {
    case $1 in
    *.py) /usr/bin/python3 "$1" ;;
    tests/fuzz/*.c) /usr/bin/python3 -B tests/fuzz/run.py "$(basename "$1" .c)" 60 ;;
    *) "./$1" ;;
    esac </dev/null 2>&1
}

# Add up what a test that has run wrote to a file: TEST STATUS FILE.
judge() {
    local test=$1 status=$2 output=$3 ok bad skip
    # The plain closing line, or else cmocka's.
    ok=$(tail -n 1 "$output" | sed -nE 's/^([0-9]+) passed, [0-9]+ failed.*/\1/p')
    bad=$(tail -n 1 "$output" | sed -nE 's/^[0-9]+ passed, ([0-9]+) failed.*/\1/p')
    skip=$(tail -n 1 "$output" | sed -nE 's/.* failed, ([0-9]+) skipped$/\1/p')
    if [ -z "$ok" ]; then
        ok=$(sum_of '^\[  PASSED  \] ([0-9]+) test.*' "$output")
        bad=$(sum_of '^\[  FAILED  \] ([0-9]+) test.*' "$output")
        skip=$(sum_of '^\[  SKIPPED \] ([0-9]+) test.*' "$output")
    fi
    ok=${ok:-0} bad=${bad:-0} skip=${skip:-0}
    if [ "$status" != 0 ] && [ "$bad" = 0 ]; then
        echo "$test: exit code $status though no check failed"
        bad=1
    elif [ $((ok + bad + skip)) = 0 ]; then
        echo "$test: checked nothing"
        bad=1
    fi
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    [ "$bad" = 0 ] || failures="$failures $test"
}

work=$(mktemp -d) beside='' others=''
trap '[ -z "$beside" ] || kill -- "-$beside_pid" 2>/dev/null; rm -rf "$work"' EXIT

# Hundreds of compilations and emulated machines wait for nobody's clock, while the end-to-end tests mostly wait: they go
# beside the others, on what CPU those leave.
for group in "$@"; do
    case $group in
    headers | kernels) beside="$beside $group" ;;
    *) others="$others $group" ;;
    esac
done
[ -n "$others" ] || beside=''
if [ -n "$beside" ]; then
    # shellcheck disable=SC2086 # a list
    setsid chrt --idle 0 scripts/test.sh $beside </dev/null >"$work/beside" 2>&1 &
    beside_pid=$!
    # shellcheck disable=SC2086
    set -- $others
fi

for group in "$@"; do
    list=$(tests_of "$group") || exit 2
    total=$((total + $(wc -w <<<"$list")))
done

for group in "$@"; do
    list=$(tests_of "$group") || exit 2
    # Unit tests share nothing and partly wait: all at once. Fuzz targets three at a time. The others have the machine to
    # themselves.
    case $group in
    unit) at_once=1000 ;;
    fuzz) at_once=3 ;;
    *) at_once=1 ;;
    esac
    if [ $at_once != 1 ]; then
        ( # whose jobs are these alone
            begins=0
            for test in $list; do
                while [ "$(jobs -r | wc -l)" -ge $at_once ]; do
                    wait -n
                done
                [ $at_once != 3 ] || echo "--- $test: begins, $at_once at a time ($((begins += 1)) of $(wc -w <<<"$list"))"
                { start_one "$test" >"$work/${test##*/}"; echo $? >"$work/${test##*/}.status"; } &
            done
            wait
        )
    fi
    for test in $list; do
        number=$((number + 1))
        echo "--- $test ($number of $total)"
        begun=$SECONDS
        output=$work/${test##*/}
        if [ $at_once != 1 ]; then
            cat "$output"
            status=$(cat "$output.status")
        else
            start_one "$test" | tee "$output"
            status=${PIPESTATUS[0]}
        fi
        judge "$test" "$status" "$output"
        [ $at_once != 1 ] || echo "--- $test: $((SECONDS - begun)) s; $((SECONDS - started)) s in all so far, $failed failed"
    done
done
if [ -n "$beside" ]; then
    echo "--- beside these:$beside"
    wait "$beside_pid"
    status=$?
    cat "$work/beside"
    judge "beside:$beside" "$status" "$work/beside"
fi
echo "$((SECONDS - started)) s in all"
[ -z "$failures" ] || echo "failed:$failures"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $passed != 0 ]
