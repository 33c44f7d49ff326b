"""Whose an object is: keys, names of uploads, and what a project may import."""

from __future__ import annotations

import pytest

from cachestead.domain.objects import check_upload_name, import_key, own_key
from cachestead.errors import InvalidParameter
from cachestead.objects.errors import ObjectMissing
from cachestead.operations.objects import importable
from cachestead.settings import ImportBucketSettings, ObjectSettings

PROJECT, OTHER = "a" * 32, "b" * 32
SETTINGS = ObjectSettings(
    import_buckets=[
        ImportBucketSettings(name="shared", projects=[PROJECT, OTHER]),
        ImportBucketSettings(name="of-the-other", projects=[OTHER]),
        ImportBucketSettings(name="cachestead", projects=[OTHER]),
    ]
)


def test_keys_are_below_the_project() -> None:
    assert import_key(PROJECT, "x/y.rdb") == f"{PROJECT}/imports/x/y.rdb"
    assert own_key(PROJECT, "imports/x.rdb") == own_key(PROJECT, f"{PROJECT}/imports/x.rdb")


@pytest.mark.parametrize(
    ("bucket", "name", "key"),
    [
        ("cachestead", "imports/x.rdb", f"{PROJECT}/imports/x.rdb"),
        ("cachestead", f"{PROJECT}/imports/x.rdb", f"{PROJECT}/imports/x.rdb"),
        ("cachestead", f"{PROJECT}/backups/i/b/1.rdb", f"{PROJECT}/backups/i/b/1.rdb"),
        ("cachestead", f"{OTHER}/imports/x.rdb", f"{PROJECT}/{OTHER}/imports/x.rdb"),
        ("cachestead", f"{PROJECT}x/imports/x.rdb", f"{PROJECT}/{PROJECT}x/imports/x.rdb"),
        ("shared", "anything/x.rdb", "anything/x.rdb"),
    ],
)
def test_what_may_be_imported(bucket: str, name: str, key: str) -> None:
    assert importable(SETTINGS, bucket, name, PROJECT) == (bucket, key)


@pytest.mark.parametrize("bucket", ["of-the-other", "unknown", "", "..", "Cachestead"])
def test_what_may_not_is_not_there(bucket: str) -> None:
    with pytest.raises(ObjectMissing):
        importable(SETTINGS, bucket, "x.rdb", PROJECT)


@pytest.mark.parametrize("name", ["a", "a.rdb", "a/b/c.rdb", "ünï cöde", "#1.rdb", "a#1/b", "x" * 240, ".hidden"])
def test_names_that_files_can_have(name: str) -> None:
    check_upload_name(name, ["b", "b/c", "a.rdb.old", name])


@pytest.mark.parametrize(
    "name", ["", "/", "a/", "/a", "a//b", ".", "a/..", "a\x00", "a\x85", "\ud800", "a#12"], ids=ascii
)
def test_names_that_they_cannot_have(name: str) -> None:
    with pytest.raises(InvalidParameter, match="name"):
        check_upload_name(name, [])


@pytest.mark.parametrize(("name", "other"), [("a/b", "a"), ("a", "a/b"), ("a/b/c", "a")])
def test_a_file_and_a_folder_of_one_name(name: str, other: str) -> None:
    with pytest.raises(InvalidParameter, match=other):
        check_upload_name(name, [other])
