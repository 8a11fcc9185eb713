#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# readme.sh - print a page, README.md or one of scripts/docs, with its generated tables made anew
#
#   scripts/readme.sh build/document <README.md
#
# A table stands between "<!-- NAME: made by ... -->" and "<!-- end of NAME -->"; `document NAME` prints what belongs there,
# and for costs and goals the picture beside them does. The rest goes through as it is. `make readme` writes the results;
# tests/e2e/test_readme.py fails where they differ.
set -euo pipefail
document=$1
here=$(dirname "$0")
end=

table() {
    case $1 in
    costs | goals) /usr/bin/python3 -B "$here/../tests/bench/costs.py" "$here/bench.svg" "$1" ;;
    *) "$document" "$1" ;;
    esac
}

while IFS= read -r line; do
    if [[ -n $end ]]; then
        [[ $line != "$end" ]] || { printf '%s\n' "$line"; end=; }
        continue
    fi
    printf '%s\n' "$line"
    if [[ $line =~ ^'<!-- '([a-z]+)": made by 'make readme'" ]]; then
        end="<!-- end of ${BASH_REMATCH[1]} -->"
        table "${BASH_REMATCH[1]}"
    fi
done
[[ -z $end ]] || { echo "readme: '$end' is missing" >&2; exit 1; }
