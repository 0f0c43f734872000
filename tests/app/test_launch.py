"""What the app is started with, and who is let in."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from attention_studio.app.launch import PASSWORD, launch, options
from attention_studio.app.settings import Settings
from attention_studio.app.theme import options as theme
from attention_studio.device import UnavailableError


def test_the_default_is_this_machine_only() -> None:
    given = dict(options(port=8501, browser=False))
    assert given["server.address"] == "127.0.0.1"
    assert given["server.maxUploadSize"] == "32"
    assert given["server.fileWatcherType"] == "none"
    assert given["client.toolbarMode"] == "viewer"
    off = ("browser.gatherUsageStats", "server.enableAgentApi", "server.enableStaticServing")
    assert {given[name] for name in off} == {"false"}
    assert given["server.enableXsrfProtection"] == given["server.enableCORS"] == "true"
    hosts = [value for name, value in options(port=1, browser=False) if name.endswith("Hosts")]
    assert hosts == ["localhost", "127.0.0.1"]


def test_streamlit_knows_every_option() -> None:
    from streamlit import config

    known = set(config._config_options_template)
    given = {name for name, _ in (*options(port=1, browser=True), *theme())}
    assert given <= known


@pytest.mark.parametrize("password", [None, "short"])
def test_listening_needs_a_password(
    password: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PASSWORD, raising=False)
    if password is not None:
        monkeypatch.setenv(PASSWORD, password)
    with pytest.raises(UnavailableError, match="without a password"):
        launch(Settings(tmp_path / "out"), listen="0.0.0.0")
    assert not (tmp_path / "out").exists()


def test_the_command_says_so_and_exits_with_3(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if k != PASSWORD}
    command = [sys.executable, "-m", "attention_studio", "app", "--listen", "0.0.0.0"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 3
    assert "without a password" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_port_in_use_and_a_missing_folder_are_said_before_anything_starts(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "out")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UnavailableError, match="Address already in use"):
            launch(settings, port=taken.getsockname()[1])
    with pytest.raises(ValueError, match="'nowhere' is not a folder"):
        launch(Settings(tmp_path / "out", (Path("nowhere"),)))
    assert not (tmp_path / "out").exists()


def test_listening_names_its_hosts() -> None:
    given = options(port=1, browser=False, listen="192.168.0.7", hosts=("studio.local",))
    hosts = [value for name, value in given if name == "server.allowedHosts"]
    assert hosts == ["localhost", "127.0.0.1", "studio.local", "192.168.0.7"]
    assert dict(given)["client.showErrorDetails"] == "type"


def test_the_pages_process_needs_no_torch() -> None:
    """It would open seconds later, and take longer to react."""
    code = (
        "import sys, attention_studio.app.main;"
        "sys.exit(bool({'torch', 'diffusers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode == 0


def test_settings_survive_the_command_line() -> None:
    settings = Settings(Path("a folder"), (Path("x"), Path("y z")), "cuda:1", locked=True)
    assert Settings.of(settings.arguments()) == settings
    assert Settings.of([]) == Settings()


def test_the_door_opens_to_the_password_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "correct horse")
    monkeypatch.setattr("attention_studio.app.door._WAIT_S", 0.0)
    script = """
import streamlit as st
from attention_studio.app.door import admitted
st.text("inside" if admitted() else "outside")
"""
    at = AppTest.from_string(script, default_timeout=60).run()
    for given, where in (("", "outside"), ("correct hors", "outside"), ("correct horse", "inside")):
        at.text_input[0].set_value(given)
        at.button[0].click().run()
        assert at.text[0].value == where
    assert not at.text_input
