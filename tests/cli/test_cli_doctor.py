import json
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from cachestead.cli.doctor import EngineChoice, Finding, Grade, Report, engine_choices, print_report

SAME = EngineChoice("7.0", "redis 7.0.15", "path", "/usr/bin/redis-server", exact=True)
NEWER = EngineChoice("4.0", "valkey 9.1.2", "bundled", "/lib/valkey-server")
NONE = EngineChoice("7.0", None, remark="no engine for Redis 7.0")
FINE = Finding("memory", Grade.OK, "2048 MiB")
REMARK = Finding("engines", Grade.REMARK, "a newer engine stands in", "Name another.")
MISSING = Finding("addresses", Grade.MISSING, "cannot be used", "Choose [another] network.")


@pytest.mark.parametrize(
    ("report", "usable"),
    [
        pytest.param(Report((SAME,), (FINE,)), True, id="all is well"),
        pytest.param(Report((NEWER,), (FINE, REMARK)), True, id="remarks do no harm"),
        pytest.param(Report((SAME, NONE), (FINE,)), True, id="one version missing"),
        pytest.param(Report((NONE,), (FINE,)), False, id="no engine at all"),
        pytest.param(Report((), ()), False, id="nothing found"),
        pytest.param(Report((SAME,), (FINE, MISSING)), False, id="something needed is missing"),
    ],
)
def test_a_machine_is_usable_or_not(report, usable, capsys):
    assert report.usable is usable

    print_report(report)

    assert ("cannot run" in capsys.readouterr().out) is not usable


def test_the_report_says_what_serves_each_version_and_what_to_do(capsys):
    print_report(Report((SAME, NEWER, NONE), (FINE, MISSING)))

    lines = capsys.readouterr().out.splitlines()
    assert any("Redis 7.0" in line and "redis 7.0.15" in line and "fits" in line for line in lines)
    assert any("Redis 4.0" in line and "valkey 9.1.2" in line and "stands in" in line for line in lines)
    assert any("Redis 7.0" in line and "none" in line and "missing" in line for line in lines)
    assert any("addresses" in line and "Choose [another] network." in line for line in lines)


def test_the_engine_catalogue_is_understood():
    @dataclass
    class Engine:
        source: str
        path: str

        def __str__(self):
            return "redis 7.0.15"

    @dataclass
    class Choice:
        dcs_version: str
        engine: Engine | None
        exact: bool
        remark: str

    class Catalogue:
        def describe(self):
            return [
                Choice("7.0", Engine("path", "/usr/bin/redis-server"), True, ""),
                Choice("9.0", None, False, "no engine"),
            ]

    assert engine_choices(Catalogue()) == (SAME, EngineChoice("9.0", None, remark="no engine"))


def test_doctor_looks_at_this_machine(tmp_path):
    pytest.importorskip("cachestead.main")
    from cachestead.cli.main import app

    result = CliRunner().invoke(app, ["doctor", "--data-dir", str(tmp_path), "--output", "json"])

    report = json.loads(result.stdout)
    assert report["usable"] is (result.exit_code == 0)
    assert {"platform", "engines", "memory", "addresses", "data folder"} <= {
        found["subject"] for found in report["findings"]
    }
