"""The commands as this instance's clients know them: without those refused, under the names they were given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cachestead.proxy.calls import ALONE, IMMEDIATE
from cachestead.proxy.commands import Command, CommandTable
from cachestead.proxy.configuration import ProxyConfiguration

_PAST = "it would lead past the proxy, or take a data node out of the control plane's hands"
_FILES = "it is about a server and its files; data nodes are the control plane's"
_CLUSTER = "clients see no cluster"
_SHARED = "clients share the proxy's connections, so no data node knows who has read what"
_ONE = "it holds up a whole server or the clients of one; there are several"
SHIELDED: Mapping[str, str] = (
    dict.fromkeys(("debug", "migrate", "module", "monitor", "psync", "replconf", "restore-asking", "sync"), _PAST)
    | dict.fromkeys(("acl", "failover", "replicaof", "shutdown", "slaveof", "swapdb"), _PAST)
    | dict.fromkeys(("bgrewriteaof", "bgsave", "save"), _FILES)
    | dict.fromkeys(("config|resetstat", "config|rewrite", "config|set"), _FILES)
    | dict.fromkeys(("asking", "readonly", "readwrite"), _CLUSTER)
    | dict.fromkeys(("client|caching", "client|getredir", "client|tracking", "client|trackinginfo"), _SHARED)
    | dict.fromkeys(("client|pause", "client|unblock", "client|unpause"), _ONE)
    | {
        "client|capa": "a client that can be redirected has nowhere to go: " + _CLUSTER,
        "client|import-source": "keys are imported by the control plane",
        "client|reply": "replies are what a proxy puts requests in order by",
    }
)
"""Commands that are refused whatever the instance's version allows, and why."""

_OWN = {"icluster": -2, "proxy": -2, "sentinel": -2}
"""Commands that no engine has, with their arity."""
_AT_START = {
    "auth": -2, "client": -2, "config": -2, "echo": 2, "hello": -1, "info": -1, "latency": -2, "ping": -1,
    "quit": -1, "slowlog": -2,
}  # fmt: skip
"""What the control plane may call before any data node has said what it knows."""


class Vocabulary:
    """Commands by the name that clients use, in lower case."""

    def __init__(self, table: CommandTable | None, configuration: ProxyConfiguration) -> None:
        self._table = table or CommandTable(
            {name.encode(): Command(name, arity) for name, arity in _AT_START.items()}
        )
        self._refused = configuration.refused | SHIELDED.keys()
        renamed = {old.lower(): new.lower() for old, new in configuration.renamed.items()}
        self._commands: dict[bytes, Command] = {}
        for command in self._table:
            name = command.name
            command.renamed = name.partition("|")[0] in renamed
            is_simple = not command.renamed and self._is_simple(command)
            command.handler = IMMEDIATE.get(name) if is_simple else None
            command.fast = is_simple and command.handler is None and command.has_one_key
            if "|" not in name:
                self._commands[renamed.get(name, name).encode()] = command
        self._commands |= {name.encode(): Command(name, arity) for name, arity in _OWN.items()}
        self.get = self._commands.get
        self._names = self._commands.keys() | {command.name.encode() for command in self._table}
        self.usual = {name: command for name, command in self._commands.items() if command.fast}
        """Those of which one key, the first argument, is all there is to know."""
        self.usual_reads = {name: command for name, command in self.usual.items() if command.reads}
        """The same for clients that only read."""

    def find(self, words: Sequence[bytes]) -> Command | None:
        """The command of a request, or its subcommand; of an unknown subcommand the command."""
        command = self.get(words[0].lower())
        if command is None or not command.subcommands or len(words) < 2:
            return command
        return command.subcommands.get(words[1].lower(), command)

    def knows(self, name: bytes) -> bool:
        """Whether a command or subcommand has this name, for clients or for engines."""
        return name in self._names

    def refuses(self, command: Command) -> bool:
        """Whether tenants may not call it."""
        return command.name in self._refused or command.name.partition("|")[0] in self._refused

    def __iter__(self) -> Iterator[Command]:
        """All commands and subcommands of the engine."""
        return iter(self._table)

    def _is_simple(self, command: Command) -> bool:
        is_alone = command.name in ALONE or command.blocks
        return not (is_alone or command.subcommands or self.refuses(command))
