import json
import os
import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values

from cachestead.cli.env import OWN_VARIABLES, Format, client_variables, render
from cachestead.settings import Settings, load_settings

PLAIN = {
    "endpoint": "http://127.0.0.1:8635",
    "iam_endpoint": "http://127.0.0.1:8635",
    "access_key": "AKIDEXAMPLE12345678",
    "secret_key": "abcdefghijklmnop",
    "project_id": "0" * 32,
    "region": "local-1",
    "user": "admin",
    "password": "correct-horse",
    "domain": "cachestead",
    "vpc_id": "11111111-1111-1111-1111-111111111111",
    "subnet_id": "22222222-2222-2222-2222-222222222222",
    "security_group_id": "33333333-3333-3333-3333-333333333333",
}
ODD = PLAIN | {
    "secret_key": "'; echo broken; '",
    "password": "a'b\"c$HOME`id`\\n!{}%{x} #~?|&;<>()*",
    "domain": "Grüße an ${USER} — 漢字",
    "user": "two  spaces and\ta tab",
}
ENVIRONMENTS = pytest.mark.parametrize("environment", [PLAIN, ODD], ids=["plain values", "odd characters"])


@ENVIRONMENTS
@pytest.mark.parametrize("evaluate", ['. "$0"', 'eval "$(cat "$0")"'], ids=["sourced", "evaluated"])
def test_a_real_shell_reads_the_shell_form_back(environment, evaluate, tmp_path):
    file = tmp_path / "env.sh"
    file.write_text(render(environment, Format.SHELL) + "\n")

    shell = subprocess.run(
        ["sh", "-c", f"{evaluate}; env -0", str(file)],
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )

    seen = dict(line.split("=", 1) for line in shell.stdout.decode().split("\0") if line)
    assert seen.items() >= client_variables(environment).items()
    assert shell.stderr == b""


@ENVIRONMENTS
def test_the_dotenv_form_is_read_back(environment, tmp_path):
    file = tmp_path / ".env"
    file.write_text(render(environment, Format.DOTENV) + "\n")

    assert dotenv_values(file, interpolate=False) == client_variables(environment)


@ENVIRONMENTS
def test_the_json_form_is_the_environment(environment):
    assert json.loads(render(environment, Format.JSON)) == environment


def test_the_terraform_form_escapes_what_terraform_would_replace():
    block = render(PLAIN | {"secret_key": 'a"${b}%{c}\\'}, Format.TERRAFORM)

    assert r'secret_key = "a\"$${b}%%{c}\\"' in block
    assert 'endpoints  = { dcs = "http://127.0.0.1:8635", iam = "http://127.0.0.1:8635" }' in block


def test_the_sdk_finds_address_and_keys_by_itself(monkeypatch):
    from huaweicloudsdkcore.auth.provider import EnvCredentialProvider
    from huaweicloudsdkdcs.v2.region.dcs_region import DcsRegion

    for name, value in client_variables(PLAIN).items():
        monkeypatch.setenv(name, value)

    keys = EnvCredentialProvider.get_basic_credential_env_provider().get_credentials()
    assert (keys.ak, keys.sk, keys.project_id) == (PLAIN["access_key"], PLAIN["secret_key"], PLAIN["project_id"])
    assert DcsRegion.value_of("local-1").endpoints == [PLAIN["endpoint"]]


def test_openstack_clients_find_their_login_by_themselves(monkeypatch):
    import openstack.config

    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    for name, value in client_variables(PLAIN).items():
        monkeypatch.setenv(name, value)

    found = openstack.config.OpenStackConfig(load_yaml_config=False).get_one()
    assert found.get_auth_args() == {
        "auth_url": PLAIN["iam_endpoint"] + "/v3",
        "username": PLAIN["user"],
        "password": PLAIN["password"],
        "user_domain_name": PLAIN["domain"],
        "project_id": PLAIN["project_id"],
    }
    assert found.get_region_name() == "local-1"


def test_a_shell_with_these_variables_can_still_start_a_service(monkeypatch, tmp_path):
    for name, value in client_variables(ODD).items():
        monkeypatch.setenv(name, value)

    assert isinstance(load_settings(data_dir=tmp_path), Settings)


def test_every_key_has_a_variable():
    assert sorted(OWN_VARIABLES.values()) == sorted(PLAIN)


@pytest.mark.parametrize("iam", ["http://h/v3", "http://h/v3/", "http://h/", "http://h"])
def test_the_sign_in_address_ends_in_the_version_once(iam):
    variables = client_variables(PLAIN | {"iam_endpoint": iam})

    assert variables["OS_AUTH_URL"] == variables["HW_AUTH_URL"] == "http://h/v3"
    assert variables["HUAWEICLOUD_SDK_IAM_ENDPOINT"] == "http://h"


def test_the_readme_names_the_forms():
    readme = (Path(__file__).parents[2] / "README.md").read_text()

    assert all(f"--format {form}" in readme for form in Format if form is not Format.SHELL)
