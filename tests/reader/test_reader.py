#!/usr/bin/env python3
"""Proves the reader against the samples: round trip, and that no change and no cut goes unnoticed."""
import contextlib
import io
import os
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import calco_reader  # noqa: E402
import ed25519  # noqa: E402
import make_sample  # noqa: E402
import seal as ciphers  # noqa: E402
import version  # noqa: E402
from image import Locked  # noqa: E402
from wire import Damage, Unsupported  # noqa: E402

CHUNK = make_sample.CHUNK


def run(*arguments, stdin=None):
    command = [sys.executable, os.path.join(HERE, "calco_reader.py"), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    return done.returncode, (done.stdout + done.stderr).decode()


def check(data, seekable=True, secrets=()):
    """What `check` finds: the exit status and the messages."""
    found = []
    try:
        calco_reader.check(io.BytesIO(data), found.append, seekable, secrets)
    except Damage as damage:
        found.append(str(damage))
    except Locked as locked:
        return 4, [str(locked)]
    except Unsupported as missing:
        return 6, [str(missing)]
    return (3 if found else 0), found


def pieces(data):
    """Yields (type, offset of the header, offset of the payload, offset behind it)."""
    at = 64
    while at < len(data):
        kind, header, stored_at = bytes(data[at:at + 4]), 32, at + 16
        stored = struct.unpack_from("<Q", data, stored_at)[0]
        if kind == b"CHNK":
            header, stored = 96, struct.unpack_from("<I", data, at + 76)[0]
        yield kind, at, at + header, at + header + stored
        at += header + stored


def seal(data, at):
    """Makes the CRCs of the part or record at an offset right again."""
    header = 96 if data[at:at + 4] == b"CHNK" else 32
    stored = struct.unpack_from("<I", data, at + 76)[0] if header == 96 else struct.unpack_from("<Q", data, at + 16)[0]
    struct.pack_into("<I", data, at + header - 8, zlib.crc32(data[at + header:at + header + stored]))
    struct.pack_into("<I", data, at + header - 4, zlib.crc32(data[at:at + header - 4]))


class RoundTrip(unittest.TestCase):
    def test_samples(self):
        with tempfile.TemporaryDirectory() as top:
            for make in make_sample.SAMPLES:
                with self.subTest(make.__name__):
                    self.one(make(), top)

    def one(self, sample, top):
        image, disks = sample.build(), sample.restored()
        path = os.path.join(top, sample.name)
        with open(path, "wb") as out:
            out.write(image)
        self.assertEqual(run("check", path), (0, ""))
        self.assertEqual(run("check", "-", stdin=image), (0, ""))
        self.assertEqual(run("info", path)[0], 0)
        outs = [f"{path}.{i}" for i in range(len(disks))]
        for name, stdin in ((path, None), ("-", image)):
            self.assertEqual(run("restore", name, *outs, stdin=stdin), (0, ""))
            for out, disk in zip(outs, disks):
                with open(out, "rb") as file:
                    self.assertTrue(file.read() == disk)
        self.assertEqual(run("compare", path, *outs), (0, ""))
        self.compare_sees(sample, path, outs)

    def compare_sees(self, sample, path, outs):
        """Each state as it should be: used and zero bytes are compared, unused ones are free."""
        for region in sample.regions:
            for state in (make_sample.UNUSED, make_sample.USED, make_sample.ZERO):
                granule = region.states.find(state)
                if granule < 0:
                    continue
                offset = region.start + min((granule + 1) * region.granule, region.length) - 1
                with open(outs[region.disk], "r+b") as file:
                    file.seek(offset)
                    old = file.read(1)
                    file.seek(offset)
                    file.write(bytes([old[0] ^ 0x80]))
                    file.flush()
                    code, message = run("compare", path, *outs)
                    file.seek(offset)
                    file.write(old)
                self.assertEqual(code, 0 if state == make_sample.UNUSED else 3)
                self.assertTrue(code == 0 or f"disk {region.disk} differs at offset {offset} " in message, message)

    def test_holes(self):
        sample = make_sample.nothing()
        with tempfile.TemporaryDirectory() as top:
            out = os.path.join(top, "disk")
            self.assertEqual(run("restore", "-", out, stdin=sample.build())[0], 0)
            self.assertEqual((os.stat(out).st_size, os.stat(out).st_blocks), (sample.disks[0].size, 0))

    def test_short_disk(self):
        sample = make_sample.raw()
        with tempfile.TemporaryDirectory() as top:
            out = os.path.join(top, "disk")
            with open(out, "wb") as file:
                file.write(sample.restored()[0][:-1])
            self.assertEqual(run("compare", "-", out, stdin=sample.build())[0], 3)

    def test_wrong_number_of_files(self):
        code, message = run("restore", "-", "/dev/null", stdin=make_sample.small().build())
        self.assertEqual((code, "2 disks" in message), (1, True))


class Changes(unittest.TestCase):
    def each(self, image, offsets, flips=(0x01, 0xFF)):
        for at in offsets:
            for flip in flips:
                changed = bytearray(image)
                changed[at] ^= flip
                self.assertNotEqual(check(bytes(changed))[0], 0, f"byte {at} ^ {flip:#x} goes unnoticed")

    def test_every_byte(self):
        for make in (make_sample.tiny, make_sample.nothing, make_sample.small):
            image = make().build()
            self.assertEqual(check(image), (0, []))
            self.each(image, range(len(image)))

    def test_some_bytes_of_larger_ones(self):
        for make in (make_sample.raw, make_sample.corners):
            image = make().build()
            self.each(image, range(7, len(image), 2503), flips=(0x10,))

    def test_every_cut(self):
        for make in make_sample.SAMPLES:
            image = make().build()
            cuts = {0, 1, 63, 64, len(image) - 1}
            for _, header, payload, end in pieces(image):
                cuts |= {header, header + 1, header + 31, payload, (payload + end) // 2, end - 1, end}
            for cut in cuts - {len(image)}:
                self.assertEqual(check(image[:cut])[0], 3, f"cut at {cut} of {len(image)} goes unnoticed")

    def test_something_behind(self):
        for more in (b"\0", bytes(512), make_sample.tiny().build()):
            self.assertEqual(check(make_sample.tiny().build() + more)[0], 3)

    def test_a_piece_left_out_or_twice(self):
        image = make_sample.small().build()
        for kind, begin, _, end in pieces(image):
            self.assertEqual(check(image[:begin] + image[end:])[0], 3, kind)
            self.assertEqual(check(image[:end] + image[begin:])[0], 3, kind)


class Sealed(unittest.TestCase):
    """Changes with every CRC made right again: the meaning itself must be found wrong."""

    def setUp(self):
        self.image = bytearray(make_sample.corners().build())
        self.at = {}
        for kind, header, _, _ in pieces(self.image):
            self.at.setdefault(kind, header)

    def finds(self, pattern, code=3):
        found = check(bytes(self.image))
        self.assertEqual(found[0], code, found)
        self.assertRegex("\n".join(found[1]), pattern)

    def put(self, kind, offset, layout, value, pattern, code=3):
        struct.pack_into("<" + layout, self.image, self.at[kind] + offset, value)
        seal(self.image, self.at[kind])
        self.finds(pattern, code)

    def preamble(self, offset, layout, value, pattern, code):
        struct.pack_into("<" + layout, self.image, offset, value)
        struct.pack_into("<I", self.image, 60, zlib.crc32(self.image[:60]))
        self.finds(pattern, code)

    def test_features(self):
        self.preamble(16, "Q", 1 << 40 | 1, r"bit 40 \(unknown\)", 6)

    def test_major(self):
        self.preamble(8, "H", 2, "major version 2", 6)

    def test_preamble_reserved(self):
        self.preamble(50, "B", 1, "reserved", 3)

    def test_part_reserved(self):
        self.put(b"CORE", 6, "H", 1, "reserved bits")

    def test_part_flags(self):
        self.put(b"BADR", 4, "H", 9, "reserved bits")

    def test_encrypted_part(self):
        self.put(b"BADR", 4, "H", 5, "encrypted")

    def test_unknown_mandatory_part(self):
        self.put(b"CIDS", 0, "4s", b"QQQQ", "out of place|mandatory part QQQQ", 6)

    def test_huge_core(self):
        self.put(b"CORE", 8, "Q", 1 << 62, "lengths differ")

    def test_record_kind(self):
        self.put(b"CHNK", 4, "B", 2, "kind 2")

    def test_record_codec(self):
        self.put(b"CHNK", 5, "B", 0, "codec 0")

    def test_record_reserved(self):
        self.put(b"CHNK", 80, "I", 1, "reserved")

    def test_record_number(self):
        self.put(b"CHNK", 8, "Q", 1 << 50, "out of order")

    def test_record_of_absent_chunk(self):
        self.put(b"CHNK", 8, "Q", 1, "absent")

    def test_record_id(self):
        self.put(b"CHNK", 50, "B", 7, "does not match its id")

    def test_id_list(self):
        self.put(b"CIDS", 32, "B", 7, "CIDS: the id of present chunk 0")

    def test_index(self):
        self.put(b"INDX", 32, "B", 7, "INDX: wrong offset")

    def test_root(self):
        self.put(b"ROOT", 32, "B", 7, "the root does not match")

    def test_trailer(self):
        self.put(b"TRLR", 32, "Q", len(self.image) - 1, "trailer does not match")

    def test_signature(self):
        self.put(b"SIGS", 32 + 50, "B", 7, "signature 0 does not match")

    def test_unknown_mandatory_section(self):
        small = make_sample.small()
        core = small.core
        small.core = lambda: core() + make_sample.section(200, b"?", 1)
        self.image = bytearray(small.build())
        self.finds("mandatory section 200", 6)


class WrongWriters(unittest.TestCase):
    """Images that are sealed in every way, but which the document does not allow."""

    def finds(self, sample, pattern):
        code, found = check(sample.build())
        self.assertEqual(code, 3)
        self.assertRegex("\n".join(found), pattern)

    def test_not_cleared(self):
        sample = make_sample.small()
        sample.regions[1].content = lambda disk, index, states: b"x" * CHUNK
        self.finds(sample, "not cleared")

    def test_all_zero_record(self):
        sample = make_sample.raw()
        sample.regions[0].content = lambda disk, index, states: bytes(CHUNK)
        self.assertEqual(check(sample.build())[0], 0)
        sample.records = lambda out: self.record_of_zeros(out)
        self.finds(sample, "record of zeros")

    @staticmethod
    def record_of_zeros(out):
        one = make_sample.chunk_id(bytes(CHUNK))
        at = len(out)
        out += struct.pack("<4sBBHQQ16s32sII", b"CHNK", 1, 0, 0, 0, 0, bytes(16), one, CHUNK, CHUNK) + bytes(16 + CHUNK)
        seal(out, at)
        return 4 * one, struct.pack("<Q", at) + bytes(24), 1

    def test_bitmaps_a_simpler_kind_would_do(self):
        for states in (b"\1" * 5, b"\2" * 5, b"\0" * 5):
            sample = make_sample.tiny()
            sample.regions[0].chunks = lambda s=states: iter([(3, make_sample.bitmap(s[:2], 1, 512), s[:2])])
            self.finds(sample, "simpler kind")

    def test_bits_beyond_the_region(self):
        sample = make_sample.tiny()
        sample.regions[0].chunks = lambda: iter([(3, bytes([5]) + bytes(63), b"\1\0")])
        self.finds(sample, "beyond the region")

    def test_used_and_zero(self):
        sample = make_sample.tiny()
        sample.regions[0].chunks = lambda: iter([(4, (bytes([1]) + bytes(63)) * 2, b"\1\0")])
        self.finds(sample, "used and zero")

    def test_equal_neighbours(self):
        sample = make_sample.nothing()
        sample.regions[0].extents = lambda: struct.pack("<IIIII", 2, 0, 2, 0, 2)
        self.finds(sample, "equal neighbours")

    def test_run_counts(self):
        for count in (3, 5, 0xFFFFFFFF):
            sample = make_sample.nothing()
            sample.regions[0].extents = lambda n=count: struct.pack("<III", 1, 0, n)
            self.finds(sample, "runs of")

    def test_hole_between_regions(self):
        sample = make_sample.small()
        sample.regions[1].start += 512
        self.finds(sample, "does not follow")

    def test_region_missing(self):
        sample = make_sample.small()
        sample.regions.pop()
        self.finds(sample, "do not cover disk 1")

    def test_table_differs(self):
        sample = make_sample.small()
        sample.tables = [(0, 0, 1024)]
        sample.disks[0].content[512:1024] = b"!" * 512
        self.finds(sample, "copy of a partition table")

    def test_bad_range_with_content(self):
        sample = make_sample.small()
        sample.bad = [(0, 33792, 1024)]
        self.finds(sample, "content in an unreadable range")

    def test_bad_range_order(self):
        sample = make_sample.small()
        sample.bad = sample.bad[::-1]
        self.finds(sample, "BADR: out of order")

    def test_names(self):
        for name in ("", ".a", "-a", "a b", "a" * 65, "ä", "a\n"):
            sample = make_sample.tiny()
            sample.name = name
            self.finds(sample, "bad name")

    def test_unknown_part_in_the_head(self):
        image = make_sample.tiny().build()
        at = [begin for kind, begin, _, _ in pieces(image) if kind == b"ENVL"][0]
        more = bytearray()
        make_sample.Sample.part(more, b"QQAA", b"", mandatory=0)
        self.assertEqual(check(image[:at] + more + image[at:])[0], 3)

    def test_longer_entry_is_skipped(self):
        sample = make_sample.tiny()
        encoded = sample.disks[0].encoded
        sample.disks[0].encoded = lambda: encoded() + b"a later field"
        self.assertEqual(check(sample.build()), (0, []))

    def test_entry_too_short(self):
        sample = make_sample.tiny()
        sample.disks[0].encoded = lambda: b"123"
        self.finds(sample, "ends too early")


class Signatures(unittest.TestCase):
    def test_rfc8032_test_3(self):
        seed = bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
        public = bytes.fromhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")
        signature = bytes.fromhex("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
                                  "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a")
        self.assertEqual(ed25519.public_key(seed), public)
        self.assertEqual(ed25519.sign(seed, b"\xaf\x82"), signature)
        self.assertTrue(ed25519.verify(public, b"\xaf\x82", signature))
        self.assertFalse(ed25519.verify(public, b"\xaf\x83", signature))


class Encrypted(unittest.TestCase):
    """Encrypted images."""

    def test_gcm_case_16(self):
        """McGrew and Viega, The Galois/Counter Mode of Operation, appendix B."""
        gcm = ciphers.Gcm(bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2))
        text = bytes.fromhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                             "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39")
        out = gcm.seal(bytes.fromhex("cafebabefacedbaddecaf888"), text, bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"))
        self.assertEqual(out.hex(), "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                                    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b")

    def test_hkdf_case_1(self):
        self.assertEqual(ciphers.hkdf(b"\x0b" * 22, bytes(range(13)), bytes(range(0xf0, 0xfa)), 42).hex(),
                         "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")

    def test_x25519(self):
        bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
        alice = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
        self.assertEqual(ciphers.x25519(bob).hex(), "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
        self.assertEqual(ciphers.x25519(bob, alice).hex(), "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")

    def test_each_key(self):
        image = make_sample.sealed().build()
        for secret in ((1, make_sample.SYMMETRIC), (3, make_sample.RECIPIENT), (2, make_sample.PASSPHRASE)):
            self.assertEqual(check(image, secrets=[secret]), (0, []))
        for secrets in ((), [(1, bytes(32))], [(3, make_sample.SYMMETRIC)], [(2, b"wrong horse")]):
            self.assertEqual(check(image, secrets=secrets)[0], 4)

    def test_every_third_byte(self):
        sample = make_sample.tiny()
        sample.name, sample.choice = "sealed_tiny", dict(slots=[(1, make_sample.SYMMETRIC)], csig=[True], sigs=[True]).get
        image = sample.build()
        self.assertEqual(check(image, secrets=make_sample.SECRETS), (0, []))
        for at in range(0, len(image), 3):
            changed = bytearray(image)
            changed[at] ^= 0x10
            self.assertNotEqual(check(bytes(changed), secrets=make_sample.SECRETS)[0], 0, f"byte {at} goes unnoticed")

    def test_clear_text(self):
        """A part or record in clear in an encrypted image is damage."""
        image, plain = make_sample.sealed_raw().build(), make_sample.raw().build()
        places = {kind: (begin, end) for kind, begin, _, end in pieces(plain)}
        for kind, begin, _, end in pieces(image):
            if kind in ciphers.SEALED or kind == b"CHNK":
                clear = plain[places[kind][0]:places[kind][1]]
                self.assertEqual(check(image[:begin] + clear + image[end:], secrets=make_sample.SECRETS)[0], 3, kind)


class Command(unittest.TestCase):
    def test_main_reports_each_finding(self):
        image = bytearray(make_sample.corners().build())
        for kind, _, payload, _ in pieces(image):
            if kind == b"CHNK":
                image[payload + 3] ^= 1
        with tempfile.NamedTemporaryFile() as file, contextlib.redirect_stdout(io.StringIO()) as out:
            file.write(image)
            file.flush()
            old, sys.argv = sys.argv, ["calco_reader.py", "check", file.name]
            self.addCleanup(setattr, sys, "argv", old)
            self.assertEqual(calco_reader.main(), 3)
        lines = out.getvalue().splitlines()
        self.assertEqual(len([line for line in lines if "CRC of the payload" in line]), 13)

    def test_not_an_image(self):
        for data in (b"", b"hello", bytes(4096)):
            self.assertEqual(run("check", "-", stdin=data)[0], 3)


@unittest.skipUnless("CALCO" in os.environ, "no program to make a version")
class Summary(unittest.TestCase):
    """docs/repository.md, SUMM: what the program writes is what the document says."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.store, disk = os.path.join(folder.name, "store"), os.path.join(folder.name, "disk")
        with open(disk, "wb") as file:
            file.write(bytes(300000) + os.urandom(1000300))
        for arguments in (["repo", "init", self.store], ["capture", disk, self.store + "::lab"], ["capture", disk, self.store + "::lab"]):
            subprocess.run([os.environ["CALCO"], *arguments], check=True, capture_output=True)
        self.path = os.path.join(self.store, "images", "lab", "2.version")
        with open(self.path, "rb") as file:
            self.data = file.read()

    def test_is_what_the_rest_says(self):
        found = version.quick_summary(self.data)
        expected = version.Version(io.BytesIO(self.data)).expected()
        self.assertEqual(vars(found), vars(expected))
        self.assertEqual((found.name, found.version, found.disks), ("lab", 2, 1300300))

    def test_lie(self):
        """One that is sound and untrue is refused by who reads the whole file; without any, it is read as before."""
        at = struct.unpack_from("<Q", self.data, len(self.data) - 80)[0]
        changed = bytearray(self.data)
        changed[at - 128 + 8] ^= 1
        seal(changed, at - 160)
        self.assertIsNotNone(version.quick_summary(bytes(changed)))
        missing = bytearray(self.data[:at - 160] + self.data[at:])
        struct.pack_into("<QQQ", missing, len(missing) - 96, len(missing), *struct.unpack_from("<QQ", missing, len(missing) - 88))
        struct.pack_into("<Q", missing, len(missing) - 80, at - 160)
        seal(missing, len(missing) - 128)
        self.assertIsNone(version.quick_summary(bytes(missing)))
        for data, status in ((changed, 3), (missing, 0), (self.data, 0)):
            with open(self.path, "wb") as file:
                file.write(data)
            done = subprocess.run([os.environ["CALCO"], "verify", self.store + "::lab@2"], check=False, capture_output=True)
            self.assertEqual(done.returncode, status, done.stderr)


if __name__ == "__main__":
    unittest.main()
