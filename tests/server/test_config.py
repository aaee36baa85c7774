"""Settings: where a value comes from, and what is said of a wrong one."""

from __future__ import annotations

import pytest

from tallymark.errors import ConfigError
from tallymark.server.config import MEANINGS, Config, load_config


def test_every_setting_has_a_meaning():
    """No setting is without its sentence, and no sentence without its setting."""
    assert set(MEANINGS) == set(Config.__struct_fields__)


def test_layers(tmp_path):
    """Flag over variable over file over default, and each source is told."""
    file = tmp_path / "tallymark.toml"
    file.write_text('port = 1\nhost = "h"\ntrace_days = 2.5\n')
    config, sources = load_config(
        {"port": "3", "data": None},
        {"TALLYMARK_PORT": "2", "TALLYMARK_HOST": "v", "TALLYMARK_OTHER": "x"},
        file,
    )
    assert (config.port, config.host, config.trace_days, config.data) == (3, "v", 2.5, "data")
    assert [sources[name] for name in ("port", "host", "trace_days", "data")] == [
        "flag", "environment", str(file), "default",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "environment", "said"),
    [
        ({"prot": "1"}, {}, "no setting 'prot'.*at flag"),
        ({"port": "70000"}, {}, "port = '70000'.*at flag"),
        ({}, {"TALLYMARK_PORT": "x"}, "port = 'x'.*at environment"),
        ({"log_level": "loud"}, {}, "log_level = 'loud'. Allowed: debug"),
        ({"body_bytes": "1"}, {}, "body_bytes"),
        ({"query_memory_bytes": str(2**40)}, {}, "one question could take all"),
    ],
)
def test_wrong_values_name_their_source(flags, environment, said, tmp_path, monkeypatch):
    """A wrong value is refused with its name, the value and where it stands."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=said):
        load_config(flags, environment)


def test_broken_and_missing_files(tmp_path):
    """A file that was asked for must be there and be TOML."""
    with pytest.raises(ConfigError, match="There is no file"):
        load_config({}, {}, tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("port = ")
    with pytest.raises(ConfigError, match="not TOML"):
        load_config({}, {}, broken)
