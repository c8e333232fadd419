import os
import stat
from pathlib import Path

import pytest

from toxvpn.errors import ConfigError
from toxvpn.state.secretfile import kept_secret, read_secret_file
from toxvpn.wire.secret import check_usable


def private(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("content", [b"s3cret", b"s3cret\n", b"s3cret\r\n"])
def test_the_line_end_is_not_part_of_the_secret(tmp_path: Path, content: bytes) -> None:
    assert read_secret_file(private(tmp_path / "s", content)) == b"s3cret"


def test_spaces_are(tmp_path: Path) -> None:
    assert read_secret_file(private(tmp_path / "s", b" two words \n")) == b" two words "


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match="chmod 600"):
        read_secret_file(private(tmp_path / "s", b"x", mode))


def test_a_service_managers_credential_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_secret_file(private(tmp_path / "s", b"x", 0o440)) == b"x"


def test_a_service_gets_what_is_below_etc_as_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    etc, credentials = tmp_path / "etc", tmp_path / "credentials"
    etc.joinpath("secrets").mkdir(parents=True)
    credentials.mkdir()
    monkeypatch.setattr("toxvpn.state.secretfile.SERVICE_CONFIG", etc)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    private(credentials / "secrets_office", b"handed over", 0o440)
    assert read_secret_file(etc / "secrets" / "office") == b"handed over"
    assert read_secret_file(private(etc / "secrets" / "home", b"its own")) == b"its own"
    assert read_secret_file(private(tmp_path / "office", b"elsewhere")) == b"elsewhere"


def test_a_pipe_is_taken(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"from pass\n")
    os.close(writer)
    try:
        assert read_secret_file(Path(f"/dev/fd/{reader}")) == b"from pass"
    finally:
        os.close(reader)


@pytest.mark.parametrize("content", [b"", b"\n", b"a\0b", b"x" * 1016, b"x" * 5000])
def test_a_secret_that_cannot_travel_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigError, match="secret") as caught:
        read_secret_file(private(tmp_path / "s", content))
    assert "xxx" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no secret file .*/absent"):
        read_secret_file(tmp_path / "absent")


def test_the_kept_secret_is_made_once_strong_and_private(tmp_path: Path) -> None:
    secret, made = kept_secret(tmp_path)
    assert made
    assert kept_secret(tmp_path) == (secret, False)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert secret.isalnum() and len(secret) == 32
    check_usable(secret)
    (tmp_path / "other").mkdir()
    assert kept_secret(tmp_path / "other")[0] != secret


def test_an_emptied_kept_secret_is_not_taken_for_none(tmp_path: Path) -> None:
    private(tmp_path / "secret", b"\n")
    with pytest.raises(ConfigError, match="secret is empty"):
        kept_secret(tmp_path)
