"""`.venv` is made once, from pinned versions, and survives being killed half-way."""

import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent

# Stands in for pip, which takes a minute: four slow steps, each leaving a file.
DRIVER = """\
import sys, time
sys.path.insert(0, ".ci")
import venv as setup

def run(command, lock):
    setup.VENV.mkdir()
    (setup.VENV / "bin").mkdir()
    (setup.VENV / "bin" / "python").symlink_to(sys.executable)

def install(folder, lock, *arguments):
    with open("installs.log", "a") as log:
        log.write(arguments[-1] + "\\n")
    for step in range(4):
        time.sleep(float(sys.argv[2]))
        (folder / f"{len(list(folder.iterdir()))}.part").touch()

def install_node(folder, lock):
    with open("installs.log", "a") as log:
        log.write("node\\n")

setup.run, setup.install, setup.install_node = run, install, install_node
setup.main(sys.argv[1])
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that a set-up reads, and a driver that does not call pip."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "venv.py", tmp_path / ".ci")
    (tmp_path / "tests" / "site").mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", "tests/site/package-lock.json"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "driver.py").write_text(DRIVER, encoding="utf-8")
    return tmp_path


def start(clone: Path, wanted: str, pause: float = 0.0) -> "subprocess.Popen[str]":
    command = [sys.executable, "driver.py", wanted, str(pause)]
    return subprocess.Popen(command, cwd=clone, stderr=subprocess.PIPE, text=True)


def finish(clone: Path, wanted: str) -> str:
    process = start(clone, wanted)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert (clone / ".venv" / "ready").read_text().split()[1] in (wanted, "test")
    return errors


def installs(clone: Path) -> int:
    return len((clone / "installs.log").read_text().splitlines())


def test_a_ready_environment_is_left_alone(clone: Path) -> None:
    assert "setting up" in finish(clone, "site")
    assert finish(clone, "site") == ""
    assert installs(clone) == 2  # the build tools, then the rest


def test_the_test_tools_come_later_and_include_the_site(clone: Path) -> None:
    finish(clone, "site")
    assert "adding the test tools" in finish(clone, "test")
    assert finish(clone, "site") == ""
    assert installs(clone) == 4  # and what runs in Node


@pytest.mark.parametrize(
    "what",
    ["constraints.txt", "pyproject.toml", ".ci/venv.py", "tests/site/package-lock.json"],
)
def test_other_versions_make_another_environment(clone: Path, what: str) -> None:
    finish(clone, "site")
    path = clone / what
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"click([>=]=)8[\d.]+", r"click\g<1>8.2", text) + "\n# more\n")
    assert "setting up" in finish(clone, "site")


def test_settings_of_tools_do_not(clone: Path) -> None:
    finish(clone, "site")
    with (clone / "pyproject.toml").open("a") as stream:
        stream.write("\n[tool.something]\nx = 1\n")
    assert finish(clone, "site") == ""


@pytest.mark.parametrize(("first", "steps"), [("site", n) for n in range(8)] + [("test", 9)])
def test_killed_at_any_step_it_starts_anew(clone: Path, first: str, steps: int) -> None:
    if first == "test":
        finish(clone, "site")
    process = start(clone, first, pause=0.05)
    while len(list((clone / ".venv").glob("*.part"))) < steps or not (clone / ".venv").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (clone / ".venv" / "ready").exists()
    assert "setting up" in finish(clone, first)
    assert len(list((clone / ".venv").glob("*.part"))) == 8  # none is left from before


def test_two_at_once_make_one_environment(clone: Path) -> None:
    one, other = start(clone, "site", pause=0.1), start(clone, "site", pause=0.1)
    errors = one.communicate(timeout=60)[1] + other.communicate(timeout=60)[1]
    assert (one.returncode, other.returncode) == (0, 0)
    assert "waiting for another set-up" in errors
    assert installs(clone) == 2


def test_pip_keeps_the_lock_when_only_its_parent_is_killed(clone: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, '.ci'); import venv as setup\n"
        "with setup.locked() as lock:\n"
        "    setup.run([sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(2)'],"
        " lock)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], cwd=clone, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    parent.stdout.readline()  # the child is at work
    parent.kill()
    parent.wait()
    begun = time.monotonic()
    assert "waiting for another set-up" in finish(clone, "site")
    assert time.monotonic() - begun > 1
    parent.stdout.close()


def test_an_old_python_is_told_what_is_missing(clone: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, '.ci'); import venv as setup\n"
        "setup.sys.version_info = (3, 9, 1); setup.platform.python_version = lambda: '3.9.1'\n"
        "setup.main('site')\n"
    )
    environment = {**os.environ, "PATH": ""}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "needs Python 3.11 or newer; `python3` is 3.9.1" in done.stderr
    assert not (clone / ".venv").exists()


def test_every_version_is_pinned() -> None:
    pins: dict[str, SpecifierSet] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            pin = Requirement(line)
            assert re.fullmatch(r"==[^*,]+", str(pin.specifier)), f"{line}: not one exact version"
            assert "+" not in line, f"{line}: a local tag exists only where it was built"
            assert not pin.url, f"{line}: the index is the reader's to choose"
            if pin.marker is None or pin.marker.evaluate():
                pins[canonicalize_name(pin.name)] = pin.specifier
    assert not {"hatchling", "editables", "poetry-core", "uv"} - pins.keys()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["site"]]
    needed += project["optional-dependencies"]["test"]
    met: set[tuple[str, str]] = set()
    for text in needed:  # grows while it is read
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not in constraints.txt: run `python3 .ci/venv.py pin`"
        for extra in {"", *requirement.extras}:
            if (name, extra) not in met:
                met.add((name, extra))
                needed += _requirements(name, extra)


@pytest.mark.parametrize(("wanted", "upgrades"), [("renew", True), ("pin", False)])
def test_new_constraints_keep_torch(clone: Path, wanted: str, upgrades: bool) -> None:
    script = (
        "import sys; sys.path.insert(0, '.ci'); import venv as setup\n"
        "setup.install = lambda *arguments: None\n"
        "def run(command, lock):\n"
        "    if 'compile' in command:\n"
        "        found = command[command.index('--output-file') + 1]\n"
        "        print('--upgrade' in command, 'click==' in found.read_text())\n"
        "        found.write_text(command[-1].read_text())\n"
        "setup.run = run\n"
        f"setup.main('{wanted}')\n"
    )
    before = (clone / "constraints.txt").read_text(encoding="utf-8").splitlines()
    done = subprocess.check_output([sys.executable, "-c", script], cwd=clone, text=True)
    assert done == f"{upgrades} True\n"  # and uv knows the versions that were there
    after = (clone / "constraints.txt").read_text(encoding="utf-8").splitlines()
    comments = [line for line in before if line.startswith("#")]
    [torch] = [line for line in before if line.startswith("torch==")]
    assert after == [*comments, "hatchling", "editables", "poetry-core", "uv", torch]


def _requirements(name: str, extra: str) -> list[str]:
    """What an installed package needs on this machine for one of its extras."""
    found = []
    for text in importlib.metadata.requires(name) or []:
        requirement = Requirement(text)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if applies:
            requirement.marker = None
            found.append(str(requirement))
    return found
