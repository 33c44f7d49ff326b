"""Moving an instance address when the control plane is not there: the program that Sentinel runs on a failover.

Stands alone: standard library only, run with `python -IS`, because it must work whatever has become of everything
else. It reads what the control plane wrote for the shard (`vip_script.py`), binds the instance address on the node
that Sentinel promoted and, if the old master still holds it, makes that one let go: politely while it answers, by
ending the process if it does not. Only the Sentinel that leads the failover acts, and every act may be repeated.

Arguments: the endpoints folder, then Sentinel's <name> <role> <state> <from-ip> <from-port> <to-ip> <to-port>.
Exit status 1 asks Sentinel to try again.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

TRY_SECONDS = 30.0
"""Sentinel ends a script after 60 s."""
POLL_SECONDS = 0.02
ANSWER_SECONDS = 0.5
AGAIN, DONE = 1, 0

Endpoint = dict[str, Any]
Node = dict[str, Any]


class NoAnswer(Exception):
    """The node cannot be reached or does not speak."""


def main(arguments: list[str]) -> int:
    """Sentinel's call."""
    folder, name, role, _, from_ip, from_port, to_ip, to_port = arguments
    if role != "leader":
        return DONE
    try:
        endpoint: Endpoint = json.loads((Path(folder) / f"{name}.json").read_text())
    except FileNotFoundError:
        # The instance has no address of its own, or is being removed.
        return DONE
    new, old = find_node(endpoint, to_ip, to_port), find_node(endpoint, from_ip, from_port)
    return DONE if new is None or move(endpoint, new, old) else AGAIN


def find_node(endpoint: Endpoint, address: str, port: str) -> Node | None:
    """The shard's node with this address."""
    nodes: list[Node] = endpoint["nodes"]
    return next((node for node in nodes if (node["address"], str(node["port"])) == (address, port)), None)


def move(endpoint: Endpoint, new: Node, old: Node | None) -> bool:
    """Whether the new master listens on the instance address in the end."""
    deadline = time.monotonic() + TRY_SECONDS
    while time.monotonic() < deadline:
        try:
            answer = set_bind(endpoint, new, f"{new['address']} {endpoint['vip']}")
        except NoAnswer:
            answer = "-no answer"
        if answer.startswith("+OK"):
            return True
        if "bind" in answer.lower() or "listen" in answer.lower():
            make_let_go(endpoint, old)
        time.sleep(POLL_SECONDS)
    return False


def make_let_go(endpoint: Endpoint, old: Node | None) -> None:
    """The old master does not listen on the instance address: it is told to, or ended if it does not answer."""
    if old is None:
        return
    try:
        set_bind(endpoint, old, old["address"])
    except NoAnswer:
        end_process(Path(old["folder"]))


def end_process(folder: Path) -> None:
    """Kill the process that the node's record names, if it is still that one."""
    try:
        record = json.loads((folder / "node.json").read_text())
        pid = int(record["pid"])
        if started(pid) == record["started"]:
            os.kill(pid, signal.SIGKILL)
    except (OSError, ValueError, KeyError, TypeError):
        return


def started(pid: int) -> str:
    """When a process started, as its node's record has it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split(" ")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{fields[19]}"


def set_bind(endpoint: Endpoint, node: Node, addresses: str) -> str:
    """The node's answer to the new bind list; raises `NoAnswer`."""
    commands = [[endpoint["config"], "SET", "bind", addresses]]
    if endpoint.get("secret"):
        login = [endpoint["user"]] if endpoint.get("user") else []
        commands.insert(0, ["AUTH", *login, endpoint["secret"]])
    try:
        with socket.create_connection((node["address"], node["port"]), ANSWER_SECONDS) as connection:
            connection.settimeout(ANSWER_SECONDS)
            with connection.makefile("rb") as answers:
                for command in commands:
                    connection.sendall(packed(command))
                    answer = answers.readline()
    except OSError as error:
        raise NoAnswer from error
    if not answer:
        raise NoAnswer
    return answer.decode(errors="replace")


def packed(command: list[str]) -> bytes:
    """A command as the engine reads it."""
    parts = [word.encode() for word in command]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
