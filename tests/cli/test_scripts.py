import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
POSIX = ["demo", "test", "check", "bench", "environment.sh"]


@pytest.mark.parametrize("name", POSIX)
def test_scripts_are_posix_shell(name):
    subprocess.run(["sh", "-n", str(ROOT / "scripts" / name)], check=True)


@pytest.mark.parametrize("name", POSIX)
def test_scripts_use_nothing_that_only_bash_has(name):
    text = (ROOT / "scripts" / name).read_text()

    assert not [word for word in ("[[", "function ", "local ", "pipefail", "<<<", "source ") if word in text]


def test_the_build_is_bash():
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)


@pytest.mark.parametrize("name", ["demo", "test", "check", "bench"])
def test_scripts_can_be_run(name):
    assert os.access(ROOT / "scripts" / name, os.X_OK)


def test_generated_pages_are_fresh():
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "generate_docs.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_measurements_that_do_not_exist_are_refused():
    done = subprocess.run([str(ROOT / "scripts" / "bench"), "absent"], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "bench/absent.py" in done.stderr


def test_the_readme_begins_with_the_two_commands():
    lines = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("scripts/")]

    assert [line.split()[0] for line in lines[:2]] == ["scripts/demo", "scripts/test"]


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name
)
def test_links_between_pages_lead_somewhere(page):
    import re

    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())

    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []
