"""What is done with a request that is not the usual one.

It is checked as an engine would, then handed to who answers it. Commands that the proxy answers, spreads or guards
register here by name: `@immediate` ones answer at once, or later through their entry; `@alone` ones are coroutines
that have the client's connection for themselves. All others are passed on by their keys.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachestead.proxy.batches import Batch, Entry, put
from cachestead.proxy.commands import Command
from cachestead.proxy.framing import Frame, arguments, pack
from cachestead.proxy.replies import error, not_permitted, unknown_command, unknown_subcommand, wrong_arity

if TYPE_CHECKING:
    from cachestead.proxy.session import ClientBatch, Session

NO_LOGIN = error("NOAUTH Authentication required.")
BEFORE_LOGIN = frozenset({"auth", "hello", "quit", "reset"})
FOR_CONTROL = frozenset(
    {"auth", "client", "config", "echo", "hello", "info", "latency", "ping", "proxy", "quit", "slowlog"}
)
"""What may be called at the proxy's own address."""
WHILE_LISTENING = frozenset(
    {
        "subscribe",
        "unsubscribe",
        "psubscribe",
        "punsubscribe",
        "ssubscribe",
        "sunsubscribe",
        "ping",
        "quit",
        "reset",
    }
)


class Closing(Exception):
    """The connection ends after this last reply."""


@dataclass(slots=True)
class Call:
    """A request, taken apart."""

    session: Session
    batch: Batch | None
    index: int
    command: Command
    words: list[bytes]
    raw: bytes

    @classmethod
    def of(cls, session: Session, frame: Frame, batch: Batch | None = None, index: int = 0) -> Call:
        """The call a frame makes; of a command that is known to be there."""
        words = arguments(frame[0])
        command = session.proxy.vocabulary.find(words)
        assert command is not None
        raw = frame[0]
        if command.renamed:
            raw = pack(command.name.partition("|")[0].encode(), *words[1:])
        return cls(session, batch, index, command, words, raw)

    @property
    def entry(self) -> Entry:
        """The same, on its way as it is."""
        assert self.batch is not None
        return self.batch, self.index, self.command, self.raw

    @property
    def protocol(self) -> int:
        """The protocol the client speaks."""
        return self.session.style.protocol

    def option(self, place: int) -> str:
        """An argument as a keyword, empty where there is none."""
        return self.words[place].decode(errors="replace").upper() if place < len(self.words) else ""

    async def run(self) -> bytes:
        """The reply of a call that has the connection for itself."""
        if (refusal := refuse(self)) is not None:
            return _refused(self, refusal)
        handler = ALONE.get(self.command.name) or ALONE.get(self.words[0].decode(errors="replace").lower())
        return await (handler or BLOCKING)(self)


Immediate = Callable[[Call], bytes | None]
Alone = Callable[[Call], Awaitable[bytes]]
IMMEDIATE: dict[str, Immediate] = {}
ALONE: dict[str, Alone] = {}


def immediate(*names: str) -> Callable[[Immediate], Immediate]:
    """Registers who answers these commands at once (bytes) or through the call's entry (None)."""

    def register(handler: Immediate) -> Immediate:
        IMMEDIATE.update(dict.fromkeys(names, handler))
        return handler

    return register


def alone(*names: str) -> Callable[[Alone], Alone]:
    """Registers who answers these commands with the connection to themselves."""

    def register(handler: Alone) -> Alone:
        ALONE.update(dict.fromkeys(names, handler))
        return handler

    return register


def whole_number(word: bytes) -> int | None:
    """The number an argument says, as strictly as an engine reads it: no sign but a minus, no zeros before it."""
    digits = word.removeprefix(b"-")
    if not digits.isdigit() or (digits[:1] == b"0" and word != b"0"):
        return None
    number = int(word)
    return number if -(2**63) <= number < 2**63 else None


async def _blocking(call: Call) -> bytes:
    from cachestead.proxy.blocking import run_blocking  # noqa: PLC0415 - it needs what is defined above

    return await run_blocking(call)


BLOCKING: Alone = _blocking


def run_alone(session: Session, frame: Frame) -> bool:
    """Whether the request has to have the connection for itself."""
    if not frame[0]:
        return frame[2] > 0
    command = session.proxy.vocabulary.get(frame[1])
    if command is None:
        return False
    if session.transaction is not None and session.transaction.is_open:
        return command.name in _ENDS_TRANSACTION
    return command.name in ALONE or command.blocks


_ENDS_TRANSACTION = frozenset({"exec", "discard", "reset"})


def answer(session: Session, batch: ClientBatch, index: int, frame: Frame) -> bool:
    """Answer a request or send it on its way; False if it has to wait for its turn."""
    raw, name, argc, _ = frame
    command = session.proxy.vocabulary.get(name)
    reply: bytes | None
    if raw and session.is_plain and command is not None and command.handler is not None and command.takes(argc):
        # Nothing of the client's state matters.
        batch.commands.append(command)
        reply = command.handler(Call(session, batch, index, command, arguments(raw), raw))
    elif session.is_closing or session.is_deaf:
        reply = b""
    elif run_alone(session, frame):
        return False
    elif not raw:
        session.end_after()
        reply = error(f"ERR {name.decode()}")
    elif command is None:
        if session.transaction is not None:
            session.transaction.spoil()
        reply = unknown_command(arguments(raw))
    else:
        call = Call.of(session, frame, batch, index)
        batch.commands.append(call.command)
        refusal = refuse(call)
        reply = _answered(call) if refusal is None else _refused(call, refusal)
    if reply is not None:
        put((batch, index, command or _UNKNOWN, raw), reply)
    return True


def _answered(call: Call) -> bytes | None:
    session = call.session
    if session.transaction is not None and session.transaction.is_open and call.command.name != "quit":
        return session.transaction.queue(call)
    handler = IMMEDIATE.get(call.command.name) or IMMEDIATE.get(call.command.name.partition("|")[0])
    if handler is not None:
        return handler(call)
    return pass_on(call)


def pass_on(call: Call, *, only_reads: bool = False) -> bytes | None:
    """To the shard of the call's keys, all of which have to be there; to any where there are none."""
    router = call.session.router
    slot = router.keys_slot(call.words[place] for place in call.command.keys(call.words))
    if isinstance(slot, tuple):
        return not_same_slot(*slot)
    # Who watches keys decides by what it reads: that has to be the master's word.
    from_master = call.session.transaction is not None or (call.session.keeps_to_master and not only_reads)
    router.send(call.entry, call.session.style, call.words, from_master=from_master, only_reads=only_reads)
    return None


def not_same_slot(first: bytes, second: bytes) -> bytes:
    """What is said of keys that only different shards could serve (service limits, 13.3)."""
    shown = [key.decode(errors="surrogateescape") for key in (first, second)]
    return error(f"ERR '{shown[0]}' and '{shown[1]}' not in the same slot")


def refuse(call: Call) -> bytes | None:  # noqa: PLR0911 - one reason after the other
    """Why the call is not done, in the order an engine looks; None if it is."""
    session, command, words = call.session, call.command, call.words
    if session.proxy.vocabulary.refuses(command) and not session.is_admin:
        return unknown_command(words)
    if command.subcommands and len(words) > 1:
        return unknown_subcommand(words)
    if not command.takes(len(words)):
        return wrong_arity(command.name)
    if not session.is_authenticated and command.name not in BEFORE_LOGIN:
        return NO_LOGIN
    if session.is_admin:
        return None if command.name.partition("|")[0] in FOR_CONTROL else unknown_command(words)
    if session.reads_only and "write" in command.flags:
        return not_permitted(session.user, command.name)
    if session.subscriptions is not None and call.protocol == 2 and command.name not in WHILE_LISTENING:
        return error(
            f"ERR Can't execute '{command.name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
            "are allowed in this context"
        )
    return None


def _refused(call: Call, refusal: bytes) -> bytes:
    """A transaction that was told an error while it was put together will not be done."""
    session = call.session
    if session.transaction is not None:
        session.transaction.spoil()
    if call.command.name != "exec" or not refusal.startswith(b"-ERR "):
        return refusal
    if session.transaction is not None:
        session.transaction.close()
        session.transaction = None
        session.settle()
    return b"-EXECABORT Transaction discarded because of: " + refusal[5:]


_UNKNOWN = Command("unknown")
