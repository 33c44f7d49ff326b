"""The page for administrators, as it is printed: its commands and its program do what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
from installation import Installation

from cachestead.identity.system_roles import system_roles

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "say-who-may-do-what.md"
PASSWORD = "Looks-0nly"


def blocks_of(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def run(installation: Installation, folder: Path, command: list[str], text: str, **told: str) -> str:
    """What a program printed that came to its end; it finds `cachestead`, and is asked for a password or not."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = installation.environment | told | {"PATH": path}
    ended = subprocess.run(
        [*command, text],
        cwd=folder,
        env=environment,
        input=f"{PASSWORD}\n{PASSWORD}\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        start_new_session=True,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def status(installation: Installation, user: str) -> tuple[int, int]:
    """What a user is answered who signs in and lists instances; 0 if it cannot sign in."""
    proof = {"user": {"name": user, "password": PASSWORD, "domain": {"name": installation.env["domain"]}}}
    auth = {"auth": {"identity": {"methods": ["password"], "password": proof}}}
    answer = httpx.post(f"{installation.endpoint}/v3/auth/tokens", json=auth, timeout=30)
    if answer.status_code != 201:
        return 0, 0
    base, headers = f"{installation.endpoint}/v2/{installation.env['project_id']}", dict[str, str]()
    headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
    listed = httpx.get(f"{base}/instances", headers=headers)
    return listed.status_code, httpx.delete(f"{base}/instances?all_failure=true", headers=headers).status_code


def test_the_page_does_what_it_says(installation: Installation, tmp_path: Path) -> None:
    look, sign, policy, leave, trail = blocks_of("sh")
    [program] = blocks_of("python")
    shell = ["bash", "-euc"]
    run(installation, tmp_path, shell, look)
    assert status(installation, "ann") == (200, 403)
    run(installation, tmp_path, shell, sign)
    assert len(json.loads((tmp_path / "robot.json").read_text())["secret"]) == 40
    shown = run(installation, tmp_path, shell, policy)
    assert "prod-backups" in shown
    assert "robot" in shown
    told = {
        f"CACHESTEAD_{name.upper()}": installation.env[name]
        for name in ("iam_endpoint", "access_key", "secret_key")
    }
    run(installation, tmp_path, [sys.executable, "-c"], program, **told)
    assert status(installation, "ben") == (200, 403)
    run(installation, tmp_path, shell, leave)
    assert status(installation, "ann") == (0, 0)
    assert status(installation, "ben") == (200, 403)
    assert "grant_role_to_group" in run(installation, tmp_path, shell, trail)


def test_the_page_names_the_policies_that_there_are() -> None:
    table = re.findall(r"^\| ([^|]+) \|", PAGE.read_text(), re.MULTILINE)[2:]
    named = {one for names in table for one in names.split(", ")}
    assert named == {role.display_name for role in system_roles().values()}
