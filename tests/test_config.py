"""Settings: faults are all told at once, with line and remedy; flags, environment and file stand in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from cityguard import config
from cityguard.errors import ContentErrors, InputError


def load(tmp_path: Path, text: str, **environ: str) -> config.Settings:
    path = tmp_path / "cityguard.yml"
    path.write_text(text, encoding="utf-8")
    return config.load(path, environ)


def test_relative_paths_stand_against_the_files_folder(tmp_path: Path) -> None:
    settings = load(tmp_path, "home: data\ncity: 江澜市\n")
    assert settings.home_path == tmp_path / "data"
    assert settings.city == "江澜市"
    assert settings.store.kind == "embedded"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hme: 1\n", ["cityguard.yml:1", "did you mean 'home'"]),
        ("web:\n  prt: 1\n", ["cityguard.yml:2", "did you mean 'port'"]),
        ("store:\n  kind: mongo\n", ["cityguard.yml:2", "store.kind"]),
        ("retention_days: 90\n", ["cityguard.yml:1", ">= 180"]),
        ("timezone: Mars/Olympus\n", ["cityguard.yml:1", "IANA"]),
        ("listen:\n- name: a\n  prot: 3\n", ["cityguard.yml:3", "did you mean 'port'"]),
        ("scan: {timeout_s: 600}\n", ["scan.timeout_s"]),
        ("listen:\n- {name: ../../x, collector: netflow, port: 2055}\n", ["cityguard.yml:2", "../../x"]),
        ("listen:\n- {name: a, collector: netflow, port: 0}\n", ["cityguard.yml:2", "port"]),
        (
            "listen:\n- {name: a, collector: netflow, port: 1}\n- {name: a, collector: netflow, port: 2}\n",
            ["cityguard.yml:3", "another listener"],
        ),
        ("- 1\n", ["cityguard.yml:1"]),
    ],
)
def test_a_fault_names_line_and_remedy(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(ContentErrors) as caught:
        load(tmp_path, text)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_receivers_of_notices_are_lists_with_their_own_keys(tmp_path: Path) -> None:
    settings = load(
        tmp_path, "notify:\n  level: medium\n  syslog: [{host: 10.0.0.5}]\n  webhooks: [{url: 'http://10.0.0.6/x'}]\n"
    )
    assert (settings.notify.level, settings.notify.syslog[0].port, settings.notify.webhooks[0].form) == (
        "medium",
        514,
        "json",
    )
    with pytest.raises(ContentErrors, match="did you mean 'host'"):
        load(tmp_path, "notify:\n  syslog:\n  - hots: x\n")


def test_two_faults_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(ContentErrors) as caught:
        load(tmp_path, "hme: 1\nweb: {prt: 1}\n")
    assert len(caught.value.faults) == 2


def test_the_environment_stands_over_the_file(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        "home: data\n",
        CITYGUARD_HOME="/srv/x",
        CITYGUARD_ELASTICSEARCH="http://a:1,http://b:2",
        CITYGUARD_LANGUAGE="en",
    )
    assert settings.home_path == Path("/srv/x")
    assert settings.store.kind == "elasticsearch"
    assert settings.store.elasticsearch.hosts == ("http://a:1", "http://b:2")
    assert settings.language == "en"
    with pytest.raises(InputError, match="CITYGUARD_LANGUAGE"):
        load(tmp_path, "", CITYGUARD_LANGUAGE="fr")


def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        config.load(tmp_path / "none.yml", {})


def test_every_setting_says_what_it_is_in_both_languages() -> None:
    rows = list(config.reference())
    assert len(rows) > 30
    assert all(zh and en for _, _, zh, en in rows)
