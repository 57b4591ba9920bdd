from pathlib import Path

import pytest

from lipstream.realtime.errors import SettingsError
from lipstream.realtime.settings import Settings, read_settings


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "lipstream.toml"
    config.write_text('port = 1\nmax_sessions = 2\navatar = "file"\n')
    environment = {"LIPSTREAM_CONFIG": str(config), "LIPSTREAM_MAX_SESSIONS": "3", "LIPSTREAM_AVATAR": "environment"}
    settings = read_settings(["--avatar", "flag"], environment)
    assert (settings.port, settings.max_sessions, settings.avatar) == (1, 3, "flag")
    assert read_settings([], {}) == Settings()


def test_options_are_parsed() -> None:
    settings = read_settings(
        ["--ice-servers", '[{"urls": "stun:a"}]', "--allowed-hosts", "a.example,b.example", "--insecure"],
        {"LIPSTREAM_STORE": "/tmp/x", "LIPSTREAM_WINDOW_OFFSET": "-640", "LIPSTREAM_GRACE_S": "1.5"},
    )
    assert settings.ice_servers == ({"urls": "stun:a"},)
    assert settings.allowed_hosts == ("a.example", "b.example")
    assert settings.insecure
    assert (settings.store, settings.window_offset, settings.grace_s) == (Path("/tmp/x"), -640, 1.5)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--port", "99999"], {}, "port 99999"),
        (["--port", "http"], {}, "option port cannot be 'http'"),
        ([], {"LIPSTREAM_INSECURE": "maybe"}, "option insecure"),
        (["--ice-servers", "{}"], {}, "list of objects with 'urls'"),
        (["--ice-servers", '[{"urls": [7]}]'], {}, "list of objects with 'urls'"),
        (["--ice-servers", '[{"urls": "turn:a", "username": 5}]'], {}, "list of objects with 'urls'"),
        (["--device", "tpu"], {}, "device 'tpu'"),
        (["--precision", "int3"], {}, "precision 'int3' is none of auto, fp16, bf16, fp32, int8"),
        (["--max-sessions", "0"], {}, "at least 1"),
        (["--log-level", "loud"], {}, "log_level"),
        (["--host", "0.0.0.0"], {}, "nothing asks them for a secret"),
        (["--config", "/nowhere.toml"], {}, "cannot read the config file"),
        (["--udp-ports", "5000"], {}, "option udp_ports cannot be '5000'"),
        (["--udp-ports", "9-5"], {}, "expected FIRST-LAST"),
        (["--udp-ports", "5000-5001", "--max-sessions", "3"], {}, "fewer than max_sessions 3"),
        (["--turn-urls", "turn:a"], {}, "go together"),
        (["--turn-secret-file", "x"], {}, "go together"),
        (["--turn-secret-file", "x", "--turn-urls", "turn:a, http://b"], {}, "'http://b' is no TURN URL"),
        (["--turn-secret-file", "x", "--turn-urls", "turn:a", "--turn-ttl", "601"], {}, "between 1 and 600"),
        (["--relay-only"], {}, "needs a TURN server"),
        (["--frame-ancestors", "https://a.example/page"], {}, "frame_ancestors: 'https://a.example/page' is no origin"),
        (["--frame-ancestors", "https://a.example;x"], {}, "is no origin"),
        (["--kiosk-background", "/nowhere.png"], {}, "no file /nowhere.png"),
    ],
)
def test_what_makes_no_sense_is_named(arguments: list[str], environment: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_settings(arguments, environment)


def test_unknown_options_in_the_file_are_named(tmp_path: Path) -> None:
    config = tmp_path / "lipstream.toml"
    config.write_text("prot = 1\n")
    with pytest.raises(SettingsError, match="unknown option 'prot'"):
        read_settings(["--config", str(config)], {})
    config.write_text("port = \n")
    with pytest.raises(SettingsError, match="is not TOML"):
        read_settings(["--config", str(config)], {})


def test_networks_are_parsed(tmp_path: Path) -> None:
    config = tmp_path / "lipstream.toml"
    config.write_text('udp_ports = [50000, 50100]\nturn_urls = ["turn:a", "turns:a:5349?transport=tcp"]\n')
    settings = read_settings(["--config", str(config), "--turn-secret-file", "secret", "--relay-only"], {})
    assert settings.udp_ports == (50000, 50100)
    assert settings.turn_urls == ("turn:a", "turns:a:5349?transport=tcp")
    assert settings.relay_only
    assert read_settings([], {"LIPSTREAM_UDP_PORTS": "50000-50100"}).udp_ports == (50000, 50100)


def test_pads_are_parsed(tmp_path: Path) -> None:
    config = tmp_path / "lipstream.toml"
    config.write_text("pads = [0, 20, 4, -4]\n")
    assert read_settings(["--config", str(config)], {}).pads == (0, 20, 4, -4)
    assert read_settings(["--pads", "0, 10,0,0"], {}).pads == (0, 10, 0, 0)
    assert read_settings([], {}).pads is None
    with pytest.raises(SettingsError, match="four whole numbers of pixels: TOP,BOTTOM,LEFT,RIGHT"):
        read_settings(["--pads", "0,10"], {})
    turn = '[{"urls": ["stun:a", "turn:a"], "username": "u", "credential": "c"}]'
    assert read_settings(["--relay-only", "--ice-servers", turn], {}).relay_only
