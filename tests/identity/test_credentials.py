"""The vault, passwords, tokens and actions: each promise on its own."""

import json
import stat

import pytest
from contract import contract_file

from cachestead.domain.policies import Subject
from cachestead.domain.roles import Permissions
from cachestead.errors import InvalidToken, PolicyNotAllowed, ReadOnlyTenant, RoleNotAllowed, TokenExpired
from cachestead.identity.actions import ACTIONS, OTHER_ACTIONS, check_allowed, is_allowed
from cachestead.identity.callers import Caller
from cachestead.identity.passwords import hash_password, is_password, password_stamp
from cachestead.identity.secrets import Vault, VaultError
from cachestead.identity.system_roles import find_system_role, system_roles
from cachestead.identity.tokens import Tokens


def caller(*roles):
    found = tuple(find_system_role(role) for role in roles)
    return Caller("u", "user", "d", "domain", "p", "project", Permissions(found, found))


ANY = [Subject("dcs:local-1:d:instance:*")]


# --- vault ---------------------------------------------------------------------------------------------------------


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path):
    sealed = Vault.at(tmp_path).seal({"password": "geheim"})

    assert Vault.at(tmp_path).open(sealed) == {"password": "geheim"}
    assert stat.S_IMODE((tmp_path / "keys" / "vault.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["vault.key"]


def test_what_is_sealed_shows_nothing(tmp_path):
    vault = Vault.at(tmp_path)

    assert "geheim" not in vault.seal({"password": "geheim"})
    assert (tmp_path / "keys" / "vault.key").read_text().strip() not in repr(vault)


def test_another_key_or_a_changed_text_opens_nothing(tmp_path):
    vault, other = Vault.at(tmp_path / "a"), Vault.at(tmp_path / "b")
    sealed = vault.seal({"password": "geheim"})

    for text in (sealed[:-4] + "AAA=", "", "gibberish"):
        with pytest.raises(VaultError):
            vault.open(text)
    with pytest.raises(VaultError):
        other.open(sealed)


def test_a_new_first_key_seals_and_the_old_one_still_opens(tmp_path):
    old = Vault.at(tmp_path).seal({"n": 1})
    file = tmp_path / "keys" / "vault.key"
    Vault.at(tmp_path / "other")
    file.write_text((tmp_path / "other" / "keys" / "vault.key").read_text() + file.read_text())

    vault = Vault.at(tmp_path)

    assert vault.open(old) == {"n": 1}
    assert Vault.at(tmp_path / "other").open(vault.seal({"n": 2})) == {"n": 2}


@pytest.mark.parametrize("content", ["", "not a key\n"])
def test_a_damaged_key_file_is_said_so(tmp_path, content):
    Vault.at(tmp_path)
    (tmp_path / "keys" / "vault.key").write_text(content)

    with pytest.raises(VaultError):
        Vault.at(tmp_path)


# --- passwords ---------------------------------------------------------------------------------------------------------


def test_a_password_is_known_by_its_hash_only():
    stored = hash_password("Ein Paßwort")

    assert is_password("Ein Paßwort", stored)
    assert not is_password("ein Paßwort", stored)
    assert not is_password("Ein Paßwort", None)
    assert stored != hash_password("Ein Paßwort")
    assert "Pa" not in stored.split("$")[0]
    assert len(stored) <= 255


# --- tokens --------------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self):
        self.now = 1_750_000_000.0

    def __call__(self):
        return self.now


def new_token(tokens):
    return tokens.new(user_id="u", domain_id="d", project_id="p", methods=("password",), stamp="s")


def test_a_token_says_what_it_was_issued_with_until_it_expires(tmp_path):
    clock = Clock()
    tokens = Tokens(Vault.at(tmp_path), 24, clock)
    token = new_token(tokens)
    text = tokens.issue(token)

    assert tokens.verify(text) == token
    clock.now += 24 * 3600 - 1
    assert tokens.verify(text) == token
    clock.now += 1
    with pytest.raises(TokenExpired):
        tokens.verify(text)


def test_a_token_of_another_installation_or_a_sealed_record_is_no_token(tmp_path):
    vault = Vault.at(tmp_path / "a")
    tokens = Tokens(vault, 24)
    others = Tokens(Vault.at(tmp_path / "b"), 24)

    for text in (others.issue(new_token(others)), vault.seal({"u": "u"}), "", "é", "gibberish", "x" * 5000):
        with pytest.raises(InvalidToken):
            tokens.verify(text)


def test_a_new_password_has_a_new_stamp():
    stored = hash_password("x")

    assert password_stamp(stored) == password_stamp(stored)
    assert password_stamp(stored) != password_stamp(hash_password("x"))


# --- actions ---------------------------------------------------------------------------------------------------------------


def test_administrators_may_do_everything():
    assert all(is_allowed(caller("te_admin", "secu_admin"), action, ANY) for action in ACTIONS | OTHER_ACTIONS)
    assert all(is_allowed(caller("dcs_admin"), action, ANY) for action in ACTIONS)


@pytest.mark.parametrize(
    ("role", "allowed", "refused"),
    [
        (
            "dcs_viewer",
            {"dcs:instance:list", "dcs:instance:get"},
            {"dcs:instance:create", "dcs:instance:backupData", "dcs:clients:kill", "iam:users:listUsers"},
        ),
        (
            "dcs_user",
            {"dcs:instance:list", "dcs:instance:backupData"},
            {"dcs:instance:create", "dcs:instance:delete", "dcs:instance:scale"},
        ),
        ("te_admin", {"dcs:instance:create", "cts:trace:list"}, {"iam:users:createUser"}),
        ("secu_admin", {"iam:users:createUser", "cts:trace:list"}, {"dcs:instance:list"}),
    ],
)
def test_roles_reach_so_far(role, allowed, refused):
    assert all(is_allowed(caller(role), action, ANY) for action in allowed)
    assert not any(is_allowed(caller(role), action, ANY) for action in refused)


def test_the_refusal_is_the_documented_one():
    with pytest.raises(PolicyNotAllowed, match="Policy does not allow dcs:instance:create to be performed"):
        check_allowed(caller("dcs_viewer"), "dcs:instance:create", ANY)
    with pytest.raises(ReadOnlyTenant):
        check_allowed(caller("readonly"), "dcs:instance:create", ANY)
    with pytest.raises(RoleNotAllowed):
        check_allowed(caller(), "dcs:instance:list", ANY)


def test_every_system_role_names_actions_that_there_are():
    for role in system_roles().values():
        for statement in role.policy.statements:
            assert all("*" in action or action in ACTIONS for action in statement.actions)


def test_every_action_of_the_contract_is_known():
    operations = json.loads(contract_file("operations.json").read_text())

    assert {operation["iam_action"] for operation in operations} - {None} <= set(ACTIONS)
