"""What is compared is the same work, and what is timed is a whole site."""

from pathlib import Path

import pytest
import yaml

from tests.bench import builds
from tests.test_build import ROOT


class Settings(yaml.SafeLoader):
    """Reads a configuration whatever it names."""


Settings.add_multi_constructor("", lambda loader, suffix, node: suffix)


def test_plain_mkdocs_has_our_pages_and_plugins_and_nothing_that_is_ours(tmp_path: Path) -> None:
    copy = builds.copied(ROOT, tmp_path / "copy")
    builds.plain(copy)
    ours, plain = (
        yaml.load((copy / name).read_text(encoding="utf-8"), Settings)
        for name in ("mkdocs.yml", "plain.yml")
    )
    assert plain["nav"] == ours["nav"]
    assert [name for one in plain["plugins"] for name in one] == [
        name for one in ours["plugins"] for name in one
    ]
    assert len(plain["markdown_extensions"]) == len(ours["markdown_extensions"]) - 1
    assert "hooks" in ours
    assert "hooks" not in plain
    assert "custom_dir" not in plain["theme"]
    assert "rlhf_explained." not in (copy / "plain.yml").read_text(encoding="utf-8")


@pytest.mark.soak
def test_a_grown_site_is_whole(tmp_path: Path) -> None:
    copy = builds.copied(ROOT, tmp_path / "copy")
    before = len([*(copy / "docs").rglob("*.md")])
    pages = builds.grow(copy, 3)
    assert pages > before + 15
    seconds, memory = builds.timed(copy, *builds.SITE)  # strictly: it raises if there is a fault
    assert seconds > 0
    assert memory > 10
    built = (copy / "site" / "guide-3" / "history" / "index.html").read_text(encoding="utf-8")
    assert 'id="figure-timeline-3' in built
