"""The tenants of the settings, start after start."""

import pytest

from cachestead.errors import InvalidToken
from cachestead.identity.authentication import Authenticator
from cachestead.identity.secrets import Vault
from cachestead.identity.seed import SeedConflict, client_environment, ensure_tenants
from cachestead.identity.sign_in import Password, ProjectScope, Reference, SignIn, SignInRefused
from cachestead.settings import Settings
from cachestead.store import facts
from cachestead.store import identity as records
from cachestead.store.database import Database

NEIGHBOUR = {
    "domain": "neighbour",
    "password": "neighbour-pw",
    "access_key": "NEIGHBOURKEY",
    "secret_key": "neighbour-secret",
}


@pytest.fixture
async def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/records.db")
    await database.migrate()
    yield database
    await database.close()


@pytest.fixture
def start(tmp_path, database):
    vault = Vault.at(tmp_path)

    async def start(**groups):
        settings = Settings(data_dir=tmp_path, **groups)
        await ensure_tenants(database, vault, settings)
        return await client_environment(database, vault, settings)

    start.vault = vault
    return start


async def signs_in(database, vault, settings, password):
    authenticator = Authenticator(database, vault, settings.identity, settings.region.id)
    user = Password(Reference(name=settings.identity.user), Reference(name=settings.identity.domain), password)
    return await SignIn(database, authenticator).sign_in(user, ProjectScope())


async def test_a_second_start_changes_nothing(start):
    first = await start()

    assert await start() == first
    assert all(first.values())
    assert len(first["project_id"]) == 32


async def test_the_public_address_that_was_found_wins_over_the_settings(start, database):
    assert (await start())["endpoint"] == "http://127.0.0.1:8635"
    async with database.writing() as tx:
        await facts.save_fact(tx, "public_url", "http://127.0.0.1:1/")
        await facts.save_fact(tx, "public_url", "http://127.0.0.1:2/")

    environment = await start()

    assert environment["endpoint"] == environment["iam_endpoint"] == "http://127.0.0.1:2"


async def test_chosen_credentials_are_taken(start):
    chosen = {
        "access_key": "CHOSENKEY",
        "secret_key": "chosen-secret",
        "password": "chosen-pw",
        "project_id": "ab" * 16,
        "user": "root",
        "domain": "house",
    }

    environment = await start(identity=chosen)

    assert {key: environment[key] for key in chosen} == chosen


async def test_new_credentials_replace_the_old_ones(start, database, tmp_path):
    first = await start()
    settings = Settings(data_dir=tmp_path)
    await signs_in(database, start.vault, settings, first["password"])

    second = await start(
        identity={"password": "new-password", "access_key": "NEWKEY12", "secret_key": "new-secret"}
    )

    assert (second["access_key"], second["secret_key"], second["password"]) == (
        "NEWKEY12",
        "new-secret",
        "new-password",
    )
    await signs_in(database, start.vault, settings, "new-password")
    with pytest.raises(SignInRefused):
        await signs_in(database, start.vault, settings, first["password"])
    async with database.reading() as tx:
        assert await records.find_access_key(tx, first["access_key"]) is None


async def test_a_changed_secret_of_the_same_key_is_taken(start):
    await start(identity={"access_key": "SAMEKEY1", "secret_key": "before-secret"})

    assert (await start(identity={"access_key": "SAMEKEY1", "secret_key": "after-secret"}))[
        "secret_key"
    ] == "after-secret"


async def test_a_new_user_name_takes_the_key_along(start, database):
    first = await start()

    second = await start(identity={"user": "root"})

    assert (second["user"], second["access_key"]) == ("root", first["access_key"])
    async with database.reading() as tx:
        key = await records.find_access_key(tx, first["access_key"])
        assert (await records.find_user(tx, key.user_id)).name == "root"


async def test_a_new_password_ends_the_old_tokens(start, database, tmp_path):
    first = await start()
    settings = Settings(data_dir=tmp_path)
    grant = await signs_in(database, start.vault, settings, first["password"])

    await start(identity={"password": "new-password"})

    with pytest.raises(InvalidToken):
        await Authenticator(database, start.vault, settings.identity, settings.region.id).authenticate_token(
            grant.text
        )


async def test_tenants_are_apart(start, database):
    await start(tenants=[NEIGHBOUR])

    async with database.reading() as tx:
        one, other = [await records.find_domain_named(tx, name) for name in ("cachestead", "neighbour")]
        mine, theirs = [(await records.list_projects(tx, domain.id))[0] for domain in (one, other)]
        assert mine.id != theirs.id
        assert mine.name == theirs.name == "local-1"
        assert (await records.find_network(tx, mine.id)).vpc_id != (
            await records.find_network(tx, theirs.id)
        ).vpc_id


async def test_nothing_secret_is_stored_in_clear(start, tmp_path, database):
    environment = await start(tenants=[NEIGHBOUR])
    await database.close()

    stored = b"".join(path.read_bytes() for path in tmp_path.glob("records.db*"))

    for secret in (environment["secret_key"], environment["password"], "neighbour-pw", "neighbour-secret"):
        assert secret.encode() not in stored


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"identity": {"project_id": "cd" * 16}}),
        ({"identity": {"project_id": "cd" * 16}}, {"identity": {"project_id": "cd" * 16, "domain": "other"}}),
        ({"tenants": [NEIGHBOUR]}, {"identity": {"access_key": "NEIGHBOURKEY"}}),
        ({}, {"tenants": [{**NEIGHBOUR, "domain": "cachestead"}]}),
        ({}, {"tenants": [NEIGHBOUR, {**NEIGHBOUR, "domain": "third"}]}),
    ],
    ids=[
        "other project id",
        "project id of another domain",
        "key of another tenant",
        "same domain twice",
        "same key twice",
    ],
)
async def test_settings_that_contradict_the_records_are_refused(start, first, second):
    await start(**first)

    with pytest.raises(SeedConflict):
        await start(**second)


async def test_before_the_first_start_there_is_no_environment(database, tmp_path):
    with pytest.raises(LookupError):
        await client_environment(database, Vault.at(tmp_path), Settings(data_dir=tmp_path))


async def test_an_access_key_that_was_deleted_stays_away(start, database):
    first = await start()
    async with database.writing() as tx:
        key = await records.find_access_key(tx, first["access_key"])
        await records.remove_access_key(tx, key.access_key, key.user_id)

    await start()

    async with database.reading() as tx:
        assert await records.find_access_key(tx, first["access_key"]) is None
