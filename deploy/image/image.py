"""Writes an image of one program on nothing, as an OCI layout; the same program and labels are the same digest.

    image.py PROGRAM FOLDER [--revision COMMIT]

There is no daemon and no tool in between that would stamp a time or an order of its own. `skopeo copy oci:FOLDER docker://…`
pushes it, and so does whatever else reads such a layout.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import pathlib
import sys
import tarfile
import time
import tomllib

ROOT = pathlib.Path(__file__).parents[2]
NAME = "server-group-operator"
# Whoever runs it as somebody else says so; this one is nobody's on any usual system.
USER = "65532:65532"
COMPRESSED_MAX = 20 * 1024 * 1024

# By e_machine of the program.
ARCHITECTURES = {62: "amd64", 183: "arm64"}
PT_INTERP = 3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--revision", default="")
    asked = parser.parse_args()
    digest, size = write(asked.program.read_bytes(), asked.folder, asked.revision)
    print(f"{asked.folder}: {digest}, {size / 1024 / 1024:.1f} MiB compressed")


def write(program, folder, revision):
    """Writes the layout; returns the manifest's digest, and what is downloaded, in bytes."""
    architecture = inspected(program)
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(content, kind):
        if not isinstance(content, bytes):
            content = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    files = archive(program)
    layer = put(gzip.compress(files, compresslevel=9, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip")
    if layer["size"] > COMPRESSED_MAX:
        sys.exit(f"the image has {layer['size']} bytes compressed, more than {COMPRESSED_MAX}: see what made the program grow")
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", 0))))
    labels = described(revision)
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": created,
        "config": {
            "User": USER,
            "Entrypoint": [f"/{NAME}"],
            "WorkingDir": "/",
            "ExposedPorts": {"8080/tcp": {}},
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(files).hexdigest()}"]},
        "history": [{"created": created, "created_by": NAME}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [layer],
        "annotations": labels,
    }
    manifest = put(manifest, "application/vnd.oci.image.manifest.v1+json")
    manifest["platform"] = {"architecture": architecture, "os": "linux"}
    manifest["annotations"] = {"org.opencontainers.image.ref.name": version()}
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]}
    (folder / "index.json").write_text(json.dumps(index, sort_keys=True))
    (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    return manifest["digest"], layer["size"]


def inspected(program):
    """The architecture of a program that needs nothing beside it; ends with a sentence if it does."""
    if program[:5] != b"\x7fELF\x02":
        sys.exit("the program is no 64-bit ELF file: build it for Linux")
    number = lambda at, size: int.from_bytes(program[at : at + size], "little")
    headers, size, count = number(32, 8), number(54, 2), number(56, 2)
    if PT_INTERP in (number(headers + index * size, 4) for index in range(count)):
        sys.exit("the program asks for a loader, which an empty image does not have: build it with -C target-feature=+crt-static")
    machine = number(18, 2)
    if machine not in ARCHITECTURES:
        sys.exit(f"the program is for the machine {machine} of ELF, and images are for {' and '.join(ARCHITECTURES.values())}")
    return ARCHITECTURES[machine]


def archive(program):
    """The file system: one file, without a time, nobody's to write."""
    file = tarfile.TarInfo(NAME)
    file.size, file.mode = len(program), 0o555
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(file, io.BytesIO(program))
    return buffer.getvalue()


def described(revision):
    labels = {
        "org.opencontainers.image.title": NAME,
        "org.opencontainers.image.version": version(),
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.revision": revision,
        # Set where it is published.
        "org.opencontainers.image.source": os.environ.get("IMAGE_SOURCE", ""),
    }
    return {name: value for name, value in labels.items() if value}


def version():
    with open(ROOT / "Cargo.toml", "rb") as file:
        return tomllib.load(file)["workspace"]["package"]["version"]


if __name__ == "__main__":
    main()
