#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# page.sh - the live page as one file, and the header that lets a browser run nothing but it
#
#   page.sh OUT.html OUT.h      writes both; called by the Makefile
#
# The header defines PAGE_FILE and PAGE_POLICY, a Content-Security-Policy with the hashes of the one style and the one script.
set -euo pipefail
here=$(dirname "$0")
css=$(cat "$here/page.css")
js=$(cat "$here"/{number,memory,draw,page}.js)
page=$(cat "$here/page.html")

hash_of() {
    printf '%b' "$(printf '%s' "$1" | sha256sum | cut -d' ' -f1 | sed 's/../\\x&/g')" | base64 -w 0
}

# Quoted, so that no & stands for what was matched.
page=${page/@CSS@/"$css"}
page=${page/@JS@/"$js"}
printf '%s\n' "$page" >"$1"
cat >"$2" <<END
#define PAGE_FILE "$1"
#define PAGE_POLICY "default-src 'none'; style-src 'sha256-$(hash_of "$css")'; script-src 'sha256-$(hash_of "$js")'; " \\
	"connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
END
