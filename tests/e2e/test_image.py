#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What containers and other distributions get: the image's digests are right, it is the same twice, and the agent inside counts
on this kernel; the Kubernetes objects have only fields that there are; the RPM packages build and hold what they should."""
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile

from agent import HERE, PROBEMETER
from checks import Checks
from process import BUILD, ROOT, scratch

PACKAGING = ROOT / "scripts/packaging"


def run(*words, **more):
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, **more)


def blob(layout, descriptor):
    data = (layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()
    right = descriptor["digest"] == "sha256:" + hashlib.sha256(data).hexdigest() and descriptor["size"] == len(data)
    return data, right


def image(checks, directory):
    for name in ("one", "two"):
        done = run(PACKAGING / "oci.py", PROBEMETER, directory / name)
        checks.equal(f"image {name} is made", (done.returncode, done.stderr), (0, ""))
    one, two = ({str(path.relative_to(directory / name)): path.read_bytes() for path in (directory / name).rglob("*") if path.is_file()}
                for name in ("one", "two"))
    checks.ok("twice the same", one == two and len(one) == 6, sorted(one))
    layout = directory / "one"
    index = json.loads((layout / "index.json").read_text())
    data, right = blob(layout, index["manifests"][0])
    manifest = json.loads(data)
    config, right_config = blob(layout, manifest["config"])
    packed, right_layer = blob(layout, manifest["layers"][0])
    checks.ok("digests and sizes are right", right and right_config and right_layer, index)
    inner = gzip.decompress(packed)
    checks.equal("the layer is the one that the configuration names", json.loads(config)["rootfs"]["diff_ids"],
                 ["sha256:" + hashlib.sha256(inner).hexdigest()])
    root = directory / "root"
    with tarfile.open(fileobj=io.BytesIO(inner)) as tar:
        checks.ok("no file is writable for others, none is set-uid", all(
            not member.mode & 0o6002 or member.name == "tmp" for member in tar.getmembers()), tar.getnames())
        tar.extractall(root, filter="fully_trusted") if hasattr(tarfile, "fully_trusted_filter") else tar.extractall(root)
    entry = json.loads(config)["config"]["Entrypoint"]
    mounts = f"mount -t proc proc {root}/proc && mount --rbind /sys {root}/sys && exec chroot {root} {entry[0]} check --json"
    done = run("unshare", "--mount", "sh", "-c", mounts, timeout=60)
    rows = json.loads(done.stdout) if done.stdout.startswith("[") else []
    checks.ok("the agent inside counts on this kernel", done.returncode == 0 and rows and all(row["met"] for row in rows if row["needed"]) and
              any(row["requirement"] == "probes" and row["met"] for row in rows),
              done.stdout + done.stderr)
    done = run(PACKAGING / "oci.py", PROBEMETER, directory / "image.tar")
    with tarfile.open(directory / "image.tar") as tar:
        names = set(tar.getnames())
        checks.ok("as one file, too", {"oci-layout", "index.json", "manifest.json"} <= names, names)
        docker, = json.load(tar.extractfile("manifest.json"))
    config, layer = ("blobs/" + descriptor["digest"].replace(":", "/") for descriptor in (manifest["config"], manifest["layers"][0]))
    version = run(PROBEMETER, "--version").stdout.split()[1]
    checks.equal("what a Docker without containerd looks for", docker,
                 {"Config": config, "RepoTags": [f"probemeter:{version}"], "Layers": [layer]})
    checks.ok("and it is there", {docker["Config"], *docker["Layers"]} <= names, names)
    clients(checks, directory, f"probemeter:{version}", inner, manifest)


def clients(checks, directory, name, inner, manifest):
    """What reads images for engines takes it: the layout, and the one file, as `docker load` and `podman load` read it."""
    for kind, where in ("oci", "one"), ("oci-archive", "image.tar"), ("docker-archive", "image.tar"):
        image_name = f"{kind}:{directory}/{where}:{name}"
        done = run("skopeo", "inspect", "--config", image_name)
        config = json.loads(done.stdout) if done.returncode == 0 else {"config": {}}
        checks.ok(f"skopeo reads it as {kind}, by its name", config["config"].get("Entrypoint") == ["/usr/bin/probemeter"],
                  done.stdout + done.stderr)
        done = run("skopeo", "--insecure-policy", "copy", "--quiet", image_name, f"dir:{directory}/{kind}")
        if not checks.equal(f"{kind}: it can be copied", (done.returncode, done.stderr), (0, "")):
            continue
        copied = json.loads((directory / kind / "manifest.json").read_text())
        checks.equal(f"{kind}: the configuration is the one that was made", copied["config"]["digest"], manifest["config"]["digest"])
        layer, = copied["layers"]
        data = (directory / kind / layer["digest"].removeprefix("sha256:")).read_bytes()
        checks.ok(f"{kind}: and the layer is", (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data) == inner, layer)
    done = run("umoci", "unpack", "--rootless", "--image", f"{directory}/one:{name}", directory / "bundle")
    if not checks.equal("umoci unpacks it", (done.returncode, done.stderr), (0, "")):
        return
    with tarfile.open(fileobj=io.BytesIO(inner)) as tar:
        want = {member.name: tar.extractfile(member).read() if member.isfile() else None for member in tar.getmembers()}
    unpacked = directory / "bundle/rootfs"
    got = {str(path.relative_to(unpacked)): path.read_bytes() if path.is_file() else None for path in unpacked.rglob("*")}
    checks.ok("to what is in the layer", got == want, sorted(set(got) ^ set(want)))
    checks.equal("and to what a runtime runs as the agent", json.loads((directory / "bundle/config.json").read_text())["process"]["args"],
                 ["/usr/bin/probemeter", "run"])


def by_schema(objects):
    """What Kubernetes' own schemas have against each object; None: nothing."""
    done = run("node", HERE / "manifest.cjs", input=json.dumps(objects))
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


def kubernetes(checks, directory):
    """Each object fits the schema of its kind, and read by the official client's model and written again it is what it was: no
    field is unknown to it."""
    import kubernetes.client  # pylint: disable=import-outside-toplevel
    import yaml  # pylint: disable=import-outside-toplevel

    api = kubernetes.client.ApiClient()

    class Answer:
        def __init__(self, value):
            self.data = json.dumps(value)

    def through(value):
        return api.sanitize_for_serialization(api.deserialize(Answer(value), f"V1{value['kind']}"))

    objects = list(yaml.safe_load_all((PACKAGING / "kubernetes.yaml").read_text()))
    kinds = {one["kind"]: one for one in objects}
    checks.equal("kinds", sorted(kinds), ["ConfigMap", "DaemonSet", "Namespace", "ServiceAccount"])
    for kind, one in kinds.items():
        checks.equal(f"{kind}: every field is one of Kubernetes", through(one), one)
    broken = json.loads(json.dumps(kinds["DaemonSet"]).replace("hostPID", "hostPid"))
    checks.ok("and a wrong one would be seen", through(broken) != broken, "hostPid")
    checks.equal("what the schemas of Kubernetes have against them", by_schema(objects), [None] * len(objects))
    for right, wrong in ('"hostPID": true', '"hostPID": "true"'), ('"containerPort": 9464', '"containerPort": "9464"'), \
            ('"selector": ', '"selectors": '), ('"mountPath": ', '"path": '):
        broken = json.loads(json.dumps(kinds["DaemonSet"]).replace(right, wrong))
        checks.ok(f"{wrong.strip(': ')} would be seen by them", broken != kinds["DaemonSet"] and by_schema([broken])[0], broken)
    pod = kinds["DaemonSet"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    table = run(BUILD / "document", "capabilities").stdout
    needed = {name for name in re.findall(r"`CAP_(\w+)`", table)}
    added = set(container["securityContext"]["capabilities"]["add"])
    # SYS_ADMIN is for kernels before 6.6 only: the manifest says so and leaves it out.
    checks.ok("it has the capabilities of the documented table, but for the one of older kernels", "SYS_ADMIN" in needed and
              added == needed - {"SYS_ADMIN"}, (added, needed))
    checks.equal("the volumes that are mounted exist", sorted(mount["name"] for mount in container["volumeMounts"]),
                 sorted(volume["name"] for volume in pod["volumes"]))
    config = directory / "probemeter.conf"
    config.write_text(kinds["ConfigMap"]["data"]["probemeter.conf"])
    done = run(PROBEMETER, "check", "--config", config)
    checks.ok("its configuration is right", re.search(rf"^pass +configuration +{config}$", done.stdout, re.M),
              done.stdout + done.stderr)
    checks.equal("the image is of this version", container["image"].split(":")[1], run(PROBEMETER, "--version").stdout.split()[1])


def rpm(checks, _):
    done = run("make", "rpm", cwd=ROOT)
    if not checks.ok("the RPM packages build", done.returncode == 0, done.stdout[-1500:] + done.stderr[-500:]):
        return
    built = {path.name.split("-0")[0]: path for path in (BUILD / "rpm").rglob("*.rpm")}
    checks.equal("they are two", sorted(built), ["probemeter", "probemeter-devel"])
    listed = {name: run("rpm", "-qlp", path).stdout.split() for name, path in built.items()}
    checks.ok("the agent, its unit, page and configuration", {
        "/usr/bin/probemeter", "/usr/lib/systemd/system/probemeter.service", "/etc/probemeter/probemeter.conf"} <= set(listed["probemeter"])
              and any("probemeter-run.1" in path for path in listed["probemeter"]), listed["probemeter"])
    checks.ok("the headers", "/usr/include/probemeter/probemeter.h" in listed["probemeter-devel"], listed["probemeter-devel"])
    checks.ok("a changed configuration is kept", "/etc/probemeter/probemeter.conf" in run(
        "rpm", "-qp", "--configfiles", built["probemeter"]).stdout, "")


def main():
    checks = Checks("image")
    os.environ.pop("SOURCE_DATE_EPOCH", None)
    with scratch("image") as directory:
        for part in (image, kubernetes, rpm):
            with checks.run(part.__name__):
                part(checks, directory)
    checks.exit()


if __name__ == "__main__":
    main()
