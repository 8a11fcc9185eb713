#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""tarball.py - the agent for any distribution: program, its libraries and their loader in one directory.

    scripts/packaging/tarball.py build/probemeter build/tarball/probemeter build/tarball/root/opt/probemeter OUT.tar.gz

Consumes the program as built, to know what it links; the same program linked to find its loader and libraries below the prefix;
and what `make install` put there. `make tarball` calls it. The archive is the same, byte by byte, for the same inputs and
SOURCE_DATE_EPOCH.

Why not one static file: Debian has no static libsystemd, libgssapi_krb5 or libp11-kit, which libcurl and libmicrohttpd link, and a
static glibc still loads its name services from the host, which must then have the same glibc. Why a fixed prefix: the kernel
takes a program's loader by its absolute path, and the agent must be its own executable, not an argument of a loader: it
tries its probes on itself.
"""
import gzip
import io
import os
import pathlib
import subprocess
import sys
import tarfile

from oci import AUTHORITIES, EPOCH, libraries

# What glibc loads by itself when a thread is ended.
LOADED_LATER = ["/lib/x86_64-linux-gnu/libgcc_s.so.1"]
README = """probemeter {version}, for any Linux on x86-64, 5.15 or newer with BTF; nothing else need be installed.

    tar -C / -xzf {name}        unpacks into {prefix}, where it must be
    {prefix}/bin/probemeter check      is this host fit?
    {prefix}/bin/probemeter run --exporter console,prometheus

Under systemd:

    cp {prefix}/lib/systemd/system/probemeter.service /etc/systemd/system/
    install -D {prefix}/lib/systemd/system-generators/probemeter-generator /etc/systemd/system-generators/probemeter-generator
    cp {prefix}/lib/sysusers.d/probemeter.conf /etc/sysusers.d/ && systemd-sysusers
    mkdir -p /etc/probemeter && cp {prefix}/etc/probemeter/probemeter.conf /etc/probemeter/
    systemctl daemon-reload && systemctl enable --now probemeter

The authorities that a collector's certificate is checked with are looked for in {authorities}. Where the
distribution has them elsewhere, name the file: certificate = /etc/pki/tls/certs/ca-bundle.crt

share/licences has the licence of each library in lib. To remove it: {prefix}/bin/probemeter stop --detach, then {prefix}.
"""


def copyrights(files):
    """{Debian package: its copyright file} of these files."""
    found = {}
    for path in files:
        # With merged /usr a file is known under one of two names.
        for name in (str(path), str(path).removeprefix("/usr")):
            done = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                package = done.stdout.split(":")[0]
                found[package] = pathlib.Path(f"/usr/share/doc/{package}/copyright").resolve()
                break
        else:
            sys.exit(f"tarball: {path}: no package says under which licence it is")
    return found


def contents(built, program, tree):
    """{path in the archive: (bytes, mode)}"""
    linked = {**libraries(built), **{path: pathlib.Path(path).resolve() for path in LOADED_LATER if os.path.exists(path)}}
    files = {}
    for path in sorted(tree.rglob("*")):
        if path.is_file():
            files[str(path.relative_to(tree))] = (path.read_bytes(), path.stat().st_mode & 0o777)
    files["bin/probemeter"] = (program.read_bytes(), 0o755)
    for path, file in linked.items():
        files[f"lib/{os.path.basename(path)}"] = (file.read_bytes(), 0o755)
    for package, file in copyrights(linked.values()).items():
        files[f"share/licences/{package}"] = (file.read_bytes(), 0o644)
    return files


def write(files, prefix, out):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        made = {"", "."}

        def directory(path):
            if path in made:
                return
            directory(os.path.dirname(path))
            made.add(path)
            info = tarfile.TarInfo(path)
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, EPOCH
            tar.addfile(info)

        for path in sorted(files):
            data, mode = files[path]
            whole = f"{prefix.lstrip('/')}/{path}"
            directory(os.path.dirname(whole))
            info = tarfile.TarInfo(whole)
            info.size, info.mode, info.mtime = len(data), mode, EPOCH
            tar.addfile(info, io.BytesIO(data))
    out.write_bytes(gzip.compress(raw.getvalue(), mtime=0))


def main():
    if len(sys.argv) != 5:
        sys.exit("usage: tarball.py PROGRAM LINKED-FOR-IT TREE OUT.tar.gz")
    built, program, tree, out = (pathlib.Path(name) for name in sys.argv[1:])
    prefix = subprocess.run(["readelf", "-lW", program], capture_output=True, text=True, check=True).stdout
    prefix = prefix.partition("interpreter: ")[2].partition("/lib/ld-")[0]
    version = subprocess.run([built, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    files = contents(built, program, tree)
    text = README.format(version=version, name=out.name, prefix=prefix, authorities=AUTHORITIES)
    files["README"] = (text.encode(), 0o644)
    write(files, prefix, out)


if __name__ == "__main__":
    main()
