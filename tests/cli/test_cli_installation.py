import fcntl
import signal
import subprocess
import sys

import pytest

from cachestead.cli.failures import CommandFailed
from cachestead.cli.installation import read_settings, running_pid, stop_service

SERVICE = """
import fcntl, os, signal, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
file.write(f"{os.getpid()}\\n")
file.flush()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("ready", flush=True)
signal.pause()
"""


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "run").mkdir()
    return read_settings(tmp_path)


@pytest.fixture
def service(settings):
    lock = settings.data_dir / "run" / "cachestead.lock"
    with subprocess.Popen([sys.executable, "-c", SERVICE, str(lock)], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_without_a_lock_file_nothing_runs(settings):
    assert running_pid(settings) is None
    assert stop_service(settings) is False


def test_a_file_that_nobody_locks_is_left_over(settings):
    (settings.data_dir / "run" / "cachestead.lock").write_text("1\n")

    assert running_pid(settings) is None
    assert stop_service(settings) is False


def test_a_lock_without_a_number_yet_is_no_error(settings):
    with (settings.data_dir / "run" / "cachestead.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        assert running_pid(settings) is None


def test_the_service_is_found_and_stopped_gently(settings, service):
    assert running_pid(settings) == service.pid

    assert stop_service(settings) is True

    assert service.wait(5) == 0
    assert running_pid(settings) is None


def test_a_service_that_does_not_listen_is_reported(tmp_path, service, settings):
    service.send_signal(signal.SIGSTOP)
    impatient = settings.model_copy(
        update={"server": settings.server.model_copy(update={"stop_grace_seconds": -19.5})}
    )

    with pytest.raises(CommandFailed, match="has not stopped"):
        stop_service(impatient)


def test_settings_that_are_not_valid_are_a_sentence_without_the_value(tmp_path):
    with pytest.raises(CommandFailed, match=r"server\.port") as failure:
        read_settings(tmp_path, server={"port": 70000})

    assert "70000" not in failure.value.sentence


def test_a_settings_file_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(CommandFailed, match="no settings file"):
        read_settings(tmp_path, tmp_path / "absent.toml")


def test_a_settings_file_that_is_not_toml_is_a_sentence(tmp_path):
    file = tmp_path / "broken.toml"
    file.write_text("[server\n")

    with pytest.raises(CommandFailed, match="not valid TOML"):
        read_settings(tmp_path, file)


def test_flags_win_over_the_file(tmp_path):
    file = tmp_path / "cachestead.toml"
    file.write_text('[server]\nport = 1111\nhost = "127.0.0.9"\n')

    settings = read_settings(tmp_path, None, server={"port": 2222, "host": None})

    assert (settings.server.port, settings.server.host) == (2222, "127.0.0.9")
