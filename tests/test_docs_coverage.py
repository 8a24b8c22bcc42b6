"""Every public name says what it is; every formula also its arguments, errors and source."""

import ast
import difflib
import inspect
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from places import place

from rlhf_explained import formulas
from rlhf_explained.site.faults import line_of

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "rlhf_explained"
API = ROOT / "docs/reference/api"

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | Function


STEPS = ("single", "mean_of_counted")  # of several formulas, with what these have checked


def public(node: ast.Module | ast.ClassDef) -> Iterator[ast.ClassDef | Function]:
    """The public classes and functions of a module, and their public methods."""
    for child in node.body:
        if isinstance(child, ast.ClassDef | Function) and not child.name.startswith("_"):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from public(child)


def parameters(node: Function) -> list[str]:
    """The names as a docstring writes them, without `self`."""
    given = node.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args)]
    names += [f"*{given.vararg.arg}"] if given.vararg else []
    names += [argument.arg for argument in given.kwonlyargs]
    names += [f"**{given.kwarg.arg}"] if given.kwarg else []
    return [name for name in names if name not in ("self", "cls")]


def sections(docstring: str) -> dict[str, list[str]]:
    """The Google sections of a docstring with their entries' names."""
    found: dict[str, list[str]] = {}
    entries: list[str] | None = None
    for line in docstring.splitlines():
        if heading := re.fullmatch(r"([A-Z][a-z]+):", line):
            entries = found.setdefault(heading[1], [])
        elif line and not line.startswith(" "):
            entries = None
        elif entries is not None and (entry := re.match(r" {4}(\*{0,2}\w+)(?: \(.*?\))?:", line)):
            entries.append(entry[1])
    return found


def is_raw(node: Documented, source: str) -> bool:
    literal = ast.get_source_segment(source, node.body[0]) or ""
    return literal[:1] in "rR"


def faults(path: Path, *, formula: bool = False, sourced: tuple[str, ...] = ()) -> list[str]:
    """What the docstrings of a file lack, each with file and line.

    Args:
        path: The file.
        formula: Whether its functions must list their arguments, results and errors.
        sourced: The functions that must name their source as well.

    Returns:
        One line per fault.
    """
    source = path.read_text(encoding="utf-8")
    module = ast.parse(source, filename=str(path))
    found = []

    def fault(node: Documented, what: str) -> None:
        name = "the module" if isinstance(node, ast.Module) else node.name
        found.append(f"{path}:{getattr(node, 'lineno', 1)}: {name} {what}")

    for node in (module, *public(module)):
        docstring = ast.get_docstring(node)
        if not docstring:
            fault(node, "has no docstring: write one")
            continue
        if "\\" in (ast.get_source_segment(source, node.body[0]) or "") and not is_raw(
            node, source
        ):
            fault(node, 'has a backslash in a docstring that is not r"""raw"""')
        if not docstring.splitlines()[0].endswith((".", "?", ":")):
            fault(node, "does not begin with a sentence on one line: end it there")
        if not isinstance(node, Function):
            continue
        has = sections(docstring)
        if "Args" in has and has["Args"] != parameters(node):
            fault(node, f"documents {has['Args']}, but takes {parameters(node)}")
        thrown = [each.exc.func for each in ast.walk(node) if isinstance(each, ast.Raise)
                  and isinstance(each.exc, ast.Call)]  # fmt: skip
        for name in {one.id for one in thrown if isinstance(one, ast.Name)}:
            if name not in has.get("Raises", [name]):
                fault(node, f"raises {name}, but says {has['Raises']}")
        if formula:
            wanted = ["Args"] if parameters(node) else []
            if not (isinstance(node.returns, ast.Constant) and node.returns.value is None):
                wanted.append("Returns")
            wanted += ["Raises"] * (node.name not in STEPS) + ["Source"] * (node.name in sourced)
            for section in wanted:
                if section not in has:
                    fault(node, f"has no {section} section: write one, as kl_k1 has")
    return found


def test_every_public_name_is_documented():
    found = []
    for path in sorted((ROOT / "rlhf_explained").rglob("*.py")):
        is_formula = path.parent.name == "formulas"
        found += faults(
            path,
            formula=is_formula,
            sourced=tuple(formulas.__all__) if is_formula else (),
        )
    assert not found, "\n".join(found).replace(f"{ROOT}/", "")


def test_every_formula_has_a_formula_and_a_link():
    for name in formulas.__all__:
        docstring, where = getattr(formulas, name).__doc__, formula_at(name)
        assert re.search(r"\$\$.+?\$\$", docstring, re.DOTALL), (
            f"{where} shows no formula: write it in $$…$$"
        )
        assert re.search(r"\]\(https?://\S+\)", docstring), (
            f"{where} links no source: write [title](https://…) under Source"
        )
        assert re.search(r"nats|unit", docstring.split("\n\n")[0]), (
            f"{where} does not say its unit in the first line: end it with `in nats` or `no unit`"
        )


def test_every_function_among_the_formulas_is_one():
    """Formulas are what `formulas` exports: only those are tested as such."""
    init = place(formulas.__file__, "__all__ = ")
    for path in sorted(Path(formulas.__file__).parent.glob("*.py")):
        for node in public(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}"
            assert node.name in formulas.__all__ or node.name in STEPS or path.stem == "checks", (
                f"{where} is not exported: import it in {init} and add it to `__all__`"
            )


def test_every_formula_is_shown():
    pages = [path.read_text(encoding="utf-8") for path in API.glob("formulas/*.md")]
    blocks = re.split(r"(?m)^::: ", "\n".join(pages))
    for name in formulas.__all__:
        module = getattr(formulas, name).__module__
        listed = any(f"- {name}\n" in block for block in blocks)
        whole = any(block.startswith(f"{module}\n") and "members:" not in block for block in blocks)
        assert listed or whole, (
            f"{formula_at(name)} is on no page: name it below `members:` of `::: {module}` in "
            "docs/reference/api/formulas/, or write a page there"
        )


def formula_at(name: str) -> str:
    """File, line and name of a formula."""
    function = inspect.unwrap(getattr(formulas, name))
    return f"{place(inspect.getfile(function), f'def {name}(')}: {name}"


def docstrings(module: ast.Module) -> list[ast.Constant]:
    """All texts that stand alone, under an attribute too."""
    alone = [node.value for node in ast.walk(module) if isinstance(node, ast.Expr)]
    return [
        text for text in alone if isinstance(text, ast.Constant) and isinstance(text.value, str)
    ]


def in_prose(path: Path) -> tuple[str, set[str]]:
    """What a file says, in docstrings, prose or comments, and all words of its code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        fences = re.findall(r"(?ms)^ *(?:```|~~~)\w.*?^ *(?:```|~~~)$", text)
        return text, {*re.findall(r"\w+", "\n".join(fences))}
    module = ast.parse(text)
    said = [str(docstring.value) for docstring in docstrings(module)]
    for docstring in docstrings(module):
        docstring.value = ""
    comments = re.findall(r"(?m)^ *# .*", text)
    return "\n".join(said + comments), {*re.findall(r"\w+", ast.unparse(module))}


def strangers(path: Path, known: set[str]) -> Iterator[str]:
    """Names in backticks, such as `kl_coef` or `single(x)`, that no code has."""
    prose, own = in_prose(path)
    for name in re.findall(r"(?<!`)`([a-z]\w*_\w+)(?:\([^`\n]*\))?`(?!`)", prose):
        if name not in known | own:
            close = difflib.get_close_matches(name, known) or ["what there is"]
            what = f"no code has a name {name!r}; write {' or '.join(close)}"
            yield f"{path}:{line_of(path, rf'`{name}')}: {what}"


def test_every_name_in_backticks_is_one():
    package = [*(ROOT / "rlhf_explained").rglob("*.py")]
    known = {path.stem for path in package}
    known.update(*(in_prose(path)[1] for path in [*package, *(ROOT / "tests").rglob("*.py")]))
    known = {name for name in known if "_" in name}
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.py")]
    found = [fault for path in [*package, *pages] for fault in strangers(path, known)]
    assert not found, "\n".join(found).replace(f"{ROOT}/", "")


def test_a_name_that_no_code_has_is_found(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("`kl_k1` and `own_name`\n\n`kl_k9(x)`\n\n```python\nown_name = 1\n```\n")
    (found,) = strangers(path, {"kl_k1"})
    assert found.startswith(f"{path}:3: no code has a name 'kl_k9'; write kl_k1")


def elsewhere(path: Path) -> Iterator[str]:
    """Say of each "`NAME` in `FILE`" that the file does not have the name."""
    text = path.read_text(encoding="utf-8")
    for name, file in re.findall(r"`([\w.-]+)` in `([\w/.]+\.\w+)`", text):
        told = next((one for one in (ROOT / file, PACKAGE / file) if one.is_file()), None)
        if not told or not re.search(rf"\b{name}\b", told.read_text(encoding="utf-8")):
            line = line_of(path, f"`{name}` in `{file}")
            yield f"{path}:{line}: {file} has no {name}: name its file"


def test_names_are_in_the_files_that_documents_say():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    assert not [*chain.from_iterable(map(elsewhere, pages))]


def test_a_name_in_another_file_is_found(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(
        "`kl_k2` in `rlhf_explained/formulas/kl.py`\n\n`kl_k2` in `formulas/losses.py`\n"
    )
    assert [*elsewhere(path)] == [f"{path}:3: formulas/losses.py has no kl_k2: name its file"]


GOOD = '''"""A module."""

def double(x: float) -> float:
    r"""Twice the number, $2 \\theta$.

    Args:
        x: A number.

    Returns:
        Twice the number.

    Raises:
        ValueError: Never.

    Source:
        Euclid.
    """
    return 2 * x
'''


@pytest.mark.parametrize(
    ("good", "bad", "line", "fault"),
    [
        ('"""A module."""', "", 1, "the module has no docstring"),
        ("def double", "class Two:\n    pass\n\ndef double", 3, "Two has no docstring"),
        ("def double", "def half(x):\n    return x / 2\n\ndef double", 3, "half has no docstring"),
        (
            "def double",
            'class Two:\n    """Two."""\n\n    def half(self):\n        return 1\n\ndef double',
            6,
            "half has no docstring",
        ),
        ('r"""Twice', '"""Twice', 3, "double has a backslash"),
        ("$2 \\theta$.", "$2 \\theta$", 3, "double does not begin with a sentence"),
        ("        x: A", "        y: A", 3, "double documents ['y'], but takes ['x']"),
        ("Args:", "Arguments", 3, "double has no Args section"),
        ("Returns:", "Gives", 3, "double has no Returns section"),
        ("Raises:", "Fails", 3, "double has no Raises section"),
        ("Source:", "From", 3, "double has no Source section"),
        (
            "    return",
            "    raise TypeError(x)\n    return",
            3,
            "double raises TypeError, but says",
        ),
    ],
)
def test_a_missing_word_is_found_with_its_line(tmp_path, good, bad, line, fault):
    path = tmp_path / "module.py"
    path.write_text(GOOD, encoding="utf-8")
    assert not faults(path, formula=True, sourced=("double",))
    path.write_text(GOOD.replace(good, bad, 1), encoding="utf-8")
    (found,) = faults(path, formula=True, sourced=("double",))
    assert found.startswith(f"{path}:{line}: {fault}")
