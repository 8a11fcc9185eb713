#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""oci.py - an OCI image of the agent, made of plain tar files; no container engine is asked.

    scripts/packaging/oci.py build/probemeter build/oci          an image layout: skopeo copy oci:build/oci docker://...
    scripts/packaging/oci.py build/probemeter image.tar          the same as one file: docker load, podman load

Docker reads a layout only where it keeps images in containerd; elsewhere it wants manifest.json, which `docker save` writes, too.
The image holds the program, the libraries that it links, the certificates of the authorities this host trusts, and nothing
else: no shell. It is the same, byte by byte, for the same inputs and SOURCE_DATE_EPOCH.
"""
import datetime
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

AUTHORITIES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def libraries(program):
    """{path in the image: file} of what the dynamic linker would load, and of itself."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=True)
    if "not found" in done.stdout:
        sys.exit(f"oci: a library is missing: {done.stdout}")
    found = re.findall(r"(?:=> )?(/\S+) \(0x", done.stdout)
    return {path: pathlib.Path(path).resolve() for path in found}


def layer(program):
    """One tar of all files: (bytes, compressed; digest of what is in it)."""
    files = {"/usr/bin/probemeter": pathlib.Path(program), **libraries(program)}
    if AUTHORITIES.exists():
        files[str(AUTHORITIES)] = AUTHORITIES.resolve()
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        made = set()

        def directory(path, mode=0o755):
            if path in made or path == "/":
                return
            directory(os.path.dirname(path))
            made.add(path)
            info = tarfile.TarInfo(path.lstrip("/"))
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, mode, EPOCH
            tar.addfile(info)

        for path in sorted(files):
            directory(os.path.dirname(path))
            info = tarfile.TarInfo(path.lstrip("/"))
            data = files[path].read_bytes()
            info.size, info.mtime = len(data), EPOCH
            info.mode = 0o644 if path == str(AUTHORITIES) else 0o755
            tar.addfile(info, io.BytesIO(data))
        for path in ("/run/probemeter", "/var/lib/probemeter", "/etc/probemeter", "/tmp", "/proc", "/sys"):
            directory(path, 0o1777 if path == "/tmp" else 0o755)
    return gzip.compress(raw.getvalue(), mtime=0), hashlib.sha256(raw.getvalue()).hexdigest()


class Layout:
    """A directory of blobs named by their digests."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        (self.path / "blobs/sha256").mkdir(parents=True)

    @staticmethod
    def place(descriptor):
        """Where the blob of this descriptor lies, below the layout."""
        return "blobs/" + descriptor["digest"].replace(":", "/")

    def blob(self, kind, data):
        if not isinstance(data, bytes):
            data = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
        digest = hashlib.sha256(data).hexdigest()
        (self.path / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}


def write(program, path):
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    architecture = ARCHITECTURES[os.uname().machine]
    labels = {"org.opencontainers.image.title": "probemeter", "org.opencontainers.image.version": version,
              "org.opencontainers.image.licenses": "BSD-2-Clause"}
    layout = Layout(path)
    data, inner = layer(program)
    created = datetime.datetime.fromtimestamp(EPOCH, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    config = layout.blob(CONFIG, {
        "created": created, "architecture": architecture, "os": "linux",
        "config": {"Entrypoint": ["/usr/bin/probemeter"], "Cmd": ["run"], "Env": ["PATH=/usr/bin", f"SSL_CERT_FILE={AUTHORITIES}"],
                   "WorkingDir": "/", "StopSignal": "SIGTERM", "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{inner}"]},
        "history": [{"created": created, "created_by": "scripts/packaging/oci.py"}],
    })
    packed = layout.blob(LAYER, data)
    manifest = layout.blob(MANIFEST, {"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
                                      "layers": [packed], "annotations": labels})
    name = f"probemeter:{version}"
    manifest["annotations"] = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": f"docker.io/library/{name}"}
    manifest["platform"] = {"architecture": architecture, "os": "linux"}
    (layout.path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (layout.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    (layout.path / "manifest.json").write_text(json.dumps([{
        "Config": layout.place(config), "RepoTags": [name], "Layers": [layout.place(packed)]}]))


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: oci.py PROGRAM DIRECTORY|FILE.tar")
    program, to = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        layout = pathlib.Path(scratch) / "layout"
        write(program, layout)
        if to.endswith(".tar"):
            with tarfile.open(to, "w", format=tarfile.PAX_FORMAT) as tar:
                for path in sorted(layout.rglob("*")):
                    tar.add(path, path.relative_to(layout), recursive=False)
        else:
            shutil.rmtree(to, ignore_errors=True)
            shutil.copytree(layout, to)


if __name__ == "__main__":
    main()
