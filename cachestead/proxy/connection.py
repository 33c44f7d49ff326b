"""Commands about the connection itself: who the client is, what it speaks, which clients there are."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import TYPE_CHECKING

from cachestead.proxy.backends import Style
from cachestead.proxy.calls import Call, alone, immediate, pass_on, whole_number
from cachestead.proxy.configuration import ADMIN_USER, DEFAULT_USER
from cachestead.proxy.replies import (
    OK,
    PONG,
    array,
    bulk,
    encode,
    error,
    integer,
    unknown_subcommand,
    verbatim,
)

if TYPE_CHECKING:
    from cachestead.proxy.session import Session

WRONG_PASSWORD = error("WRONGPASS invalid username-password pair or user is disabled.")
NO_PASSWORD = error(
    "ERR AUTH <password> called without any password configured for the default user. "
    "Are you sure your configuration is correct?"
)
NOT_LOGGED_IN = error(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> "
    "<pass> option can be used to authenticate the client and select the RESP protocol version at the same time"
)
NOT_A_NUMBER = error("ERR value is not an integer or out of range")
BAD_NAME = error("ERR Client names cannot contain spaces, newlines or special characters.")
TYPES = ("normal", "master", "replica", "slave", "pubsub")


@immediate("ping")
def ping(call: Call) -> bytes:
    """PONG, or what was sent; a listening client of RESP2 gets a message."""
    if call.session.subscriptions is not None and call.protocol == 2:
        return array([bulk(b"pong"), bulk(call.words[1] if len(call.words) > 1 else b"")])
    return bulk(call.words[1]) if len(call.words) > 1 else PONG


@immediate("echo")
def echo(call: Call) -> bytes:
    """What was sent."""
    return bulk(call.words[1])


@immediate("quit")
def quit_(call: Call) -> bytes:
    """The last reply."""
    call.session.end_after()
    return OK


@alone("auth")
async def auth(call: Call) -> bytes:
    """Log in: `AUTH password` as `default`, with a user's name, or with both in one: `AUTH name:password`."""
    if len(call.words) > 3:
        return error("ERR syntax error")
    if len(call.words) == 2:
        if call.session.proxy.configuration.password_hash is None and not call.session.is_admin:
            return NO_PASSWORD
        return OK if _log_in(call.session, DEFAULT_USER, call.words[1]) else WRONG_PASSWORD
    user = call.words[1].decode(errors="replace")
    return OK if _log_in(call.session, user, call.words[2]) else WRONG_PASSWORD


def _log_in(session: Session, user: str, password: bytes) -> bool:
    name, colon, rest = password.partition(b":")
    if _is_right(session, user, password):
        session.user = user
    elif colon and user == DEFAULT_USER and _is_right(session, account := name.decode(errors="replace"), rest):
        # Clients that only know of a password name the account in it.
        session.user = account
    else:
        session.proxy.statistics.failed_logins += 1
        return False
    session.accept()
    return True


def _is_right(session: Session, user: str, password: bytes) -> bool:
    configuration, wanted = session.proxy.configuration, ""
    if session.is_admin:
        wanted = configuration.admin_hash if user == ADMIN_USER else ""
    elif user == DEFAULT_USER:
        if configuration.password_hash is None:
            return True
        wanted = configuration.password_hash
    elif (account := configuration.accounts.get(user)) is not None:
        wanted = account.password_hash
    return hmac.compare_digest(hashlib.sha256(password).hexdigest(), wanted)


@alone("hello")
async def hello(call: Call) -> bytes:
    """Choose the protocol, log in and give a name, all in one."""
    session, words = call.session, call.words
    protocol = session.style.protocol
    if len(words) > 1:
        wanted = whole_number(words[1])
        if wanted is None:
            return error("ERR Protocol version is not an integer or out of range")
        if (protocol := wanted) not in (2, 3):
            return error("NOPROTO unsupported protocol version")
    if (refusal := _hello_options(call)) is not None:
        return refusal
    session.style = session.style._replace(protocol=protocol)
    session.settle()
    engine = session.router.lookout.facts
    facts = {
        "server": engine.get("server_name", "redis"),
        "version": engine.get("valkey_version") or engine.get("redis_version", "7.0.0"),
        "proto": protocol,
        "id": session.id,
        "mode": "standalone",
        "role": "master",
        "modules": [],
    }
    return encode(facts, protocol)


def _hello_options(call: Call) -> bytes | None:
    """Log in and take a name, as far as HELLO says so; what is wrong with it, if anything."""
    session, words, name, place = call.session, call.words, call.session.name.encode(errors="surrogateescape"), 2
    while place < len(words):
        option = call.option(place)
        if option == "AUTH" and place + 2 < len(words):
            if not _log_in(session, words[place + 1].decode(errors="replace"), words[place + 2]):
                return WRONG_PASSWORD
            place += 3
        elif option == "SETNAME" and place + 1 < len(words):
            name = words[place + 1]
            if not _is_name(name):
                return BAD_NAME
            place += 2
        else:
            return error(f"ERR Syntax error in HELLO option '{words[place].decode(errors='replace')}'")
    if not session.is_authenticated:
        return NOT_LOGGED_IN
    session.name = name.decode(errors="surrogateescape")
    return None


@alone("select")
async def select(call: Call) -> bytes:
    """Choose a database, where there are several."""
    number = whole_number(call.words[1])
    if number is None:
        return NOT_A_NUMBER
    if not -(2**31) <= number < 2**31:
        return error("ERR value is out of range, value must between -2147483648 and 2147483647")
    if not 0 <= number < call.session.proxy.configuration.databases:
        return error("ERR DB index is out of range")
    call.session.style = call.session.style._replace(database=number)
    call.session.settle()
    return OK


@alone("reset")
async def reset(call: Call) -> bytes:
    """As if the client had just come."""
    session = call.session
    if session.transaction is not None:
        session.transaction.close()
    if session.subscriptions is not None:
        session.subscriptions.close()
    session.transaction = session.subscriptions = None
    session.style, session.name, session.no_evict = Style(), "", False
    session.is_authenticated = False
    session.proxy.greet(session)
    return b"+RESET\r\n"


@immediate("client|id")
def client_id(call: Call) -> bytes:
    """The client's number."""
    return integer(call.session.id)


@immediate("client|getname")
def client_getname(call: Call) -> bytes:
    """The client's name, nothing if it has none."""
    return encode(call.session.name or None, call.protocol)


@immediate("client|setname")
def client_setname(call: Call) -> bytes:
    """Give the client a name."""
    if not _is_name(call.words[2]):
        return BAD_NAME
    call.session.name = call.words[2].decode(errors="surrogateescape")
    return OK


@immediate("client|no-evict", "client|no-touch")
def client_no_evict(call: Call) -> bytes:
    """Accepted: a proxy evicts no clients."""
    return OK if call.option(2) in ("ON", "OFF") else error("ERR syntax error")


@immediate("client|info")
def client_info(call: Call) -> bytes:
    """The client's own line of CLIENT LIST."""
    return verbatim(describe(call.session) + "\n", call.protocol)


@immediate("client")
def client_other(call: Call) -> bytes | None:
    """Subcommands that only make sense on a server; what there are, the engine tells."""
    return pass_on(call) if call.option(1) == "HELP" else unknown_subcommand(call.words)


def _is_name(name: bytes) -> bool:
    return all(33 <= byte <= 126 for byte in name)


@immediate("client|setinfo")
def client_setinfo(call: Call) -> bytes:
    """The client library's name and version, which it tells by itself."""
    attribute, value, shown = call.option(2), call.words[3], call.words[2].decode(errors="surrogateescape")
    if attribute not in ("LIB-NAME", "LIB-VER"):
        return error(f"ERR Unrecognized option '{shown}'")
    if not _is_name(value):
        return error(f"ERR {shown} cannot contain spaces, newlines or special characters.")
    if attribute == "LIB-NAME":
        call.session.library = value.decode()
    else:
        call.session.library_version = value.decode()
    return OK


@immediate("client|list")
def client_list(call: Call) -> bytes:
    """The clients of this proxy, a line each."""
    sessions = call.session.proxy.clients()
    if len(call.words) > 2:
        option, values = call.option(2), [word.decode(errors="replace") for word in call.words[3:]]
        if option == "TYPE" and len(values) == 1:
            if values[0].lower() not in TYPES:
                return error(f"ERR Unknown client type '{values[0]}'")
            sessions = [session for session in sessions if _type(session) == values[0].lower()]
        elif option == "ID" and values:
            if not all(value.isdigit() for value in values):
                return error("ERR Invalid client ID")
            sessions = [session for session in sessions if str(session.id) in values]
        else:
            return error("ERR syntax error")
    return verbatim("".join(describe(session) + "\n" for session in sessions), call.protocol)


def _type(session: Session) -> str:
    return "normal" if session.subscriptions is None else "pubsub"


def describe(session: Session) -> str:
    """A client as CLIENT LIST shows it."""
    now = time.monotonic()
    subscriptions, transaction = session.subscriptions, session.transaction
    flags = "P" if subscriptions else "N"
    if transaction is not None and transaction.is_open:
        flags = "x"
    elif session.task is not None and session.last_command not in ("client", "auth", "hello"):
        flags = "b"
    counts = subscriptions.counts if subscriptions else (0, 0, 0)
    queued = len(transaction.queued) if transaction is not None and transaction.is_open else -1
    watched = 1 if transaction is not None and transaction.watched is not None else 0
    waiting, held = session.waiting_output, session.framer.held
    return (
        f"id={session.id} addr={session.peer} laddr={session.local} fd={session.descriptor} name={session.name} "
        f"age={now - session.began:.0f} idle={now - session.active:.0f} flags={flags} capa= "
        f"db={session.style.database} sub={counts[0]} psub={counts[1]} ssub={counts[2]} multi={queued} "
        f"watch={watched} qbuf={held} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 "
        f"oll={1 if waiting else 0} omem={waiting} tot-mem={held + waiting} "
        f"events=r cmd={session.last_command} user={session.user} redir=-1 resp={session.style.protocol} "
        f"lib-name={session.library} lib-ver={session.library_version} "
        f"tot-net-in={session.bytes_in} tot-net-out={session.bytes_out} tot-cmds={session.commands}"
    )


@immediate("client|kill")
def client_kill(call: Call) -> bytes:  # noqa: PLR0911 - each way of being wrong has its own words
    """End connections: one by its address, or all that every filter fits."""
    words = [word.decode(errors="replace") for word in call.words[2:]]
    if len(words) == 1:
        chosen = [session for session in call.session.proxy.clients() if session.peer == words[0]]
        if not chosen:
            return error("ERR No such client")
        _end(call, chosen)
        return OK
    filters, skip_me = {}, True
    for option, value in zip(words[::2], words[1::2], strict=False):
        match option.upper():
            case "SKIPME" if value.lower() in ("yes", "no"):
                skip_me = value.lower() == "yes"
            case "ID" if not value.isdigit() or not int(value):
                return error("ERR client-id should be greater than 0")
            case "TYPE" if value.lower() not in TYPES:
                return error(f"ERR Unknown client type '{value}'")
            case "ID" | "ADDR" | "LADDR" | "TYPE" | "USER" | "MAXAGE":
                filters[option.upper()] = value
            case _:
                return error("ERR syntax error")
    if len(words) % 2:
        return error("ERR syntax error")
    user = filters.get("USER", DEFAULT_USER)
    if user != DEFAULT_USER and user not in call.session.proxy.configuration.accounts:
        return error(f"ERR No such user '{user}'")
    chosen = [
        session
        for session in call.session.proxy.clients()
        if _matches(session, filters) and not (skip_me and session is call.session)
    ]
    _end(call, chosen)
    return integer(len(chosen))


def _matches(session: Session, filters: dict[str, str]) -> bool:
    facts = {
        "ID": str(session.id),
        "ADDR": session.peer,
        "LADDR": session.local,
        "TYPE": _type(session),
        "USER": session.user,
    }
    return all(
        time.monotonic() - session.began >= float(value)
        if name == "MAXAGE"
        else facts[name] == (value if name == "USER" else value.lower())
        for name, value in filters.items()
    )


def _end(call: Call, sessions: list[Session]) -> None:
    for session in sessions:
        if session is call.session:
            session.end_after()
        else:
            session.kill()
