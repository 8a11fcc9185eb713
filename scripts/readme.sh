#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# readme.sh - print README.md with its generated tables made anew
#
#   scripts/readme.sh build/document <README.md
#
# A table stands between "<!-- NAME: ... -->" and "<!-- end of NAME -->"; `document NAME` prints what belongs there.
# The rest goes through as it is. `make readme` writes the result; tests/e2e/test_readme.py fails where it differs.
set -euo pipefail
document=$1
end=

while IFS= read -r line; do
    if [[ -n $end ]]; then
        [[ $line != "$end" ]] || { printf '%s\n' "$line"; end=; }
        continue
    fi
    printf '%s\n' "$line"
    if [[ $line =~ ^'<!-- '([a-z]+)': made by' ]]; then
        end="<!-- end of ${BASH_REMATCH[1]} -->"
        "$document" "${BASH_REMATCH[1]}"
    fi
done
[[ -z $end ]] || { echo "readme: '$end' is missing" >&2; exit 1; }
