"""The HTTP API as the commands use it: one method for each call, answers as the reference has them.

Logs in with user and password for a token, at the first call. Who is told to come again later does. A refusal
becomes `Refused` with the documented code and sentence; an unreachable service a sentence that says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from ssl import create_default_context
from types import TracebackType
from typing import Any, BinaryIO, Self
from urllib.parse import quote

import httpx

from cachestead.cli.connection import Connection
from cachestead.cli.failures import CommandFailed
from cachestead.cli.release import find_release

Json = dict[str, Any]
Dimensions = Mapping[str, str]
"""Names of dimensions with the ids of objects on them, the instance's first."""
PAGE = 200
_PATIENCE, _SHORTEST_PAUSE = 30.0, 0.1
"""For how long a call is repeated that came too early, and the least between two, in seconds."""


class Refused(CommandFailed):
    """The service answered with an error."""

    def __init__(self, status: int, code: str, message: str, detail: str | None, request_id: str | None) -> None:
        self.status = status
        self.code = code
        sentence = f"{code}: {message}" + (f" ({detail})" if detail else "")
        super().__init__(sentence, advice=f"Request {request_id} in the service's log." if request_id else None)


class Client:
    """A session with the service; use it with `with`."""

    def __init__(self, connection: Connection, *, transport: httpx.BaseTransport | None = None) -> None:
        self.connection = connection
        self._token: str | None = None
        self._http = httpx.Client(
            timeout=httpx.Timeout(60, connect=5),
            headers={"User-Agent": f"cachestead-cli/{find_release()}"},
            transport=transport,
            verify=create_default_context(cafile=connection.ca_file) if connection.ca_file else True,
            trust_env=False,  # proxies of the environment are for the internet, and tokens are not for them
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _exc: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._http.close()

    def create_instance(self, body: Json) -> list[Json]:
        """Ids and names of the instances that are being created."""
        answer = self._project("POST", "/instances", body)
        return list(answer["instances"])

    def list_instances(self, **filters: str) -> Iterator[Json]:
        """Every instance that matches, page by page, failed ones included."""
        offset = 0
        while True:
            page = self._project(
                "GET", "/instances", query={"include_failure": "true", "offset": offset, "limit": PAGE, **filters}
            )
            yield from page["instances"]
            offset += PAGE
            if len(page["instances"]) < PAGE:
                return

    def show_instance(self, instance: str) -> Json:
        """One instance; `Refused` with status 404 where there is none."""
        return self._project("GET", f"/instances/{instance}")

    def find_instance(self, instance: str) -> Json | None:
        """One instance, or None."""
        try:
            return self.show_instance(instance)
        except Refused as exc:
            if exc.status == httpx.codes.NOT_FOUND:
                return None
            raise

    def update_instance(self, instance: str, body: Json) -> None:
        """Change what can be changed without work on the nodes."""
        self._project("PUT", f"/instances/{instance}", body)

    def delete_single_instance(self, instance: str) -> None:
        """Begin to delete an instance."""
        self._project("DELETE", f"/instances/{instance}")

    def restart_or_flush_instances(self, instances: list[str], action: str) -> list[Json]:
        """Begin to restart instances or to clear their data; a result for each."""
        answer = self._project("PUT", "/instances/status", {"instances": instances, "action": action})
        return list(answer.get("results") or [])

    def resize_instance(self, instance: str, body: Json) -> None:
        """Begin to change size, replicas or shards, or put it off until the maintenance window."""
        self._project("POST", f"/instances/{instance}/resize", body)

    def change_master_standby(self, instance: str) -> None:
        """Let a standby node be master; it is when the call answers."""
        self._project("POST", f"/instances/{instance}/swap")

    def execute_cluster_switchover(self, instance: str, group: str, node: str) -> str:
        """Begin to let a replica be master of its shard; the job that does it."""
        answer = self._project("POST", f"/instance/{instance}/groups/{group}/replications/{node}/async-switchover")
        return str(answer["job_id"])

    def show_nodes_information(self, instance: str) -> list[Json]:
        """Nodes of an instance, shard by shard, the oldest of each first."""
        return list(self._project("GET", f"/instances/{instance}/logical-nodes")["nodes"])

    def reset_password(self, instance: str, new_password: str | None) -> Json:
        """Set another password, or none at all."""
        free = {"no_password_access": True}
        body = free if new_password is None else {"new_password": new_password, "no_password_access": False}
        return self._project("POST", f"/instances/{instance}/password/reset", body)

    def list_background_tasks(self, instance: str, limit: int = 10) -> list[Json]:
        """Tasks of an instance, the newest first."""
        answer = self._project("GET", f"/instances/{instance}/tasks", query={"offset": 0, "limit": limit})
        return list(answer.get("tasks") or [])

    def delete_background_task(self, instance: str, task: str) -> None:
        """Take a finished task off an instance's list; one that waits for its window is called off."""
        self._project("DELETE", f"/instances/{instance}/tasks/{task}")

    def show_background_task_progress(self, instance: str, task: str) -> Json:
        """How far a task is."""
        return self._project("GET", f"/instances/{instance}/tasks/{task}/progress")

    def show_job_info(self, job: str) -> Json:
        """State of a job."""
        return self._project("GET", f"/jobs/{job}")

    def list_tags_of_tenant(self) -> list[Json]:
        """Every key with its values."""
        return list(self._project("GET", "/dcs/tags")["tags"])

    def show_tags(self, instance: str) -> list[Json]:
        """Tags of an instance."""
        return list(self._project("GET", f"/instances/{instance}/tags")["tags"])

    def batch_create_or_delete_tags(self, instance: str, action: str, tags: list[Json]) -> None:
        """Add tags to an instance (`create`) or remove some of it (`delete`)."""
        self._project("POST", f"/dcs/{instance}/tags/action", {"action": action, "tags": tags})

    def scan_clients(self, instance: str, node: str) -> str:
        """Begin to take a list of a node's sessions; the job that does it."""
        body = {"node_id": node, "clean_cache": True}
        return str(self._project("POST", f"/instances/{instance}/clients", body)["job_id"])

    def list_clients(self, instance: str, node: str, **query: str) -> Iterator[Json]:
        """Every session on a node's last list that matches, page by page."""
        offset = 0
        while True:
            page = self._project(
                "GET",
                f"/instances/{instance}/clients",
                query={"node_id": node, "offset": offset, "limit": PAGE, **query},
            )
            yield from page["clients"]
            offset += PAGE
            if offset >= page["count"]:
                return

    def hang_up_clients(self, instance: str, node: str, addresses: list[str]) -> None:
        """End the sessions of a node that come from these addresses."""
        body = {"node_id": node, "client_addrs": addresses}
        self._project("POST", f"/instances/{instance}/clients/kill", body)

    def hang_up_kill_all_clients(self, instance: str, node: str | None) -> str:
        """Begin to end every session of a node, or of all; the job that does it."""
        body = {"node_id": node, "kill_all_nodes": node is None}
        return str(self._project("POST", f"/instances/{instance}/clients/kill-all", body)["job_id"])

    def list_configurations(self, instance: str) -> Json:
        """Parameters of an instance, and how the last change of them is doing."""
        return self._project("GET", f"/instances/{instance}/configs")

    def update_instance_config(self, instance: str, values: dict[str, str]) -> str:
        """Begin to change parameters; the job that does it."""
        wanted = [{"param_name": name, "param_value": value} for name, value in values.items()]
        return str(
            self._project("PUT", f"/instances/{instance}/async-configs", {"redis_config": wanted})["job_id"]
        )

    def list_config_histories(self, instance: str, limit: int = 10) -> list[Json]:
        """Changes of an instance's parameters, the newest first."""
        query = {"offset": 0, "limit": limit}
        return list(self._project("GET", f"/instances/{instance}/config-histories", query=query)["histories"])

    def show_config_history_detail(self, instance: str, history: str) -> Json:
        """One change, with its values before and after."""
        return self._project("GET", f"/instances/{instance}/config-histories/{history}")

    def list_config_templates(self, kind: str, **filters: str) -> Iterator[Json]:
        """Every template of a kind that matches, page by page."""
        offset = 0
        while True:
            query = {"type": kind, "offset": offset, "limit": PAGE, **filters}
            page = self._project("GET", "/config-templates", query=query)["templates"]
            yield from page
            offset += PAGE
            if len(page) < PAGE:
                return

    def show_config_template(self, template: str, kind: str) -> Json:
        """One template with its parameters."""
        return self._project("GET", f"/config-templates/{template}", query={"type": kind})

    def create_custom_template(self, body: Json) -> str:
        """The id of a new template."""
        return str(self._project("POST", "/config-templates", body)["id"])

    def update_config_template(self, template: str, body: Json) -> None:
        """Change one of the project's own templates."""
        self._project("PUT", f"/config-templates/{template}", body)

    def delete_config_template(self, template: str) -> None:
        """Delete one of the project's own templates."""
        self._project("DELETE", f"/config-templates/{template}")

    def copy_instance(self, instance: str, body: Json) -> str:
        """Begin to back an instance up; the backup."""
        return str(self._project("POST", f"/instances/{instance}/backups", body)["backup_id"])

    def list_backup_records(self, instance: str) -> Iterator[Json]:
        """Every backup of an instance, the newest first, page by page."""
        yield from self._records(f"/instances/{instance}/backups", "backup_record_response")

    def delete_backup_file(self, instance: str, backup: str) -> None:
        """Delete a backup's files."""
        self._project("DELETE", f"/instances/{instance}/backups/{backup}")

    def update_ssl_switch(self, instance: str, *, enabled: bool) -> str:
        """Begin to let clients come by TLS, or without it; the job that does it."""
        return str(self._project("PUT", f"/instances/{instance}/ssl", {"enabled": enabled})["job_id"])

    def show_instance_ssl_detail(self, instance: str) -> Json:
        """How an instance is reached by TLS; nothing while that is off."""
        return self._project("GET", f"/instances/{instance}/ssl")

    def download_ssl_cert(self, instance: str) -> Json:
        """A link to a zip file with what clients of an instance trust."""
        return self._project("POST", f"/instances/{instance}/ssl-certs/download")

    def list_backup_file_links(self, instance: str, backup: str, seconds: int) -> list[Json]:
        """URLs of a backup's files."""
        path = f"/instances/{instance}/backups/{backup}/links"
        return list(self._project("POST", path, {"expiration": seconds})["links"])

    def restore_instance(self, instance: str, body: Json) -> str:
        """Begin to put an instance back; the restoration."""
        return str(self._project("POST", f"/instances/{instance}/restores", body)["restore_id"])

    def list_restore_records(self, instance: str) -> Iterator[Json]:
        """Every restoration of an instance, the newest first, page by page."""
        yield from self._records(f"/instances/{instance}/restores", "restore_record_response")

    def download(self, url: str, file: BinaryIO, advance: Callable[[int], None]) -> None:
        """Write what a link leads to; `advance` is told how many bytes came."""
        try:
            with self._http.stream("GET", url) as answer:
                if answer.is_error:
                    raise CommandFailed(f"A link was refused: HTTP {answer.status_code}.")
                for piece in answer.iter_raw():
                    file.write(piece)
                    advance(len(piece))
        except httpx.HTTPError as exc:
            raise CommandFailed(f"The file did not come: {exc}.") from exc

    def create_migration_task(self, body: Json) -> Json:
        """Begin to import files."""
        return self._project("POST", "/migration-task", body)

    def list_migration_task(self, **filters: str) -> Iterator[Json]:
        """Every migration task that matches, the newest first, page by page."""
        offset = 0
        while True:
            page = self._project("GET", "/migration-tasks", query={"offset": offset, "limit": PAGE, **filters})
            yield from page["migration_tasks"]
            offset += PAGE
            if offset >= page["count"]:
                return

    def show_migration_task(self, task: str) -> Json:
        """One migration task."""
        return self._project("GET", f"/migration-task/{task}")

    def show_migration_task_stats(self, task: str) -> Json:
        """How far a migration task is."""
        return self._project("GET", f"/migration-task/{task}/stats")

    def delete_migration_task(self, tasks: list[str]) -> list[str]:
        """Take tasks that have ended off the list; those that were on it."""
        answer = self._project("DELETE", "/migration-tasks/delete", {"task_id_list": tasks})
        return list(answer["task_id_list"])

    def _records(self, path: str, field: str) -> Iterator[Json]:
        """Records of chapter 4.5; where there are none, there is no answer either."""
        offset = 0
        while page := self._project("GET", path, query={"offset": offset, "limit": PAGE}):
            yield from page[field]
            offset += PAGE
            if offset >= page["total_num"]:
                return

    def show_buckets(self) -> Json:
        """The bucket for uploads, and others that may be imported from."""
        return self._call("GET", f"{self.connection.endpoint}/objects")

    def list_uploads(self, bucket: str, prefix: str) -> list[Json]:
        """The project's uploaded files whose names begin so."""
        url = f"{self.connection.endpoint}/objects/{bucket}"
        return list(self._call("GET", url, query={"prefix": prefix})["files"])

    def upload_file(self, bucket: str, name: str, content: Iterator[bytes], size: int) -> Json:
        """Keep a file of so many bytes under a name, to be imported."""
        headers = {"X-Auth-Token": self._signed_in(), "Content-Length": str(size)}
        return dict(self._send("PUT", self._upload(bucket, name), None, None, headers, content).json())

    def delete_file(self, bucket: str, name: str) -> None:
        """Remove an uploaded file."""
        self._call("DELETE", self._upload(bucket, name))

    def _upload(self, bucket: str, name: str) -> str:
        return f"{self.connection.endpoint}/objects/{bucket}/{self.connection.project_id}/imports/{quote(name)}"

    def list_acl_accounts(self, instance: str) -> list[Json]:
        """Accounts of an instance, `default` first."""
        return list(self._project("GET", f"/instances/{instance}/accounts")["accounts"])

    def create_acl_account(self, instance: str, body: Json) -> None:
        """Begin to make an account."""
        self._project("POST", f"/instances/{instance}/accounts", body)

    def reset_acl_account_pass_word(self, instance: str, account: str, new_password: str) -> Json:
        """Set another password; the code `1` says that it is in force."""
        body = {"new_password": new_password}
        return self._project("PUT", f"/instances/{instance}/accounts/{account}/password/reset", body)

    def update_acl_account(self, instance: str, account: str, role: str) -> str:
        """Begin to change the role; the job that does it."""
        path = f"/instances/{instance}/accounts/{account}/role"
        return str(self._project("PUT", path, {"account_role": role})["job_id"])

    def update_acl_account_remark(self, instance: str, account: str, description: str) -> None:
        """Change the description."""
        self._project("PUT", f"/instances/{instance}/accounts/{account}", {"description": description})

    def delete_acl_account(self, instance: str, account: str) -> None:
        """Begin to delete an account."""
        self._project("DELETE", f"/instances/{instance}/accounts/{account}")

    def show_ip_whitelist(self, instance: str) -> Json:
        """Whose connections the instance takes."""
        return self._project("GET", f"/instance/{instance}/whitelist")

    def update_ip_whitelist(self, instance: str, body: Json) -> None:
        """Write whose connections the instance takes; it is in force when this returns."""
        self._project("PUT", f"/instance/{instance}/whitelist", body)

    def list_flavors(self, **filters: str) -> list[Json]:
        """Flavors that match."""
        return list(self._project("GET", "/flavors", query=filters)["flavors"])

    def list_available_zones(self) -> list[Json]:
        """Availability zones of the region."""
        return list(self._call("GET", f"{self.connection.endpoint}/v2/available-zones")["available_zones"])

    def list_monitored_objects_of_instance(self, instance: str) -> Json:
        """What is monitored of an instance: itself, its nodes and its proxies."""
        query = {"dim_name": "dcs_instance_id"}
        return self._project("GET", f"/dims/monitored-objects/{instance}", query=query)

    def list_metrics(self, dimensions: Dimensions) -> list[Json]:
        """What is measured of an instance and, if there is one among the dimensions, of its node alone."""
        found: list[Json] = []
        query: Json = _dimensions(dimensions) | {"limit": 1000}
        while True:
            page = self._cloud_eye("/metrics", query)
            found += page["metrics"]
            if not page["metrics"] or len(found) >= page["meta_data"]["total"]:
                return found
            query["start"] = page["meta_data"]["marker"]

    def show_metric_data(self, metric: str, dimensions: Dimensions, **course: int | str) -> list[Json]:
        """The course of one figure: `from` and `to` in milliseconds, `period` in seconds, `filter`."""
        query = {"namespace": "SYS.DCS", "metric_name": metric} | _dimensions(dimensions) | course
        return list(self._cloud_eye("/metric-data", query)["datapoints"])

    def show_quota_of_tenant(self) -> list[Json]:
        """Limits of the project and what is used."""
        return list(self._project("GET", "/quota")["quotas"]["resources"])

    def identity(self, method: str, path: str, body: Json | None = None, query: Json | None = None) -> Json:
        """A call of the identity API."""
        return self._call(method, self.connection.iam_endpoint + path, body, query)

    def list_traces(self, begin: int, end: int, limit: int, **filters: str) -> list[Json]:
        """The newest traces from one time to another, in milliseconds, page by page."""
        url = f"{self.connection.endpoint}/v3/{self.connection.project_id}/traces"
        query: Json = {"from": begin, "to": end, **filters}
        found: list[Json] = []
        while len(found) < limit:
            page = self._call("GET", url, query=query | {"limit": min(PAGE, limit - len(found))})
            found += page["traces"]
            if not page["traces"]:
                break
            query["next"] = page["meta_data"]["marker"]
        return found

    def _cloud_eye(self, path: str, query: Json) -> Json:
        base = f"{self.connection.endpoint}/V1.0/{self.connection.project_id}"
        return self._call("GET", base + path, query=query)

    def _project(self, method: str, path: str, body: Json | None = None, query: Json | None = None) -> Json:
        base = f"{self.connection.endpoint}/v2/{self.connection.project_id}"
        return self._call(method, base + path, body, query)

    def _call(self, method: str, url: str, body: Json | None = None, query: Json | None = None) -> Json:
        answer = self._send(method, url, body, query, {"X-Auth-Token": self._signed_in()})
        return dict(answer.json()) if answer.content else {}

    def _signed_in(self) -> str:
        if self._token is None:
            self._token = self._log_in()
        return self._token

    def _log_in(self) -> str:
        here = self.connection
        user = {"name": here.user, "password": here.password, "domain": {"name": here.domain}}
        identity = {"methods": ["password"], "password": {"user": user}}
        body = {"auth": {"identity": identity, "scope": {"project": {"id": here.project_id}}}}
        return self._send("POST", f"{here.iam_endpoint}/v3/auth/tokens", body).headers["X-Subject-Token"]

    def _send(
        self,
        method: str,
        url: str,
        body: Json | None,
        query: Json | None = None,
        headers: Json | None = None,
        content: Iterator[bytes] | None = None,
    ) -> httpx.Response:
        try:
            answer = self._http.request(method, url, json=body, params=query, headers=headers, content=content)
            deadline = time.monotonic() + _PATIENCE
            # What was refused so was not begun. A stream cannot be sent twice.
            while content is None and (pause := _pause_before_next(answer, deadline - time.monotonic())):
                time.sleep(pause)
                answer = self._http.request(method, url, json=body, params=query, headers=headers)
        except httpx.ConnectError as exc:
            raise CommandFailed(
                f"No service answers at {self.connection.endpoint}.",
                advice="`cachestead up` starts one; `cachestead doctor` looks for what is wrong.",
            ) from exc
        except httpx.HTTPError as exc:
            raise CommandFailed(f"The service did not answer {method} {url}: {exc}.") from exc
        if answer.is_error:
            raise _refusal(answer)
        return answer


def _dimensions(dimensions: Dimensions) -> Json:
    return {f"dim.{n}": f"{name},{value}" for n, (name, value) in enumerate(dimensions.items())}


def _pause_before_next(answer: httpx.Response, patience: float) -> float:
    """Seconds after which to ask again who was told that it is too early; 0 to take the answer as it is."""
    again = answer.headers.get("Retry-After", "")
    if answer.status_code != httpx.codes.TOO_MANY_REQUESTS or not again.isdecimal():
        return 0
    pause = float(again) or _SHORTEST_PAUSE
    return pause if pause <= patience else 0


def _refusal(answer: httpx.Response) -> Refused:
    request_id = answer.headers.get("X-Request-Id")
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        body = {}
    nested = body.get("error") if isinstance(body.get("error"), dict) else {}
    code = body.get("error_code") or (nested or {}).get("code") or f"HTTP {answer.status_code}"
    message = body.get("error_msg") or (nested or {}).get("message") or answer.reason_phrase
    return Refused(answer.status_code, str(code), str(message), body.get("error_ext_msg"), request_id)
