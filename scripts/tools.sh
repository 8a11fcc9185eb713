#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tools.sh - unpack what tests and benchmark need and Debian 12 does not install, under build/tools
#
#   scripts/tools.sh            the receivers that the end-to-end tests export to, and two other kernels
#   scripts/tools.sh kernels    more kernels
#   scripts/tools.sh arm64      kernels for arm64, and the libraries that programs for it are linked with
#   scripts/tools.sh debian     a small Debian with systemd, to install packages in
#   scripts/tools.sh bench      what the benchmark compares with
#   scripts/tools.sh package    what judges the packages
#   scripts/tools.sh --list     print what would be brought and from which suite
#
# Brings what is missing; nothing to do and no network when all is there.
#
# The system stays as it is: no package is installed, no apt source is added, no daemon starts, and root is not
# needed. Some of these packages exist in a newer suite than the machine's only, so apt runs with a state directory
# of its own that lists those suites. The mirror is the one this machine's own apt sources name for Debian; what it
# serves is verified with Debian's archive keyring. What Debian does not have at all comes from npm's registry, in the
# version named here, without running any script of the package.
#
# A kernel that cannot be had ends this where CI is set, with what to do about it. Elsewhere it is said, build/tools/linux-SUITE/why-not
# says it to the test that wants the kernel, which skips it, and the next run tries again.
#
# Result: build/tools/PACKAGE/ (the unpacked packages), build/tools/bin/ (links to the programs), build/tools/linux-SUITE/,
# linux-SUITE-arm64/ and linux-SUITE-rt-arm64/ (a kernel image), build/tools/arm64/ (the root of an arm64 system: libraries and headers),
# build/tools/debian/ (a whole system, as an archive that a kernel unpacks), build/tools/python/ (the official OTLP messages
# as python modules, made by protoc), build/tools/npm/ (node modules), build/tools/npm-package/ (those of that group: npm
# takes away what it was not asked for).
set -euo pipefail

# group | package | suite | version at least | files that must be in it | why
# linux-image-*: the image of the kernel that this package stands for in that suite; for machines that can run it
# arm64: no package but all that scripts/deps.sh build names as a library, what those need, and what guests run
TABLE='
test  | victoria-metrics      | trixie             | 1.112 | usr/bin/victoria-metrics usr/bin/vmagent | takes OTLP, answers PromQL; vmagent hands OTLP on to Prometheus
test  | prometheus            | bookworm           | 2.42  | usr/bin/prometheus usr/bin/promtool      | the PromQL that dashboards really use
test  | opentelemetry-proto   | bookworm-backports | 1.0   | usr/include/opentelemetry/proto          | the official message definitions
test  | linux-image-cloud-amd64 | bookworm           | 6.1   | vmlinuz                                  | the oldest kernel of ours that Debian carries
test  | linux-image-cloud-amd64 | trixie-backports   | 7     | vmlinuz                                  | the newest
kernels | linux-image-cloud-amd64 | bookworm-backports | 6.12 | vmlinuz                                 | in between
kernels | linux-image-cloud-amd64 | bullseye         | 5.10  | vmlinuz                                  | too old: must be refused
arm64 | linux-image-arm64     | bookworm           | 6.1   | vmlinuz                                  | as above
arm64 | linux-image-arm64     | bookworm-backports | 6.12  | vmlinuz                                  |
arm64 | linux-image-arm64     | trixie-backports   | 7     | vmlinuz                                  |
arm64 | linux-image-arm64     | bullseye           | 5.10  | vmlinuz                                  |
arm64 | linux-image-rt-arm64  | bookworm           | 6.1   | vmlinuz                                  | fully preemptible, which the others cannot be told to be
arm64 | linux-image-rt-arm64  | bookworm-backports | 6.12  | vmlinuz                                  |
arm64 | linux-image-rt-arm64  | trixie-backports   | 7     | vmlinuz                                  |
arm64 | arm64                 | bookworm           | 0     | bin/busybox usr/include/bpf/bpf.h        | libraries, as for this machine
bench | opentelemetry-cpp     | bookworm-backports | 1.19  | usr/lib                                  | the SDK for C++, to compare with
bench | opentelemetry-cpp-dev | bookworm-backports | 1.19  | usr/include/opentelemetry/sdk/metrics    | its headers
'
# The oldest kernel that counts: Debian has no 5.15 any more.
OLDEST=http://archive.ubuntu.com/ubuntu/pool/main/l/linux/linux-image-unsigned-5.15.0-25-generic_5.15.0-25.25_amd64.deb
OLDEST_SHA256=ac69df20790c48217eb1386ef81fd10d3f20a4ede4dab81cc107c65d29549fa0
# group | package | version | why
NPM='
test    | @elastic/mockotlpserver | 0.10.0 | takes OTLP over gRPC and decodes it with the official schema
test    | axe-core | 4.10.2 | the rules for pages that everybody can use, checked in the browser
package | kubernetes-models | 4.5.0 | the schemas of Kubernetes'"'"' objects; 5 wants a newer Node than Debian 12 has
'
# What the small Debian holds beside what every one does: what starts it, what the packages depend on, what looks at them
DEBIAN='systemd systemd-sysv busybox-static bpftool procps libbpf1 libcap-ng0 libcurl4 libjson-c5 libmicrohttpd12 libncursesw6 libprotobuf-c1 libseccomp2'
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

cd "$(dirname "$(realpath "$0")")/.."
tools=$PWD/build/tools

say() { printf 'tools: %s\n' "$*"; }
die() { printf 'tools: %s\n' "$*" >&2; exit 1; }

# rows - the table's rows of this group, trimmed, as "package|suite|version|files|why"
rows() {
	sed -n "s/ *| */|/g; s/^ *//; s/ *\$//; s/^$group|//p" <<<"$TABLE" |
		if [[ $(uname -m) == x86_64 ]]; then cat; else grep -v '^linux-image'; fi
}

# place PACKAGE SUITE - its directory under build/tools
place() {
	case $1 in
	linux-image-arm64) echo "linux-$2-arm64" ;;
	linux-image-rt-arm64) echo "linux-$2-rt-arm64" ;;
	linux-image-*) echo "linux-$2" ;;
	*) echo "$1" ;;
	esac
}

# complete PACKAGE_DIR FILE... - true when every file is there
complete() {
	local dir=$1 file
	shift
	for file; do
		[[ -e $dir/$file ]] || return
	done
}

missing() {
	local package suite version files why
	while IFS='|' read -r package suite version files why; do
		# shellcheck disable=SC2086
		complete "$tools/$(place "$package" "$suite")" $files || printf '%s|%s|%s|%s|%s\n' "$package" "$suite" "$version" "$files" "$why"
	done < <(rows)
}

# npm_place - where this group's node modules are
npm_place() { if [[ $group == test ]]; then echo "$tools/npm"; else echo "$tools/npm-$group"; fi; }

# npm_packages - package@version of all of this group if one is not there in that version: npm takes away what it is not told
npm_packages() {
	local of package version why all= gone=
	while IFS='|' read -r of package version why; do
		package=${package// /} version=${version// /}
		[[ ${of// /} == "$group" ]] || continue
		all+="$package@$version"$'\n'
		grep -qs "\"version\": \"$version\"" "$(npm_place)/node_modules/$package/package.json" || gone=yes
	done <<<"$NPM"
	[[ -z $gone ]] || printf %s "$all"
}

# debian_there - true when the small Debian is, with all of this, or nobody wants it
debian_there() {
	[[ $group != debian ]] && return
	[[ -e $tools/debian/root.cpio && $(cat "$tools/debian/holds" 2>/dev/null) == "$DEBIAN" ]]
}

# debian_make URI - from the packages of that mirror
debian_make() {
	local into=$tools/.debian

	rm -rf "$into"
	mkdir -p "$into"
	mmdebstrap --quiet --variant=apt --skip=chroot/policy-rc.d --skip=chroot/start-stop-daemon --include="${DEBIAN// /,}" \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--customize-hook="cd \"\$1\" && rm -rf var/lib/apt/lists/* && find . -xdev | cpio --quiet -o -H newc >$(printf %q "$into/root.cpio")" \
		bookworm /dev/null "deb [signed-by=$KEYRING] $1 bookworm main" >"$into/log" 2>&1 || return
	echo "$DEBIAN" >"$into/holds"
	rm -rf "$tools/debian"
	mv "$into" "$tools/debian"
}

# mirrors - each address that this machine's apt sources name for its own release, whatever format they are in
mirrors() {
	local release
	# shellcheck source=/dev/null
	release=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
	# apt's own variables, not the shell's.
	# shellcheck disable=SC2016
	apt-get indextargets --no-release-info --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
		awk -v r="$release" '($1 == r || $1 ~ /^(stable|oldstable|bookworm|trixie)$/) && $2 == "main" && !seen[$3]++ { print $3 }'
}

# private_apt ARG... - apt-get with sources, lists and cache under $state
private_apt() {
	apt-get -qq -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$state/sources" \
		-o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
		-o Dir::State="$state" -o Dir::State::Lists="$state/lists" -o Dir::State::Status="$state/status" \
		-o Dir::Cache="$state/cache" -o Acquire::Languages=none -o Acquire::PDiffs=false \
		-o Acquire::Retries=3 "$@"
}

# use_mirror URI SUITE... - true when that mirror's lists of these suites could be had and verified
use_mirror() {
	local uri=$1 try
	shift
	printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$uri" "$*" "$KEYRING" \
		>"$state/sources/mirror.sources"
	for try in 1 2; do
		# Without Error-Mode=any apt-get update is content with a suite that could not be had.
		private_apt -o APT::Update::Error-Mode=any update >"$state/log" 2>&1 && return
		sleep "$try"
	done
	return 1
}

# lists SUITE... - true when one mirror serves them all
lists() {
	local uri
	for uri in $(mirrors); do
		use_mirror "$uri" "$@" && return
	done
	return 1
}

# reason LOG - what apt says first of what went wrong: hashes follow, or that something did
reason() { grep -m 1 '^E: ' "$1" || tail -n 1 "$1"; }

# lacking PACKAGE SUITE WHAT - it cannot be had: the end, but for kernels outside of CI
lacking() {
	local into
	[[ $1 == linux-image-* && -z ${CI:-} ]] || die "$3"
	into=$(place "$1" "$2")
	rm -rf "${tools:?}/$into" "$tools/.$into"
	mkdir -p "$tools/$into"
	echo "$3" >"$tools/$into/why-not"
	say "$3. Its tests will be skipped"
}

# download WHAT - WHAT is PACKAGE/SUITE or PACKAGE=VERSION; the path of the .deb
download() {
	(cd "$state/debs" && rm -f ./*.deb && private_apt download "$1") >"$state/log" 2>&1 && ls "$state"/debs/*.deb
}

# bring_next WHAT PACKAGE SUITE - what download says of WHAT, for that row, in $deb; false when it cannot be had
bring_next() {
	deb=$(download "$1") && return
	lacking "$2" "$3" "cannot download '$1' of '$3': $(reason "$state/log"). Remedy: see that the mirror in this machine's apt sources carries '$3' main"
	return 1
}

# libraries - what arm64/ is made of
libraries() {
	scripts/deps.sh --list build | awk '$2 ~ /-dev$/ { print $2 }'
	printf '%s\n' libstdc++6 busybox-static
}

# bring_root FILE... - those packages and all that they need, in one tree as if they were installed there
bring_root() {
	local deb link to
	# shellcheck disable=SC2046
	private_apt -o Debug::NoLocking=1 --download-only --no-install-recommends --yes install $(libraries) >"$state/log" 2>&1 ||
		die "cannot download the libraries for arm64: $(reason "$state/log"). Remedy: see that the mirror in this machine's apt sources carries arm64"
	rm -rf "${tools:?}/arm64" "$tools/.arm64"
	for link in bin lib sbin; do
		mkdir -p "$tools/.arm64/usr/$link"
		ln -s "usr/$link" "$tools/.arm64/$link"
	done
	for deb in "$state"/cache/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink --exclude=./dev -C "$tools/.arm64"
	done
	# What points to the root of a file system means this one's.
	find "$tools/.arm64" -type l -lname '/*' -printf '%p\t%l\n' | while IFS=$'\t' read -r link to; do
		ln -sfnr "$tools/.arm64$to" "$link"
	done
	complete "$tools/.arm64" "$@" || die "the libraries for arm64 do not hold all of: $*"
	mv "$tools/.arm64" "$tools/arm64"
	say "$(find "$state/cache/archives" -name '*.deb' | wc -l) packages for arm64"
}

# unpack_kernel DEB DIRECTORY - its image, as vmlinuz
unpack_kernel() {
	local tree
	tree=$(mktemp -d)
	dpkg-deb -x "$1" "$tree"
	find "$tree" -name 'vmlinuz*' -type f -exec cp {} "$2/vmlinuz" \;
	rm -rf "$tree"
}

# oldest_there - true when the oldest kernel is, or nobody wants it
oldest_there() {
	[[ $group != kernels || $(uname -m) != x86_64 || -e $tools/linux-jammy/vmlinuz ]]
}

# bring_oldest - download, verify, unpack aside, move into place
bring_oldest() {
	local into=$tools/.linux-jammy

	rm -rf "$into"
	mkdir -p "$into"
	if ! /usr/lib/apt/apt-helper -qq download-file "$OLDEST" "$into/kernel.deb" "SHA256:$OLDEST_SHA256" >"$into/log" 2>&1; then
		lacking linux-image-generic jammy "Linux 5.15 cannot be had from $OLDEST: $(reason "$into/log"). Remedy: see that this address can be reached"
		return
	fi
	unpack_kernel "$into/kernel.deb" "$into"
	rm "$into/kernel.deb"
	rm -rf "$tools/linux-jammy"
	mv "$into" "$tools/linux-jammy"
	say "Linux 5.15 from Ubuntu 22.04"
}

# bring PACKAGE SUITE VERSION FILE... - download, verify, unpack aside, move into place
bring() {
	local package=$1 suite=$2 version=$3 deb got into next
	shift 3
	if [[ $package == arm64 ]]; then
		bring_root "$@"
		return
	fi

	bring_next "$package/$suite" "$package" "$suite" || return 0
	got=$(dpkg-deb -f "$deb" Version)
	dpkg --compare-versions "$got" ge "$version" ||
		die "'$package' of '$suite' is $got here, at least $version is needed. Remedy: refresh the mirror"
	into=$(place "$package" "$suite")
	rm -rf "${tools:?}/$into" "$tools/.$into"
	mkdir -p "$tools/.$into"
	if [[ $package == linux-image-* ]]; then
		# From the package that always names the newest to the one that holds it.
		while next=$(dpkg-deb -f "$deb" Depends | grep -oE 'linux-(image|binary)-[0-9][^ ,]* \(= [^)]*\)' | head -n 1) && [[ $next ]]; do
			bring_next "${next%% *}=$(sed 's/.*(= \(.*\))/\1/' <<<"$next")" "$package" "$suite" || return 0
		done
		unpack_kernel "$deb" "$tools/.$into"
	else
		dpkg-deb -x "$deb" "$tools/.$into"
	fi
	complete "$tools/.$into" "$@" || die "'$package' $got does not hold all of: $*"
	mv "$tools/.$into" "$tools/$into"
	rm "$deb"
	say "$package $got from $suite"
}

group=test
architecture=$(dpkg --print-architecture 2>/dev/null || true)
case ${1:-} in
'') ;;
bench|kernels|arm64|package|debian) group=$1 ;;
--list)
	for group in test kernels arm64 bench; do
		rows | while IFS='|' read -r package suite version files why; do
			printf '%-22s %-19s >= %-6s %s\n' "$package" "$suite" "$version" "$why"
		done
	done
	while IFS='|' read -r _ package version why; do
		[[ -z $package ]] || printf '%-22s %-19s =  %-6s %s\n' "${package// /}" npm "${version// /}" "${why# }"
	done <<<"$NPM"
	exit 0 ;;
-h|--help) sed -n '4,29s/^# \{0,1\}//p' "$0"; exit 0 ;;
*) printf "tools: expected arm64, bench, debian, kernels, package, --list or no argument, not '%s'\n" "$1" >&2; exit 2 ;;
esac

[[ $group != arm64 ]] || architecture=arm64
modules=$tools/python/opentelemetry/proto/collector/metrics/v1/metrics_service_pb2.py
[[ -n $(missing) || -n $(npm_packages) || ($group == test && ! -e $modules) ]] || ! debian_there || ! oldest_there || exit 0

for program in apt-get dpkg-deb flock; do
	command -v $program >/dev/null || die "needs Debian's $program. Remedy: put what 'scripts/tools.sh --list' names into $tools by hand"
done
mkdir -p "$tools"
exec 9>"$tools/.lock"
flock 9

todo=$(missing)
if [[ -n $todo ]]; then
	[[ -r $KEYRING ]] || die "$KEYRING is missing. Remedy: scripts/deps.sh test"

	# Not under build/: apt as root downloads as user _apt, who may not be let into the work tree.
	state=$(mktemp -d)
	trap 'rm -rf "$state"' EXIT
	chmod 755 "$state"
	mkdir -p "$state"/{sources,lists/partial,cache/archives/partial,debs}
	: >"$state/status"
	((EUID != 0)) || chown _apt "$state/debs" 2>/dev/null || true

	read -ra suites <<<"$(cut -d'|' -f2 <<<"$todo" | sort -u | xargs)"
	say "bringing $(cut -d'|' -f1 <<<"$todo" | xargs) into ${tools#"$PWD"/}: first the lists of ${suites[*]}"
	if ! lists "${suites[@]}"; then
		[[ ! -s $state/log ]] || sed 's/^/       /' "$state/log" >&2
		served=()
		for suite in "${suites[@]}"; do
			! lists "$suite" || served+=("$suite")
		done
		left=
		while IFS='|' read -r package suite rest; do
			if [[ " ${served[*]} " == *" $suite "* ]]; then
				left+="$package|$suite|$rest"$'\n'
			else
				lacking "$package" "$suite" "no Debian mirror in this machine's apt sources serves '$suite'. Remedy: name a full Debian mirror in /etc/apt/sources.list.d, see that 'apt-get update' works, run this again"
			fi
		done <<<"$todo"
		todo=${left%$'\n'}
		[[ -z $todo ]] || lists "${served[@]}" || die "no Debian mirror in this machine's apt sources serves all of ${served[*]}. Remedy: name a full one"
	fi
fi

if [[ -n $todo ]]; then
	number=0
	while IFS='|' read -r package suite version files why; do
		say "$((number += 1)) of $(wc -l <<<"$todo"): $package: $why"
		# shellcheck disable=SC2086
		bring "$package" "$suite" "$version" $files
	done <<<"$todo"
fi

mkdir -p "$tools/bin"
while IFS='|' read -r package suite version files why; do
	for file in $files; do
		[[ $file != usr/bin/* ]] || ln -sfn "../$package/$file" "$tools/bin/${file##*/}"
	done
done < <(rows)

oldest_there || bring_oldest
if ! debian_there; then
	command -v mmdebstrap >/dev/null || die "mmdebstrap is missing. Remedy: scripts/deps.sh package"
	say "making a small Debian in ${tools#"$PWD"/}/debian, which takes a minute"
	for uri in $(mirrors); do
		debian_make "$uri" && break
	done
	debian_there || {
		tail -5 "$tools/.debian/log" | sed 's/^/       /' >&2
		die "no mirror in this machine's apt sources gives a small Debian. Remedy: name a full Debian mirror in /etc/apt/sources.list.d, see that 'apt-get update' works, run this again"
	}
fi

todo=$(npm_packages)
if [[ -n $todo ]]; then
	command -v npm >/dev/null || die "npm is missing. Remedy: scripts/deps.sh test"
	say "bringing $(xargs <<<"$todo") from npm"
	log=$(mktemp)
	# shellcheck disable=SC2086
	npm install --prefix "$(npm_place)" --no-audit --no-fund --no-save --ignore-scripts --omit=dev $todo >"$log" 2>&1 || {
		tail -5 "$log" | sed 's/^/       /' >&2
		rm -f "$log"
		die "npm could not bring $(xargs <<<"$todo"). Remedy: see that 'npm view ${todo%%$'\n'*} version' works, run this again"
	}
	rm -f "$log"
fi

[[ $group == test ]] || exit 0

command -v protoc >/dev/null || die "protoc is missing. Remedy: scripts/deps.sh build"
rm -rf "$tools/.python"
mkdir -p "$tools/.python"
(cd "$tools/opentelemetry-proto/usr/include" &&
	find opentelemetry -name '*.proto' -print0 | xargs -0 protoc --python_out="$tools/.python" -I.)
rm -rf "$tools/python"
mv "$tools/.python" "$tools/python"
