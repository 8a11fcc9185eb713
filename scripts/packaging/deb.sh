#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# deb.sh - build the Debian packages from this tree, without network, into build/deb
#
#   scripts/packaging/deb.sh
#
# The sources are copied, so that dpkg's own build finds debian/ where it wants it and the tree stays as it is. The version is
# the program's; the changelog is made of CHANGELOG.md's text and the time of the last commit, or now.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/../.."

version=$(sed -n 's/^#define PROBEMETER_VERSION "\(.*\)"/\1/p' include/probemeter/version.h)
work=build/deb/probemeter-$version
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}

rm -rf build/deb
mkdir -p "$work"
cp -a Makefile CHANGELOG.md LICENSE README.md bpf include scripts userspace "$work/"
cp -a scripts/packaging/debian "$work/debian"
sed -e 's/^$/./; s/^/ /' LICENSE >"$work/license"
sed -i -e "/^@LICENSE@$/{r $work/license
d}" "$work/debian/copyright"
rm "$work/license"
maintainer=$(sed -n 's/^Maintainer: //p' scripts/packaging/debian/control)
{
	echo "probemeter ($version) unstable; urgency=medium"
	echo
	echo "  * Version $version; what is new is in CHANGELOG.md."
	echo
	echo " -- $maintainer  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
} >"$work/debian/changelog"
cd "$work"
log=../build.log
# No signature: whoever publishes the packages signs them.
dpkg-buildpackage -b -us -uc -d >"$log" 2>&1 || { tail -30 "$log" >&2; exit 1; }
cd ..
rm -rf "probemeter-$version"
ls ./*.deb | sed "s|^\./|build/deb/|"
