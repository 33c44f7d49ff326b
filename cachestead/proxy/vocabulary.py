"""The commands as this instance's clients know them: without those refused, under the names they were given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cachestead.proxy.calls import ALONE, IMMEDIATE
from cachestead.proxy.commands import Command, CommandTable, KeySpec
from cachestead.proxy.configuration import Layout, ProxyConfiguration
from cachestead.proxy.keyspace import SPLIT

_SHIELDED = frozenset(
    """
    acl asking bgrewriteaof bgsave debug failover migrate module monitor psync readonly readwrite replconf replicaof
    restore-asking save shutdown slaveof swapdb sync
    """.split()  # noqa: SIM905 - a list of words reads better
)
"""Commands that would let a client reach past the proxy or take data nodes out of its hands: refused whatever the
instance's version allows."""

_OWN = {"icluster": -2, "proxy": -2}
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
        self._refused = configuration.refused | _SHIELDED
        renamed = {old.lower(): new.lower() for old, new in configuration.renamed.items()}
        self._commands: dict[bytes, Command] = {}
        for command in self._table:
            name = command.name
            command.renamed = name.partition("|")[0] in renamed
            command.fast = not command.renamed and self._is_fast(command, configuration.layout)
            if "|" not in name:
                self._commands[renamed.get(name, name).encode()] = command
        self._commands |= {name.encode(): Command(name, arity) for name, arity in _OWN.items()}
        self.get = self._commands.get

    def find(self, words: Sequence[bytes]) -> Command | None:
        """The command of a request, or its subcommand; of an unknown subcommand the command."""
        command = self.get(words[0].lower())
        if command is None or not command.subcommands or len(words) < 2:
            return command
        return command.subcommands.get(words[1].lower(), command)

    def refuses(self, command: Command) -> bool:
        """Whether tenants may not call it."""
        return command.name in self._refused or command.name.partition("|")[0] in self._refused

    def __iter__(self) -> Iterator[Command]:
        """All commands and subcommands of the engine."""
        return iter(self._table)

    def _is_fast(self, command: Command, layout: Layout) -> bool:
        special = command.name in ALONE or (command.name in IMMEDIATE and command.name not in SPLIT)
        if special or command.blocks or command.subcommands or not command.key_specs or self.refuses(command):
            return False
        if layout is Layout.REPLICATED:
            return True
        return command.name not in SPLIT and command.key_specs == (KeySpec(index=1),)
