"""Passwords, keys, tokens and links are used in every way there is; nothing that the installation keeps or says has them.

What has to be able to log in somewhere keeps what it needs for that in a file that only its owner can read, and
those files are named here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from crashes import ANSWERED, Crash, settled
from installation import HA, PROXY, SINGLE, Installation, eventually
from postgresql import NewDatabase
from secrecy import (
    CommandLines,
    Secrets,
    dumped,
    files_of,
    is_in,
    is_private,
    node_environments,
    processes_of,
    written_to,
)

NAME = "kept-in-the-open"
"""Of an instance: what must be found wherever secrets are looked for, or looking finds nothing at all."""
REPEATED = {"a parameter's name"}
"""What names a thing is repeated to whoever wrote it, to say which was not found; values are not."""
OF_NODES = {"redis.conf", "sentinel.conf", "proxy.json"}
"""Files of a node's folder with what nodes prove to each other; what tenants log in with is there as hashes."""
OF_THE_SCRIPT = "vip/endpoints"
"""Folder of what the Sentinels' script logs in to nodes with."""
OF_THE_SERVICE = {"keys/vault.key"}
"""Files with what opens everything else."""
BETWEEN_NODES = "between nodes"
VAULT_KEY = "the vault's key"
TELLS = {
    "/credentials": "secret key",
    "/securitytokens": "",
    "/links": "the proof of a link",
    "/download": "the proof of a link",
}
"""Ends of paths that are asked for a secret, and what it is."""

MISPLACED = (
    "az_codes", "capacity", "engine", "engine_version", "instance_backup_policy", "instance_num", "port", "private_ip",
    "spec_code", "subnet_id", "tags", "template_id", "vpc_id",
)  # fmt: skip
"""Fields of an order that are no passwords."""

Json = dict[str, Any]


@dataclass
class Story:
    """An installation where everything that has to do with a secret was done."""

    installation: Installation
    secrets: Secrets
    commands: CommandLines
    root: httpx.Client
    """The administrator; paths begin at the root."""
    answers: list[httpx.Response] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)
    """What the commands wrote."""
    made: dict[str, Json] = field(default_factory=dict)

    def listen(self, answer: httpx.Response) -> None:
        answer.read()
        self.answers.append(answer)

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        if not path.startswith("/v3"):
            path = f"/v2/{self.installation.env['project_id']}{path}"
        return self.root.request(method, path, json=body, **more)

    def done(self, method: str, path: str, body: Any = None, **more: Any) -> Json:
        answer = self.ask(method, path, body, **more)
        assert answer.status_code < 300, answer.text
        return dict(answer.json()) if answer.content else {}

    def refused(self, method: str, path: str, body: Any = None, **more: Any) -> None:
        answer = self.ask(method, path, body, **more)
        assert 400 <= answer.status_code < 500, answer.text

    def run(self, *words: str, secret: str = "", fails: bool = False) -> str:
        """A command, which is given the secret as often as it asks for one."""
        answer = self.installation.run(*words, input=f"{secret}\n{secret}\n", start_new_session=True)
        assert (answer.returncode != 0) is fails, answer.stderr
        self.printed += [answer.stderr, answer.stdout]
        return answer.stdout

    def path(self, name: str) -> str:
        return f"/instances/{self.made[name]['instance_id']}"

    def settle(self, name: str) -> None:
        settled(self.installation, self.made[name]["instance_id"])


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[Story]:
    folder, secrets = tmp_path_factory.mktemp("secrets") / "data", Secrets()
    other = {
        "domain": "other",
        "password": secrets.new("another tenant's password"),
        "access_key": "OTHERKEYOTHERKEY",
        "secret_key": secrets.new("another tenant's secret key"),
    }
    settings = {
        "AUDIT__FILE": str(folder / "audit" / "trail.jsonl"),
        "IDENTITY__PASSWORD": secrets.new("the administrator's password"),
        "MONITORING__TOKEN": secrets.new("the token for figures"),
        "MONITORING__INTERVAL_SECONDS": "1",
        "TENANTS": json.dumps([other]),
    }
    made = Installation(folder, new_database(), settings)
    try:
        with CommandLines() as commands:
            made.start()
            secrets.keep(made.env["secret_key"], "the administrator's secret key")
            token = secrets.keep(made.token(), "the administrator's token")
            with httpx.Client(base_url=made.endpoint, headers={"X-Auth-Token": token}, timeout=60) as root:
                story = Story(made, secrets, commands, root)
                root.event_hooks = {"response": [story.listen]}
                tell(story)
                yield story
    finally:
        made.remove()


def tell(story: Story) -> None:
    """Everything."""
    make_instances(story)
    change_passwords(story)
    make_accounts(story)
    make_users(story)
    encrypt_and_back_up(story)
    write_passwords_in_wrong_places(story)
    fail_to_sign_in(story)
    use_commands(story)
    crash(story)
    learn_what_nodes_know(story)


def make_instances(story: Story) -> None:
    for name, flavor, fields in (
        (NAME, SINGLE, {}),
        ("standby", HA, {}),
        ("proxied", PROXY, {"capacity": 4, "engine_version": "5.0"}),
    ):
        password = story.secrets.new(f"the password of {name}")
        order = story.installation.order(name, flavor, password=password, **fields)
        one = story.done("POST", "/instances", order)["instances"][0]["instance_id"]
        story.made[name] = {"instance_id": one, "password": password}
    for made in story.made.values():
        made.update(story.installation.wait(made["instance_id"], seconds=90))


def change_passwords(story: Story) -> None:
    for name, made in story.made.items():
        changed, reset = story.secrets.new("a changed password"), story.secrets.new("a password that was reset")
        body = {"old_password": made["password"], "new_password": changed}
        assert story.done("PUT", f"{story.path(name)}/password", body)["result"] == "success"
        story.done("POST", f"{story.path(name)}/password/reset", {"new_password": reset})
        story.settle(name)
        made["password"] = reset
        wrong = {"old_password": story.secrets.new("a wrong old password"), "new_password": changed}
        story.ask("PUT", f"{story.path(name)}/password", wrong)


def make_accounts(story: Story) -> None:
    accounts = f"{story.path('proxied')}/accounts"
    password, reset = story.secrets.new("an account's password"), story.secrets.new("an account's new password")
    body = {"account_name": "reports", "account_role": "read", "account_password": password}
    story.done("POST", accounts, body)

    def listed() -> str:
        found = story.done("GET", accounts)["accounts"]
        return next((one["account_id"] for one in found if one["account_name"] == "reports"), "")

    def is_there() -> bool:
        return all(one["status"] == "AVAILABLE" for one in story.done("GET", accounts)["accounts"])

    eventually(is_there)
    one = f"{accounts}/{listed()}"
    changed = story.secrets.new("an account's changed password")
    story.done("PUT", f"{one}/password/modify", {"old_password": password, "new_password": changed})
    eventually(is_there)
    story.done("PUT", f"{one}/password/reset", {"new_password": reset})
    eventually(is_there)
    wrong = {"old_password": story.secrets.new("an account's wrong password"), "new_password": changed}
    story.ask("PUT", f"{one}/password/modify", wrong)


def make_users(story: Story) -> None:
    password, changed = story.secrets.new("a user's password"), story.secrets.new("a user's new password")
    user = story.done("POST", "/v3/users", {"user": {"name": "ann", "password": password}})["user"]["id"]
    proof = {"user": {"id": user, "password": password}}
    auth = {"auth": {"identity": {"methods": ["password"], "password": proof}}}
    token = story.root.post("/v3/auth/tokens", json=auth).headers["X-Subject-Token"]
    story.secrets.keep(token, "a user's token")
    headers = {"X-Auth-Token": token}
    temporary = {"auth": {"identity": {"methods": ["token"], "token": {"duration_seconds": 900}}}}
    found = story.done("POST", "/v3.0/OS-CREDENTIAL/securitytokens", temporary, headers=headers)["credential"]
    story.secrets.keep(found["secret"], "a temporary secret key")
    story.secrets.keep(found["securitytoken"], "a security token")
    own = {"credential": {"user_id": user}}
    key = story.done("POST", "/v3.0/OS-CREDENTIAL/credentials", own, headers=headers)["credential"]
    story.secrets.keep(key["secret"], "a user's secret key")
    change = {"user": {"original_password": password, "password": changed}}
    story.done("POST", f"/v3/users/{user}/password", change, headers=headers)
    story.done("GET", f"/v3.0/OS-CREDENTIAL/credentials/{key['access']}")
    subject = {"X-Subject-Token": token}
    story.ask("GET", "/v3/auth/tokens", headers=subject)


def encrypt_and_back_up(story: Story) -> None:
    standby = story.path("standby")
    story.done("PUT", f"{standby}/ssl", {"enabled": True})
    story.settle("standby")
    keep_link(story, story.done("POST", f"{standby}/ssl-certs/download")["link"])
    backup = story.done("POST", f"{standby}/backups", {})["backup_id"]

    def is_ready() -> bool:
        found = story.done("GET", f"{standby}/backups")["backup_record_response"]
        return any(one["backup_id"] == backup and one["status"] == "succeed" for one in found)

    eventually(is_ready, 60)
    links = story.done("POST", f"{standby}/backups/{backup}/links", {"expiration": 300})["links"]
    for link in links:
        keep_link(story, link["link"])
    task = {
        "task_name": "import-1",
        "migration_type": "backupfile_import",
        "migration_method": "full_amount_migration",
        "backup_files": {"file_source": "backup_record", "backup_id": backup},
        "target_instance": {
            "id": story.made[NAME]["instance_id"],
            "name": NAME,
            "password": story.made[NAME]["password"],
        },
    }
    one = story.done("POST", "/migration-task", task)["id"]
    eventually(lambda: story.done("GET", f"/migration-task/{one}")["status"] == "SUCCESS", 60)
    task["target_instance"] |= {"password": story.secrets.new("a wrong password of a target")}
    story.ask("POST", "/migration-task", task)
    story.settle(NAME)


def keep_link(story: Story, link: str) -> None:
    """What lets anybody in who has the link: the longest of its arguments; it works."""
    assert httpx.get(link).status_code == 200
    proof = max((value for _, value in parse_qsl(urlsplit(link).query)), key=len)
    story.secrets.keep(proof, "the proof of a link")


def write_passwords_in_wrong_places(story: Story) -> None:
    order = story.installation.order("misled")
    for place in MISPLACED:
        story.refused("POST", "/instances", order | {place: story.secrets.new(f"a password as {place}")})
    for password in (
        {"is": story.secrets.new("a password in an object")},
        [story.secrets.new("a password in a list")],
        story.secrets.new("a password with blanks") + " é",
        story.secrets.new("a password that is too long") * 4,
    ):
        story.refused("POST", "/instances", order | {"password": password})
        story.refused("POST", f"{story.path(NAME)}/password/reset", {"new_password": password})
        story.refused(
            "POST", f"{story.path('proxied')}/accounts", {"account_name": "x", "account_password": password}
        )
        story.ask("POST", "/v3/users", {"user": {"name": "bob", "password": password}})
    cut_off = story.secrets.new("a password in half a body")
    story.refused(
        "POST", "/instances", content=f'{{"password": "{cut_off}"', headers={"content-type": "text/json"}
    )
    story.refused("POST", "/instances", content=f'{{"password": "{cut_off}", \n"name": }}')
    story.refused("POST", "/instances", content=f"password={cut_off}")
    story.refused("POST", "/v3/auth/tokens", content=f'{{"auth": "{cut_off}"')
    by_name = {
        "param_id": "1",
        "param_name": "requirepass",
        "param_value": story.secrets.new("a parameter's value"),
    }
    story.refused("PUT", f"{story.path(NAME)}/configs", {"redis_config": [by_name]})
    as_name = by_name | {"param_id": "2", "param_name": story.secrets.new("a parameter's name")}
    story.refused("PUT", f"{story.path(NAME)}/configs", {"redis_config": [as_name]})
    story.refused("POST", f"{story.path('proxied')}/accounts", {"account_name": story.secrets.new("a name") + "!"})
    story.refused("PUT", "/instances/status", {"action": story.secrets.new("an action"), "instances": []})
    story.refused("POST", "/v3/users", {"user": {"name": story.secrets.new("a user's name") + '!!"<'}})
    story.refused("POST", "/v3/users", {story.secrets.new("a field's name"): {}})


def fail_to_sign_in(story: Story) -> None:
    wrong = story.secrets.new("a wrong password")
    for user in (
        {"name": "ann", "password": wrong, "domain": {"name": "cachestead"}},
        {
            "name": story.secrets.new("a password as the user's name"),
            "password": "x",
            "domain": {"name": "cachestead"},
        },
        {"name": "ann", "password": "x", "domain": {"name": story.secrets.new("a password as the domain's name")}},
        {"name": "ann", "password": {"is": wrong}, "domain": {"name": "cachestead"}},
        {"id": story.secrets.new("a password as the user's id"), "password": wrong},
    ):
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
        story.refused("POST", "/v3/auth/tokens", body)
    for headers in (
        {"X-Auth-Token": story.secrets.new("a wrong token")},
        {"X-Auth-Token": "", "Authorization": f"Bearer {story.secrets.new('a token of another kind')}"},
        {
            "X-Auth-Token": "",
            "Authorization": f"SDK-HMAC-SHA256 Access={story.secrets.new('a secret as the key')}",
        },
    ):
        story.refused("GET", "/instances", headers=headers)
    for given in ({"old_password": wrong}, {"new_password": wrong}, {"password": wrong}):
        story.refused("PUT", f"{story.path(NAME)}/password", given)


def use_commands(story: Story) -> None:
    secrets = story.secrets
    by_command = secrets.new("a password given to a command")
    story.run(
        "instance", "create", "by-command", "--type", "single", "--password-stdin", "--wait", secret=by_command
    )
    again = secrets.new("another password given to a command")
    story.run("instance", "reset-password", "by-command", "--password-stdin", secret=again)
    story.run("instance", "reset-password", "by-command", "--password-stdin", secret=again + " é", fails=True)
    made_up = story.run("account", "create", "proxied", "printed").strip()
    story.printed.remove(made_up + "\n")
    secrets.keep(made_up, "a password that a command made up")
    story.run("user", "create", "cora", "--password", secret=secrets.new("a password that a command asked for"))
    story.run(
        "user",
        "create",
        "dora",
        "--password",
        secret=secrets.new("one that it was not given") + '"' * 200,
        fails=True,
    )
    key = story.run("key", "create", "cora", "-o", "json")
    story.printed.remove(key)
    secrets.keep(json.loads(key)["secret"], "a secret key that a command printed")


def crash(story: Story) -> None:
    """The service ends without a word while it sets one password, and while an instance with another is made."""
    crashes, reset = Crash(story.installation), story.secrets.new("a password that was being set")
    project = f"/v2/{story.installation.env['project_id']}"

    def set_password(_: httpx.Client) -> httpx.Response:
        return story.root.post(f"{project}{story.path('standby')}/password/reset", json={"new_password": reset})

    assert crashes.during(set_password, ANSWERED)
    story.settle("standby")
    password = story.secrets.new("the password of an instance that was being made")
    order = story.installation.order("half-made", HA, password=password)
    answer = crashes.during(lambda _: story.root.post(f"{project}/instances", json=order), ANSWERED)
    assert answer
    story.made["half-made"] = answer.json()["instances"][0]
    story.settle("half-made")


def learn_what_nodes_know(story: Story) -> None:
    """What the installation made up for itself, out of the files that have it in clear."""
    pattern = re.compile(r'^(?:masterauth|sentinel sentinel-pass|sentinel auth-pass \S+) "([^"]+)"$', re.MULTILINE)
    texts = [path.read_text() for path in files_of(story.installation) if path.name in OF_NODES]
    found = {one for text in texts for one in pattern.findall(text)}
    assert len(found) >= 3
    for one in found:
        story.secrets.keep(one, BETWEEN_NODES)
    for line in (story.installation.folder / "keys" / "vault.key").read_text().split():
        story.secrets.keep(line, VAULT_KEY)


def test_looking_finds_what_is_there(story: Story) -> None:
    one = story.made[NAME]["instance_id"]
    places = {path.name for path in files_of(story.installation) if is_in(one, path.read_bytes())}
    assert places >= {"service.log", "trail.jsonl", "node.json"}
    records = [dumped(story.installation)] * 2
    if story.installation.database_url is None:
        records = [written_to(story.installation, f"{name}.sqlite*") for name in ("cachestead", "workflows")]
    assert is_in(one, records[0])
    # Steps of work are on record with what they returned, in a form that nobody reads by eye.
    assert is_in("create-instance", records[1])
    assert len(story.secrets.known) > 60


def test_files_have_no_secret_but_those_that_need_one_and_only_their_owner_reads_these(story: Story) -> None:
    folder, faults = story.installation.folder, []
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in files_of(story.installation):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        place, found = path.relative_to(folder), story.secrets.found_in(content)
        if (place.parts[0] == "nodes" and path.name in OF_NODES) or str(place.parent) == OF_THE_SCRIPT:
            found -= {BETWEEN_NODES}
            assert is_private(path), place
            assert path.parent.stat().st_mode & 0o777 == 0o700
        if str(place) in OF_THE_SERVICE:
            found -= {VAULT_KEY}
            assert is_private(path), place
            assert path.parent.stat().st_mode & 0o777 == 0o700
        if found:
            faults.append((str(place), found))
        assert b"PRIVATE KEY-----" not in content or is_private(path), place
    assert faults == []


def test_a_dump_of_the_records_has_no_secret(story: Story) -> None:
    assert story.secrets.found_in(dumped(story.installation)) == set()


def test_no_answer_has_a_secret_but_those_that_were_asked_for_one(story: Story) -> None:
    assert sum(answer.status_code >= 400 for answer in story.answers) > 50
    faults = []
    for answer in story.answers:
        path = answer.request.url.path
        asked = [what for end, what in TELLS.items() if path.endswith(end) and answer.status_code < 300]
        found = {one for one in story.secrets.found_in(answer.content) if not any(what in one for what in asked)}
        if "/auth/tokens" not in path or answer.status_code >= 300:
            found |= story.secrets.found_in(repr(answer.headers.raw).encode())
        if found - REPEATED:
            faults.append((answer.request.method, path, answer.status_code, found))
    assert faults == []


def test_commands_print_no_secret_that_they_were_not_asked_for(story: Story) -> None:
    assert story.secrets.found_in("\n".join(story.printed).encode()) == set()


def test_no_process_has_a_secret_in_its_command_line(story: Story) -> None:
    lines = b"\n".join(story.commands.seen)
    assert b"cachestead" in lines
    assert b"redis.conf" in lines
    for process in processes_of(story.installation):
        lines += b"\n".join(word.encode() for word in process.cmdline())
    assert story.secrets.found_in(lines) == set()


def test_no_node_is_given_a_secret_with_its_environment(story: Story) -> None:
    environments = list(node_environments(story.installation))
    assert len(environments) > 5
    for one in environments:
        assert story.secrets.found_in(one) == set()
        assert b"CACHESTEAD_IDENTITY" not in one


def test_figures_and_the_audit_trail_have_no_secret(story: Story) -> None:
    token = story.installation.settings["MONITORING__TOKEN"]
    headers = {"Authorization": f"Bearer {token}"}

    def look() -> bytes:
        answer = httpx.get(f"{story.installation.endpoint}/metrics", headers=headers)
        assert answer.status_code == 200
        return answer.content if is_in(NAME, answer.content) else b""

    assert story.secrets.found_in(eventually(look)) == set()
    path, traces, query = f"/v3/{story.installation.env['project_id']}/traces", [], {"limit": "200"}
    while page := story.done("GET", path, params=query)["traces"]:
        traces += page
        query["next"] = page[-1]["trace_id"]
    assert {"create_instance", "reset_password", "create_token"} <= {one["trace_name"] for one in traces}
    assert story.secrets.found_in(json.dumps(traces).encode()) == set()
