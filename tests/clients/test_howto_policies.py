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

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "say-who-may-do-what.md"
PASSWORD = "Looks-0nly"


def blocks_of(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def run(installation: Installation, folder: Path, command: list[str], text: str) -> str:
    """What a program printed that came to its end; it finds `cachestead` and what `cachestead env` prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    names = {
        "ENDPOINT": "endpoint",
        "IAM_ENDPOINT": "iam_endpoint",
        "ACCESS_KEY": "access_key",
        "SECRET_KEY": "secret_key",
    }
    told = {f"CACHESTEAD_{name}": installation.env[key] for name, key in names.items()}
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
    run(installation, tmp_path, [sys.executable, "-c"], program)
    assert status(installation, "ben") == (200, 403)
    run(installation, tmp_path, shell, leave)
    assert status(installation, "ann") == (0, 0)
    assert status(installation, "ben") == (200, 403)
    assert "grant_role_to_group" in run(installation, tmp_path, shell, trail)


def test_the_page_names_the_policies_that_there_are(installation: Installation) -> None:
    table = re.findall(r"^\| ([^|]+) \|", PAGE.read_text(), re.MULTILINE)[2:]
    listed = json.loads(installation.run("policy", "list", "-o", "json").stdout)
    assert {one for names in table for one in names.split(", ")} == {one["display_name"] for one in listed}
