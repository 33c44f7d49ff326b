"""Uploaded files and archives: what comes out of them, and that nothing ever comes out beside the folder."""

from __future__ import annotations

import gzip
import io
import random
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from real_engines import ENGINES, Machine, eventually

from cachestead.domain.backups import BackupFormat
from cachestead.engine.archives import unpack
from cachestead.engine.catalogue import Engine
from cachestead.engine.datafiles import AOF_FILE, AOF_FOLDER, MANIFEST, place_aof_parts
from cachestead.engine.errors import FileUnreadable

MOST = 100_000
Member = tuple[str, bytes]
Packer = Callable[[Path, list[Member]], Path]


def zipped(folder: Path, members: list[Member]) -> Path:
    file = folder / "upload.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file


def tarred(folder: Path, members: list[Member]) -> Path:
    file = folder / "upload.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for name, content in members:
            _add(archive, name, content)
    return file


def _add(archive: tarfile.TarFile, name: str, content: bytes = b"", **more: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in more.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(content))


packers = pytest.mark.parametrize("pack", [zipped, tarred])


def opened(file: Path, folder: Path, most: int = MOST) -> list[tuple[str, BackupFormat, bytes]]:
    """What there is to load, with contents; what is written is in the folder, and as much as may be."""
    before = around(folder)
    found = unpack(file, f"some/where/{file.name}", folder, most)
    assert around(folder) == before, "nothing is written beside the folder"
    assert all(one.path == file or one.path.is_relative_to(folder) for one in found)
    assert not any(one.path.is_symlink() for one in found)
    return [(one.name, one.form, one.path.read_bytes()) for one in found]


def around(folder: Path) -> set[Path]:
    return {path for path in folder.parent.rglob("*") if not path.is_relative_to(folder)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where archives are emptied; it is not there yet."""
    return tmp_path / "deep" / "unpacked"


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    (tmp_path / "deep").mkdir()
    return uploads


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("dump.rdb", BackupFormat.RDB),
        ("DUMP.RDB", BackupFormat.RDB),
        ("appendonly.aof", BackupFormat.AOF),
        (".aof", BackupFormat.AOF),
        ("a.zip.rdb", BackupFormat.RDB),
        ("ключ к.rdb", BackupFormat.RDB),
    ],
)
def test_a_file_is_what_its_name_says_and_stays_where_it_is(
    uploads: Path, folder: Path, name: str, form: BackupFormat
):
    file = uploads / "incoming"
    file.write_bytes(b"content")
    [one] = unpack(file, name, folder, MOST)
    assert (one.name, one.form, one.path) == (name, form, file)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["dump", "dump.rdb.bak", "dump.tar", "dump.gz", "dump.rar", "", "zip", "rdb"])
def test_other_names_are_refused_with_those_that_are_taken(uploads: Path, folder: Path, name: str):
    file = uploads / "incoming"
    file.write_bytes(b"content")
    with pytest.raises(FileUnreadable, match=r"\.rdb, \.aof, \.zip, \.tar\.gz or \.tgz"):
        unpack(file, name, folder, MOST)


@packers
def test_several_files_come_in_the_order_of_their_names(uploads: Path, folder: Path, pack: Packer):
    members = [
        ("c.rdb", b"3"),
        ("a/z.aof", b"1"),
        ("b.RDB", b"2"),
        ("readme.txt", b"no"),
        ("a/.hidden.rdb", b"no"),
    ]
    found = opened(pack(uploads, members), folder)
    assert found == [
        ("a/z.aof", BackupFormat.AOF, b"1"),
        ("b.RDB", BackupFormat.RDB, b"2"),
        ("c.rdb", BackupFormat.RDB, b"3"),
    ]


def test_tgz_is_another_name_for_it(uploads: Path, folder: Path):
    file = tarred(uploads, [("dump.rdb", b"1")])
    assert opened(file.rename(file.with_name("upload.tgz")), folder) == [("dump.rdb", BackupFormat.RDB, b"1")]


@packers
def test_equal_names_are_all_there_or_the_last_is(uploads: Path, folder: Path, pack: Packer):
    with warnings.catch_warnings(action="ignore"):
        file = pack(uploads, [("dump.rdb", b"1"), ("dump.rdb", b"2")])
    assert opened(file, folder)[-1] == ("dump.rdb", BackupFormat.RDB, b"2")


@packers
@pytest.mark.parametrize(
    "name",
    [
        "../escaped.rdb",
        "../../../../../../../../tmp/escaped.rdb",
        "/tmp/escaped-by-root.rdb",
        "a/../../escaped.rdb",
        "a\\..\\..\\escaped.rdb",
        "C:\\escaped.rdb",
        "a\nb.rdb",
        "-rf.rdb",
        "$(touch x).rdb",
        "x" * 200 + "/" + "y" * 200 + ".rdb",
    ],
)
def test_a_name_leads_nowhere(uploads: Path, folder: Path, pack: Packer, name: str):
    [(_, form, content)] = opened(pack(uploads, [(name, b"1")]), folder)
    assert (form, content) == (BackupFormat.RDB, b"1")
    assert [path.name for path in folder.iterdir()] == ["0"]


@packers
@pytest.mark.parametrize("part", ["../../escaped.aof", "a/../../escaped.aof"])
def test_parts_of_an_append_only_file_lead_nowhere(uploads: Path, folder: Path, pack: Packer, part: str):
    file = pack(uploads, [(f"{Path(part).parent}/x.manifest", b"file"), (part, b"1")])
    found = unpack(file, file.name, folder, MOST)
    [one] = found
    assert one.path.is_relative_to(folder)
    assert {path.name for path in one.path.iterdir()} == {MANIFEST, "escaped.aof"}
    assert not list(folder.parent.parent.rglob("escaped*.rdb"))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_what_is_no_plain_file_stays_in_the_archive(uploads: Path, folder: Path, kind: bytes):
    file = uploads / "upload.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        _add(archive, "odd.rdb", type=kind, linkname="/etc/passwd", devmajor=1, devminor=5)
        _add(archive, "plain.rdb", b"1")
    assert opened(file, folder) == [("plain.rdb", BackupFormat.RDB, b"1")]


def test_a_link_in_a_zip_is_no_link(uploads: Path, folder: Path):
    file = uploads / "upload.zip"
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo("odd.rdb")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    assert opened(file, folder) == [("odd.rdb", BackupFormat.RDB, b"/etc/passwd")]


@packers
def test_more_than_is_allowed_is_refused_before_it_is_written(uploads: Path, folder: Path, pack: Packer):
    bomb = pack(uploads, [("a.rdb", bytes(MOST // 2)), ("b.rdb", bytes(200 * MOST))])
    assert bomb.stat().st_size < MOST
    with pytest.raises(FileUnreadable, match="more than"):
        opened(bomb, folder)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= MOST


def test_what_is_not_taken_may_not_go_on_for_ever_either(uploads: Path, folder: Path):
    bomb = tarred(uploads, [("a.rdb", b"1"), ("readme.txt", bytes(200 * MOST))])
    with pytest.raises(FileUnreadable, match="more than"):
        opened(bomb, folder)


@packers
def test_as_much_as_is_allowed_is_taken(uploads: Path, folder: Path, pack: Packer):
    found = opened(pack(uploads, [("a.rdb", bytes(MOST // 2)), ("b.rdb", bytes(MOST // 2))]), folder)
    assert sum(len(content) for *_, content in found) == MOST


def test_what_a_zip_says_of_its_sizes_is_not_believed(uploads: Path, folder: Path):
    """The sizes in its list are made small; the content is what it is."""
    file = zipped(uploads, [("a.rdb", bytes(MOST * 20))])
    content = file.read_bytes()
    file.write_bytes(content.replace((MOST * 20).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(FileUnreadable):
        opened(file, folder)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= MOST


@packers
@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_archive_is_refused(uploads: Path, folder: Path, pack: Packer, share: float):
    noise = random.Random(1).randbytes(20_000)
    file = pack(uploads, [("a.rdb", noise), ("b.rdb", noise)])
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(FileUnreadable):
        opened(file, folder)


@packers
def test_a_damaged_archive_is_refused_or_unharmed(uploads: Path, folder: Path, pack: Packer):
    """Whatever byte is another: contents have checksums, and what is not content may differ."""
    made = random.Random(2)
    words = b" ".join(made.choices((b"one", b"two", b"three"), k=1000))
    members = [("a.rdb", made.randbytes(3000)), ("b.aof", words)]
    file = pack(uploads, members)
    content = file.read_bytes()
    refused = 0
    for number in range(200):
        at = made.randrange(len(content))
        file.write_bytes(content[:at] + bytes([content[at] ^ (1 << made.randrange(8))]) + content[at + 1 :])
        try:
            found = opened(file, folder.with_name(f"unpacked-{number}"))
        except FileUnreadable:
            refused += 1
            continue
        assert {held for *_, held in found} <= {held for _, held in members}, f"byte {at}"
    assert refused > 150


@pytest.mark.parametrize("name", ["upload.zip", "upload.tar.gz", "upload.tgz"])
@pytest.mark.parametrize(
    "content",
    [b"", b"REDIS0009" + bytes(1000), b"\x89PNG\r\n\x1a\n" + bytes(100), gzip.compress(b"no tar"), b"PK\x03\x04"],
    ids=["empty", "an image", "a picture", "only gzip", "a beginning"],
)
def test_what_is_no_archive_is_refused(uploads: Path, folder: Path, name: str, content: bytes):
    file = uploads / name
    file.write_bytes(content)
    with pytest.raises(FileUnreadable, match="upload"):
        opened(file, folder)


@packers
@pytest.mark.parametrize(
    "members",
    [[], [("readme.txt", b"1")], [("inner.zip", b"PK")], [(".rdb/", b"")], [("__MACOSX/._dump.rdb", b"1")]],
    ids=["empty", "text", "an archive in it", "a folder", "a Mac's shadow"],
)
def test_an_archive_without_files_to_load_is_refused(
    uploads: Path, folder: Path, pack: Packer, members: list[Member]
):
    with pytest.raises(FileUnreadable, match=r"no \.rdb and no \.aof"):
        opened(pack(uploads, members), folder)


def test_an_archive_with_a_password_is_refused(uploads: Path, folder: Path):
    file = zipped(uploads, [("a.rdb", b"1")])
    content = bytearray(file.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flags] |= 1
    file.write_bytes(content)
    with pytest.raises(FileUnreadable, match="password"):
        opened(file, folder)


@pytest.fixture(params=[one for one in ENGINES if one.compatible_version >= (7, 0, 0)], ids=str)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Engines whose append-only files are folders."""
    return request.param


@packers
@pytest.mark.parametrize("inner", ["", "data/appendonlydir/"])
@pytest.mark.parametrize("called", [AOF_FILE, "other.aof"])
async def test_parts_that_an_engine_made_are_one_file(
    machine: Machine, uploads: Path, folder: Path, pack: Packer, inner: str, called: str
):
    """With a base, and what was written since; under the name that its maker gave it."""
    made = await machine.start(1)
    await made.set("first", 1)
    await made.execute_command("BGREWRITEAOF")

    async def rewritten() -> bool:
        facts = await made.info("persistence")
        return not (facts["aof_rewrite_in_progress"] or facts["aof_rewrite_scheduled"])

    await eventually(rewritten)
    await made.set("second", 2)
    await machine.runtime.stop_node("node-1")
    parts = sorted((machine.runtime.node_folder("node-1") / AOF_FOLDER).iterdir())
    assert len(parts) == 3
    renamed = [
        (
            inner + part.name.replace(AOF_FILE, called),
            part.read_bytes().replace(AOF_FILE.encode(), called.encode()),
        )
        if part.name == MANIFEST
        else (inner + part.name.replace(AOF_FILE, called), part.read_bytes())
        for part in parts
    ]
    file = pack(uploads, [*renamed, ("beside/dump.rdb", b"another")])
    found = unpack(file, file.name, folder, 10_000_000)
    [beside, whole] = sorted(found, key=lambda one: one.form.value, reverse=True)
    assert (beside.path.read_bytes(), whole.form, whole.path.is_dir()) == (b"another", BackupFormat.AOF, True)

    target = machine.runtime.node_folder("node-2")
    target.mkdir(parents=True)
    place_aof_parts(whole.path, target, machine.engine)
    loaded = await machine.start(2)
    assert await loaded.mget("first", "second") == ["1", "2"]
