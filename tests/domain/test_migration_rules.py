"""What may be ordered of an import, field by field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cachestead import errors
from cachestead.domain.migration_tasks import ImportedFile, ImportOrder, TargetOrder, check_import, check_task_ids

ORDER = ImportOrder(
    name="import-1",
    type="backupfile_import",
    method="full_amount_migration",
    target=TargetOrder("t"),
    source="self_build_obs",
    bucket="cachestead",
    files=(ImportedFile("imports/a.rdb", size="754.0MB"),),
)


def file(**changes: Any) -> ImportedFile:
    return replace(ImportedFile("a.rdb"), **changes)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="files of a bucket"),
        pytest.param({"source": None}, id="no word of the source"),
        pytest.param({"name": "a" * 64}, id="longest name"),
        pytest.param({"source": "backup_record", "backup_id": "b", "bucket": None, "files": ()}, id="a backup"),
        pytest.param(
            {"files": (file(size="880232"), file(name="B.TGZ", size="1.5 gb"))}, id="sizes in other units"
        ),
        pytest.param({"description": "d" * 1024}, id="longest description"),
    ],
)
def test_orders_that_can_be_had(changes: dict[str, Any]):
    check_import(replace(ORDER, **changes))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"name": "abc"}, "task_name", id="short name"),
        pytest.param({"name": "1abc"}, "task_name", id="name begins with a digit"),
        pytest.param({"name": "abcd\n"}, "task_name", id="name with an end of line"),
        pytest.param({"type": "online_migration"}, "migration_type", id="online"),
        pytest.param({"method": "incremental_migration"}, "migration_method", id="incremental"),
        pytest.param({"source": "obs"}, "file_source", id="unknown source"),
        pytest.param({"source": "backup_record"}, "backup_id", id="no backup"),
        pytest.param({"bucket": ""}, "bucket_name", id="no bucket"),
        pytest.param({"files": ()}, "files", id="no files"),
        pytest.param({"files": tuple(file(name=f"{n}.rdb") for n in range(101))}, "files", id="too many files"),
        pytest.param({"files": (file(), file())}, "files", id="a file twice"),
        pytest.param({"files": (file(name=""),)}, "file_name", id="no name"),
        pytest.param({"files": (file(name="\u00e9" * 257),)}, "file_name", id="name of too many bytes"),
        pytest.param({"files": (file(name="rdb"),)}, "file_name", id="no ending"),
        pytest.param({"files": (file(name="a.rar"),)}, "file_name", id="unknown ending"),
        pytest.param({"files": (file(name="a\x00b"),)}, "file_name", id="control character"),
        pytest.param({"files": (file(size="much"),)}, "size", id="no size"),
    ],
)
def test_the_first_bad_field_is_named(changes: dict[str, Any], field: str):
    with pytest.raises(errors.InvalidParameter) as refusal:
        check_import(replace(ORDER, **changes))

    assert refusal.value.data["name"] == field


@pytest.mark.parametrize("description", ["d" * 1025, "a\x00b"], ids=["long", "nul"])
def test_descriptions_are_refused_with_their_own_code(description: str):
    with pytest.raises(errors.InvalidDescription):
        check_import(replace(ORDER, description=description))


def test_ids_to_delete_come_once_each_and_not_too_many():
    assert check_task_ids(["b", "a", "b"]) == ["b", "a"]
    for wrong in ([], [str(n) for n in range(51)]):
        with pytest.raises(errors.InvalidParameter):
            check_task_ids(wrong)
