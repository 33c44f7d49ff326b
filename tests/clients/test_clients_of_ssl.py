"""SSL by the official SDK and as Terraform's provider does it, and redis-cli with what they downloaded."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import httpx
import pytest
from go_client import GoClient
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkdcs import v2 as sdk
from installation import HA, PASSWORD, SINGLE, Installation, client_of, eventually
from real_engines import ENGINES


@pytest.mark.skipif(not any(one.has_tls for one in ENGINES), reason="no engine here has TLS, and so no redis-cli")
def test_the_sdk_switches_it_on_and_redis_cli_comes_by_it(installation: Installation, tmp_path: Path) -> None:
    made, client = installation.create("by-sdk"), installation.sdk()
    one = made["instance_id"]
    body = sdk.UpdateSSLSwitchRequestBody(enabled=True)
    job = client.update_ssl_switch(sdk.UpdateSslSwitchRequest(instance_id=one, body=body))
    assert job.instance_id == one
    eventually(lambda: client.show_job_info(sdk.ShowJobInfoRequest(job_id=job.job_id)).status == "SUCCESS")
    seen = client.show_instance_ssl_detail(sdk.ShowInstanceSslDetailRequest(instance_id=one))
    assert (seen.enabled, seen.ip, seen.port, seen.ssl_validated) == (True, made["ip"], str(made["port"]), True)
    task = client.list_background_task(sdk.ListBackgroundTaskRequest(instance_id=one)).tasks[0]
    assert (task.name, task.status, task.details.enable_ssl) == ("ModifySsl", "SUCCESS", True)

    found = client.download_ssl_cert(sdk.DownloadSslCertRequest(instance_id=one))
    authority = tmp_path / "ca.crt"
    with zipfile.ZipFile(io.BytesIO(httpx.get(found.link).content)) as archive:
        authority.write_bytes(archive.read("ca.crt"))
    if (cli := shutil.which("redis-cli")) is None:
        pytest.skip("redis-cli is not installed")
    words = [cli, "-h", made["ip"], "-p", str(made["port"]), "--tls", "--cacert", str(authority), "ping"]
    secret = {"REDISCLI_AUTH": PASSWORD}
    said = subprocess.run(words, env=secret, capture_output=True, text=True, timeout=20, check=False)
    assert said.stdout == "PONG\n", said.stderr


def test_the_sdk_is_told_where_there_is_none(installation: Installation) -> None:
    made, client = installation.create("by-sdk-5", SINGLE, engine_version="5.0"), installation.sdk()
    with pytest.raises(ClientRequestException) as refusal:
        client.show_instance_ssl_detail(sdk.ShowInstanceSslDetailRequest(instance_id=made["instance_id"]))
    assert (refusal.value.status_code, refusal.value.error_code) == (400, "DCS.4201")


def test_terraform_s_instance_is_switched_on_and_off(installation: Installation) -> None:
    terraform, made = GoClient(installation), installation.create("by-terraform", HA)
    path = f"/v2/{{}}/instances/{made['instance_id']}/ssl"
    for enabled in (True, False):
        job = terraform.ask("PUT", path, {"enabled": enabled})["job_id"]
        eventually(lambda job=job: terraform.ask("GET", f"/v2/{{}}/jobs/{job}")["status"] == "SUCCESS", 60)
        assert terraform.wait_running(made["instance_id"])["enable_ssl"] is enabled
    link = terraform.ask("POST", f"{path}-certs/download")["link"]
    assert httpx.get(link).status_code == 200
    with client_of(made) as client:
        assert client.ping()
