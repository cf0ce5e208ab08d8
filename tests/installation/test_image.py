"""The image, as far as it can be told without building the operator anew: `make image` does that."""

import gzip
import hashlib
import io
import json
import os
import pathlib
import sys
import tarfile
import tempfile
import unittest

from cluster import ROOT, built, run

SCRIPT = ROOT / "deploy/image/image.py"


def static(payload=b"", machine=62, segment=1):
    """The smallest program with one segment, which is of that type."""
    head = bytearray(64)
    head[:6] = b"\x7fELF\x02\x01"
    head[18:20] = machine.to_bytes(2, "little")
    head[32:40] = (64).to_bytes(8, "little")
    head[54:58] = (56).to_bytes(2, "little") + (1).to_bytes(2, "little")
    return bytes(head) + segment.to_bytes(4, "little") + bytes(52) + payload


class Image(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def image(self, name, program, **options):
        file = self.folder / "program"
        file.write_bytes(program)
        return run([sys.executable, "-B", SCRIPT, file, self.folder / name, "--revision", "abc"], **options)

    def blob(self, name, description):
        algorithm, digest = description["digest"].split(":")
        content = (self.folder / name / "blobs" / algorithm / digest).read_bytes()
        self.assertEqual((hashlib.sha256(content).hexdigest(), len(content)), (digest, description["size"]))
        return content

    def test_the_same_program_is_the_same_digest(self):
        first, second = self.image("first", static(b"x")), self.image("second", static(b"x"))
        self.assertEqual(first.split()[1], second.split()[1])
        self.assertNotEqual(first.split()[1], self.image("third", static(b"y")).split()[1])

    def test_it_is_one_file_on_nothing_and_runs_as_a_number(self):
        self.image("it", static(b"x"))
        index = json.loads((self.folder / "it/index.json").read_text())
        manifest = json.loads(self.blob("it", index["manifests"][0]))
        config = json.loads(self.blob("it", manifest["config"]))
        self.assertEqual(config["config"]["User"], "65532:65532")
        self.assertEqual(config["config"]["Entrypoint"], ["/server-group-operator"])
        layer, = manifest["layers"]
        files = gzip.decompress(self.blob("it", layer))
        self.assertEqual(config["rootfs"]["diff_ids"], ["sha256:" + hashlib.sha256(files).hexdigest()])
        with tarfile.open(fileobj=io.BytesIO(files)) as tar:
            file, = tar.getmembers()
            self.assertEqual((file.name, file.mode, file.uid, file.mtime), ("server-group-operator", 0o555, 0, 0))
            self.assertEqual(tar.extractfile(file).read(), static(b"x"))

    def test_the_architecture_is_the_one_of_the_program(self):
        for machine, name in ((62, "amd64"), (183, "arm64")):
            self.image(name, static(machine=machine))
            index = json.loads((self.folder / name / "index.json").read_text())
            self.assertEqual(index["manifests"][0]["platform"]["architecture"], name)
        self.assertIn("the machine 8", self.image("mips", static(machine=8), fails=True))

    def test_a_program_that_needs_a_loader_is_refused(self):
        self.assertIn("crt-static", self.image("dynamic", static(segment=3), fails=True))
        self.assertIn("crt-static", self.image("debug", built("server-group-operator").read_bytes(), fails=True))
        self.assertIn("ELF", self.image("script", b"#!/bin/sh", fails=True))

    def test_an_image_that_has_grown_too_much_is_refused(self):
        self.assertIn("compressed", self.image("big", static(os.urandom(20 * 1024 * 1024)), fails=True))


class Parts(unittest.TestCase):
    def test_each_crate_of_the_program_is_listed_with_licence_and_checksum_and_no_test_is(self):
        # For both, so that no platform is forgotten; only one of them needs to be installed.
        for target in ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"):
            text = run([sys.executable, "-B", ROOT / "deploy/image/sbom.py", "--target", target])
            parts = json.loads(text)
            names = {part["name"] for part in parts["components"]}
            # What the program is made of, and what only tests have, or turn on in a part of it.
            self.assertLessEqual({"server-group-core", "kube", "rustls", "mimalloc", "cc"}, names)
            self.assertFalse({"server-group-sim", "control-plane", "simulation", "cel", "proptest"} & names)
            ours = {"server-group-operator", "server-group-core"}
            for part in parts["components"]:
                if part["name"] not in ours:
                    self.assertEqual([hash["alg"] for hash in part["hashes"]], ["SHA-256"], part["name"])
                self.assertTrue(part["licenses"], part["name"])
            references = {part["bom-ref"] for part in parts["components"]} | {parts["metadata"]["component"]["bom-ref"]}
            for one in parts["dependencies"]:
                self.assertLessEqual({one["ref"], *one["dependsOn"]}, references)
