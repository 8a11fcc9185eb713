#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# schema.sh - a header with a hash of the BPF sources, without their comments and white space
#
#   scripts/schema.sh bpf >schema.h
#
# It is part of the name under which maps are pinned (userspace/kernel.c): a build adopts what another one left only if both
# were made of the same sources. Any other change of bpf/ is a handover, in which nothing is lost either.
set -euo pipefail
export LC_ALL=C

sum=$(cat "$1"/*.h "$1"/*.c | tr -s ' \t\n' '   ' | sed 's|/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/||g' | tr -d ' ' | sha256sum)
echo "/* made by scripts/schema.sh */"
echo "#define SCHEMA_SOURCES 0x${sum:0:16}ull"
