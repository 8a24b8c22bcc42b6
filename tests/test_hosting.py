"""What hosts and registries see: workflows, licences, secrets. Every check is seen to fail, too."""

import hashlib
import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from base64 import b64encode
from pathlib import Path

import pytest
import yaml

from rlhf_explained import memo, pipeline

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = ".github/workflows"
SET_UP = ".github/actions/set-up/action.yml"
SETTINGS = ("mkdocs.yml", "pyproject.toml", "README.md", "CONTRIBUTING.md", "docs/index.md")
SCHEMAS = {
    f"{WORKFLOWS}/*.yml": ("vendor.github-workflows", "custom.github-workflows-require-timeout"),
    ".github/actions/*/action.yml": ("vendor.github-actions",),
    ".github/dependabot.yml": ("vendor.dependabot",),
    ".github/ISSUE_TEMPLATE/config.yml": ("vendor.github-issue-config",),
    ".github/ISSUE_TEMPLATE/[!c]*.yml": ("vendor.github-issue-forms",),
    ".github/ISSUE_TEMPLATE/command.yml": ("vendor.github-issue-forms",),
    ".readthedocs.yaml": ("vendor.readthedocs",),
}


@pytest.fixture(autouse=True)
def _not_of_this_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what git tells its hooks, and make its commands."""
    for name in os.environ:
        if name.startswith(("GIT_", "MAKE")):
            monkeypatch.delenv(name)


def complaint(root: Path, program: str, *arguments: object) -> str:
    """What one of the test tools says in a folder; nothing if it is content."""
    command = [Path(sysconfig.get_path("scripts"), program), *arguments]
    done = subprocess.run(
        [str(part) for part in command], cwd=root, capture_output=True, encoding="utf-8"
    )
    return f"{done.stdout}{done.stderr}" if done.returncode else ""


def files(root: Path) -> list[str]:
    """Every file that is tracked, or would be if all were added."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.check_output(command, cwd=root, encoding="utf-8").split("\0")
    return sorted(name for name in set(found) if (root / name).is_file())


def zizmor(root: Path) -> str:
    """Faults in workflows that let strangers in, without asking any host."""
    options = ("--offline", "--persona", "auditor", "--no-progress", "--color", "never")
    return complaint(root, "zizmor", *options, ".")


def schemas(root: Path) -> str:
    """Settings that a host would not understand."""
    return "".join(
        complaint(root, "check-jsonschema", "--builtin-schema", schema, *root.glob(pattern))
        for pattern, names in SCHEMAS.items()
        for schema in names
    )


def licences(root: Path) -> str:
    """Files of which nobody knows whose they are. Cure: name them in REUSE.toml."""
    return complaint(root, "reuse", "lint")


def secrets(root: Path) -> str:
    """Keys and passwords. Cure: take them out, and make them void."""
    # The hash of a script, and of the code that a study's results are of, are no secrets.
    options = ("--no-verify", "--exclude-secrets", "^sha256-", "--exclude-lines", r'^"source": "')
    return complaint(root, "detect-secrets-hook", *options, *files(root))


def guards(root: Path) -> str:
    """What a build and the tests look at is set in one word, and told to readers in another."""
    text = {name: (root / name).read_text(encoding="utf-8") for name in SETTINGS}
    found = []
    (section,) = re.findall(r"(?ms)^validation:.*?(?=^\S)", text["mkdocs.yml"])
    levels = yaml.safe_load(section)["validation"]
    for name in ("omitted_files", "absolute_links", "unrecognized_links", "anchors"):
        if levels.get(name) != "warn":
            found.append(f"mkdocs.yml: validation of {name}: write warn")
    project = tomllib.loads(text["pyproject.toml"])
    paths = {"tests", "docs", "rlhf_explained", "README.md", "CONTRIBUTING.md"}
    for name in paths.difference(project["tool"]["pytest"]["ini_options"]["testpaths"]):
        found.append(f"pyproject.toml: testpaths: add {name}")
    (oldest,) = re.findall(r">=(3\.\d+)", project["project"]["requires-python"])
    for name in SETTINGS:
        for version in re.findall(r"\bPython\s+(?:≥ )?(3\.\d+)", text[name]):
            if version != oldest:
                found.append(f"{name}: Python {version}: write {oldest}")
    return "\n".join(found)


CHECKS = (zizmor, schemas, licences, secrets, guards)


@pytest.mark.parametrize("check", CHECKS)
def test_the_checkout_passes(check) -> None:
    found = check(ROOT)
    assert not found, f"{check.__doc__}\n{found}"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the checks look at, in a repository of its own."""
    for name in (".github", "LICENSES", "docs/assets"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in (
        "LICENSE",
        "REUSE.toml",
        ".readthedocs.yaml",
        ".pre-commit-config.yaml",
        *SETTINGS,
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


TEST, PAGES = f"{WORKFLOWS}/test.yml", f"{WORKFLOWS}/pages.yml"
DEPENDABOT, FORMS = ".github/dependabot.yml", ".github/ISSUE_TEMPLATE"
SHA = hashlib.sha256(b"made up").digest()
FAULTS = {  # in which file, what becomes what, and what is said about it
    zizmor: [
        (TEST, "persist-credentials: false", "clean: true", "[artipacked]"),
        (TEST, r"checkout@\w+ # .*", "checkout@v7", "[unpinned-uses]"),
        (TEST, "permissions: {}", "permissions: write-all", "[excessive-permissions]"),
        (TEST, "  pull_request:", "  pull_request_target:", "[dangerous-triggers]"),
        (TEST, "run: .ci/run", "run: .ci/run ${{ github.head_ref }}", "[template-injection]"),
        (PAGES, r"(?s)concurrency:.*?\n\n", "", "[concurrency-limits]"),
        (DEPENDABOT, "default-days: 7", "default-days: 0", "[dependabot-cooldown]"),
    ],
    schemas: [
        (TEST, "timeout-minutes: .*", "", "'timeout-minutes' is a required property"),
        (PAGES, "  build:\n", "  build:\n    run-on: ubuntu\n", "pages.yml::"),
        (SET_UP, "using: composite", "using: magic", "action.yml::"),
        (DEPENDABOT, "weekly", "whenever", "dependabot.yml::"),
        (f"{FORMS}/page.yml", "type: input", "type: line", "page.yml::"),
        (f"{FORMS}/command.yml", "type: input", "type: line", "command.yml::"),
        (f"{FORMS}/config.yml", "true", "perhaps", "config.yml::"),
        (".readthedocs.yaml", "ubuntu-24.04", "ubuntu", ".readthedocs.yaml::"),
    ],
    licences: [
        ("docs/assets/fonts/new.woff2", "", "anybody's", "docs/assets/fonts/new.woff2"),
        ("docs/assets/new.js", "", "// SPDX-License-" + "Identifier: GPL-3.0-only", "GPL-3.0-only"),
    ],
    secrets: [
        ("aws.txt", "", "key: AKIA" + 4 * "Q2ZX", "aws.txt:1"),
        ("ssh.txt", "", "\n-----BEGIN RSA " + "PRIVATE KEY-----", "ssh.txt:2"),
        ("random.txt", "", f'"{SHA.hex()}" "{b64encode(SHA).decode()}"', "Base64 High Entropy"),
        ("docs/page.md", "", "password" + ": 'correct-horse-4711'", "docs/page.md:1"),
    ],
    guards: [
        ("mkdocs.yml", "anchors: warn", "anchors: info", "mkdocs.yml: validation of anchors"),
        ("pyproject.toml", '"tests", "docs", ', '"tests", ', "testpaths: add docs"),
        ("README.md", r"Python (≥ )?3\.11", "Python 3.10", "README.md: Python 3.10: write 3.11"),
    ],
}


@pytest.mark.parametrize("check", CHECKS)
def test_planted_faults_are_found(copy: Path, check) -> None:
    before = check(copy)
    for name, old, new, said in FAULTS[check]:
        assert said not in before
        path = copy / name
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        text, changes = re.subn(old, lambda _, new=new: new, text, count=1)
        assert changes, f"{name} has no {old}"
        path.write_text(text, encoding="utf-8")
    after = check(copy)
    assert [said for *_, said in FAULTS[check] if said not in after] == []


def test_every_form_has_a_schema() -> None:
    known = {path for pattern in SCHEMAS for path in ROOT.glob(pattern)}
    unknown = set(ROOT.glob(".github/**/*.yml")) - known
    assert not unknown, f"{unknown}: say in SCHEMAS above what it must look like"


def test_actions_are_pinned_by_commit_with_the_version_beside_it() -> None:
    pins: dict[str, str] = {}
    for path in sorted(ROOT.glob(".github/**/*.yml")):
        for named in re.findall(r"\buses: +(?!\$/)(.+)", path.read_text(encoding="utf-8")):
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", named), (
                f"{path}: {named}: name the commit and its version: owner/name@40 digits # v1.2.3"
            )
            action, pin = named.split("@")
            assert pins.setdefault(action, pin) == pin, (
                f"{path}: {action} has another pin elsewhere"
            )
    assert len(pins) >= 5


def cached() -> dict[str, set[Path]]:
    """What the workflows cache, and the files whose digest is its key."""
    steps = yaml.safe_load((ROOT / SET_UP).read_text(encoding="utf-8"))["runs"]["steps"]
    keys = {step["with"]["path"]: step["with"]["key"] for step in steps if "key" in step["with"]}
    return {
        path: {file for pattern in re.findall(r"'([^']+)'", key) for file in ROOT.glob(pattern)}
        for path, key in keys.items()
    }


def test_caches_are_kept_by_the_files_that_decide_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(Path, "read_text", lambda path, **_: read.append(path) or "")
    runpy.run_path(str(ROOT / ".ci" / "venv.py"))["key"]()
    monkeypatch.undo()
    assert cached()[".venv"] == set(read), f"{SET_UP}: the key of .venv must name these files"
    read = []
    digest = memo.source_digest
    monkeypatch.setattr(memo, "source_digest", lambda paths: digest(read.extend(paths) or read))
    pipeline.run_key(pipeline.RunConfig())
    read.append(ROOT / "constraints-torch.txt")
    assert cached()[".cache/runs"] >= set(read), f"{SET_UP}: the key of .cache/runs lacks some"


def test_the_published_site_knows_its_addresses() -> None:
    asked = set(re.findall(r"!ENV \[(\w+)", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    steps = yaml.safe_load((ROOT / PAGES).read_text(encoding="utf-8"))["jobs"]["build"]["steps"]
    [build] = [step for step in steps if step.get("run") == "make pdf"]
    assert build["env"].keys() == asked, f"{PAGES}: set for `make pdf` what mkdocs.yml asks for"


def test_commits_are_checked_as_make_test_begins() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    hooks = [hook["entry"] for repo in yaml.safe_load(text)["repos"] for hook in repo["hooks"]]
    command = ["make", "--dry-run", "test"]
    made = subprocess.check_output(command, cwd=ROOT, encoding="utf-8").splitlines()
    begin = made[: made.index(".venv/bin/python -m rlhf_explained site")]
    wanted = [*begin, ".venv/bin/python -m pytest --quiet tests/test_hosting.py"]
    assert hooks == wanted, ".pre-commit-config.yaml: let the hooks be what `make test` begins with"


def test_a_commit_that_is_not_formatted_is_refused(copy: Path) -> None:
    scripts = Path(sysconfig.get_path("scripts"))
    (copy / ".venv").symlink_to(scripts.parent)
    (copy / ".gitignore").write_text("/.venv\n")
    (copy / "crooked.py").write_text("x = [ 1 ]\n")
    subprocess.run(["git", "add", "."], cwd=copy, check=True)
    home = {**os.environ, "PRE_COMMIT_HOME": str(copy / ".git" / "pre-commit")}
    command = [str(scripts / "pre-commit"), "run", "format"]
    done = subprocess.run(command, cwd=copy, env=home, capture_output=True, encoding="utf-8")
    assert done.returncode == 1
    assert "crooked.py" in done.stdout


def tracked_links(checkout: Path) -> list[str]:
    command = ["git", "ls-files", "--stage"]
    done = subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True)
    return [line.split("\t")[1] for line in done.stdout.splitlines() if line.startswith("120000")]


def test_no_tracked_file_is_a_link(tmp_path: Path) -> None:
    """In a clone it would lead nowhere, or out of the clone."""
    assert tracked_links(ROOT) == [], "take it out with `git rm --cached`"
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".cache").symlink_to("/elsewhere")
    subprocess.run(["git", "add", ".cache"], cwd=tmp_path, check=True)
    assert tracked_links(tmp_path) == [".cache"]


def test_nothing_is_unpickled() -> None:
    lines = [
        "import pickle",
        "from pickle import loads",
        "import shelve",
        "from joblib import load",
        "import torch; torch.load('run.pt')",
        "from torch import load",
        "import numpy as np; np.load('run.npy', allow_pickle=True)",
    ]
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "concise", "-"]
    done = subprocess.run(
        [*command, "--stdin-filename", "rlhf_explained/new.py"],
        cwd=ROOT, input="\n".join(lines), capture_output=True, encoding="utf-8",
    )  # fmt: skip
    banned = {int(number) for number in re.findall(r":(\d+):\d+: TID251", done.stdout)}
    allowed = [line for number, line in enumerate(lines, start=1) if number not in banned]
    assert not allowed, f"pyproject.toml: ban in banned-api what these use: {allowed}"
