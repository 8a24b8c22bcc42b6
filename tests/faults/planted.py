"""Faults to plant, one at a time, in a copy of the checkout: what an author may get wrong."""

from dataclasses import dataclass

SUMMARY = "docs/guide/summary.md"  # the cheapest page to check
NOTEBOOK = "docs/notebooks/01_what_is_rlhf.py"
MASKING = "rlhf_explained/formulas/masking.py"
OUTPUT = '```text title="Output"'
BOX = """\
```text
┌──────────────┐
│  The policy  │
│  learns     │
└──────────────┘
```

??? words "In words"

    The policy learns.
"""


@dataclass(frozen=True)
class Fault:
    """What is planted, and what has to be said of it.

    Attributes:
        new: What is written, in place of `old` or at the end of the file.
        at: The words of the line that has to be named.
        says: Words of why it is a fault, as a regular expression.
        cure: Words of how to mend it, the same way.
        page: The page to check.
        file: Where it is planted, if not in the page.
        old: What it replaces.
        place: Where the line that has to be named stands, if it is not in the file.
    """

    new: str
    at: str
    says: str
    cure: str
    page: str = SUMMARY
    file: str = ""
    old: str = ""
    place: str = ""


FAULTS: dict[str, dict[str, Fault]] = {
    "figure": {
        "unknown": Fault(
            "```figure\nno-such-figure\nA caption.\n```", at="```figure",
            says="unknown figure 'no-such-figure'", cure="did you mean|known: "),
        "its code raises": Fault(
            "            1 / 0\n            year, *month = (int(", at="```figure",
            says=r"'timeline' cannot be drawn: rlhf_\S+/chapters/history.py:\d+: ZeroDivision",
            cure="mend that line", page="docs/guide/history.md",
            file="rlhf_explained/figures/chapters/history.py",
            old="            year, *month = (int(", place="docs/guide/history.md"),
        "an unknown value in its alt text": Fault(
            '"A timeline from {no-such-value} of learning', at="```figure",
            says="the alt text of figure 'timeline': .*no-such-value", cure="the closest are",
            page="docs/guide/history.md", file="rlhf_explained/figures/chapters/history.py",
            old='"A timeline of learning', place="docs/guide/history.md"),
        "without a name": Fault(
            "```figure\n```", at="```figure", says="unknown figure ''", cure="known: "),
        "touches text": Fault(
            "Look:\n```figure\ntimeline\nA caption.\n```", at="timeline", says="touches other text",
            cure="leave a blank line around it"),
        "name beside the fence": Fault(
            "```figure timeline\nA caption.\n```", at="```figure timeline",
            says="figure takes nothing on its first line", cure="put 'timeline' below it"),
    },
    "value": {
        "unknown": Fault(
            "It scored {{ value: ppo-golf }}.", at="ppo-golf", says="unknown value 'ppo-golf'",
            cure="did you mean ppo-gold"),
        "misspelt": Fault(
            "It scored {{ vlaue: ppo-gold }}.", at="vlaue", says="unknown macro 'vlaue'",
            cure="did you mean value"),
        "whose unit stands twice": Fault(
            "It helps in {{ value: ppo-helpful }} nats of all answers.", at="ppo-helpful }} nats",
            says="has its unit", cure="take 'nats' out"),
        "minutes of no page": Fault(
            "It takes {{ minutes: guide/no-such-page.md }}.", at="no-such-page",
            says="no page 'guide/no-such-page.md'", cure="name pages that are there"),
    },
    "samples": {
        "bad option": Fault(
            "```samples\npolicy: sft\ncommonest: 2\n```", at="policy: sft",
            says="'policy: sft' is not an option", cure="did you mean policies"),
    },
    "explore": {
        "unknown kind": Fault(
            "```explore\nkind: chaet\n```", at="kind: chaet", says="unknown kind 'chaet'",
            cure="did you mean cheat"),
        "option that it does not take": Fault(
            "```explore\nkind: cheat\nseed: 1\n```", at="kind: cheat",
            says="cheat has no option 'seed'", cure="leave the line out"),
        "no kind": Fault(
            "```explore\nseed: 1\n\nWords.\n```", at="seed: 1", says="it names no kind",
            cure="begin it with a line"),
    },
    "diagram": {
        "without words": Fault(
            BOX.partition("\n\n???")[0].replace("learns ", "learns  "), at="│  The policy  │",
            says="the diagram has no words",
            cure='write them in a `\\?\\?\\? words "In words"` right below it'),
        "of other numbers than its words": Fault(
            BOX.replace("learns ", "is 7.2 ").replace("The policy learns.", "It is 7.3."),
            at="│  The policy  │", says="7.. stands in only one of this diagram and its words",
            cure="mend one"),
        "ragged": Fault(
            BOX, at="│  learns     │", says="15 columns wide, its frame 16",
            cure="mend it with blanks"),
    },
    "formula": {
        "on a page": Fault(
            r"The loss is $\frac{1$.", at=r"\frac{1", says="does not parse", cure="mend its TeX"),
        "a low sign of several letters": Fault(
            r"It is $\pi_ref$.", at=r"\pi_ref", says="only the first sign of 'ref' is moved",
            cure="write `_{ref}`"),
        "a high sign of several digits": Fault(
            "It is $10^12$.", at="10^12", says="only the first sign of '12' is moved",
            cure=r"write `\^\{12\}`"),
        "money": Fault(
            "It costs $15–$20.", at="$15–$20", says="its dollars are money", cure=r"write `\\\$`"),
        "numbers that do not hold": Fault(
            r"It is $\frac{1}{8} \approx 0.15$.", at=r"\frac{1}{8}",
            says=r"does not hold: it says 0.125 = 0.15", cure="mend one"),
        "a symbol that it lacks": Fault(
            "## Law\n\n$$x = \\alpha$$\n\n- $a$: its slope", at="- $a$",
            says="`a` does not stand in the formula above", cure="mend one of them"),
        "in a docstring": Fault(
            "$$\\frac{1$$\n\n    Args:\n        logprobs", at=r"\frac{1", says="does not parse",
            cure="mend its TeX", page="rlhf_explained/formulas/kl.py",
            old="Args:\n        logprobs"),
    },
    "link": {
        "to no page": Fault(
            "[PPO](proximal.md)", at="proximal.md",
            says="'proximal.md'.* is not found among documentation files", cure="name a page"),
        "to no heading": Fault(
            "[PPO](ppo.md#no-such-heading)", at="no-such-heading",
            says="does not contain an anchor '#no-such-heading'",
            cure="name the id of a heading there"),
        "to no heading of this page": Fault(
            "[Below](#what-is-rihf)", at="#what-is-rihf",
            says="there is no such anchor on this page", cure=r"did you mean #what-is-rlhf\?"),
        "in raw HTML": Fault(
            '<a href="../no-such-page/">x</a>', at="../no-such-page/",
            says="'../no-such-page/' leads nowhere: no such file", cure="name one that is there"),
        "absolute": Fault(
            "[PPO](/guide/proximal.md)", at="/guide/proximal.md",
            says="'/guide/proximal.md'.* is not found among documentation files",
            cure="name a page"),
        "that runs a script": Fault(
            "[PPO](javascript:alert(1))", at="javascript:",
            says="the link 'javascript:alert\\(1\\)' runs a script", cure="name a page"),
        "without its address": Fault(
            "[PPO][]", at="[PPO][]", says="nothing says where 'PPO' leads", cure="write it below"),
        "in README.md": Fault(
            "[How](docs/no-such-file.md)", at="docs/no-such-file.md",
            says="'docs/no-such-file.md' leads nowhere", cure="name a file that is there",
            page="README.md"),
    },
    "command": {
        "in README.md": Fault(
            "Type `make serev`.", at="make serev", says="`make` knows no 'serev'",
            cure="did you mean serve", page="README.md"),
    },
    "term": {
        "not in the glossary": Fault(
            "[Clip](../reference/glossary.md#cliping)", at="#cliping",
            says="does not contain an anchor '#cliping'", cure="did you mean #clip"),
    },
    "citation": {
        "of no source": Fault(
            "[Ouyang et al.](../reference/bibliography.md#ouyang2002)", at="#ouyang2002",
            says="does not contain an anchor '#ouyang2002'", cure="did you mean #ouyang2022"),
        "by nobody": Fault(
            "## Nobody 2031 {#nobody2031}\n\nNobody, N. 2031. [Nothing](https://example.org/n).",
            at="{#nobody2031}", says="nothing cites 'nobody2031'", cure="cite it or take it out",
            page="docs/reference/bibliography.md"),
        "of another source": Fault(
            "[Ouyang et al. 2022](../reference/bibliography.md#stiennon2020)", at="#stiennon2020)",
            says="'Ouyang et al. 2022' leads to 'Stiennon et al. 2020'",
            cure="name the entry that is meant"),
    },
    "name of a link": {
        "another paper": Fault(
            "[arXiv:2402.01306](https://arxiv.org/abs/2402.01360)", at="2402.01360",
            says="'arXiv:2402.01306' leads to https", cure="mend one of the two"),
        "another host": Fault(
            "[openai.com](https://example.org/)", at="[openai.com]",
            says="'openai.com' leads to https://example.org/", cure="mend one of the two"),
        "another term": Fault(
            "[DPO](../reference/glossary.md#grpo)", at="[DPO]", says="'DPO' leads to 'GRPO'",
            cure="name the entry that is meant"),
        "a notebook's file": Fault(
            "[DPO](../notebooks/04_dpo.ipynb)", at="04_dpo.ipynb", says="is a file, not a page",
            cure="write .py in place of .ipynb"),
        "a section that README.md looks for": Fault(
            "[PPO](docs/guide/ppo.md#why-pqo)", at="#why-pqo", says="has no section 'why-pqo'",
            cure="did you mean why-ppo", page="README.md"),
    },
    "list of the sources": {
        "out of order": Fault(
            "## Aaa 2031 {#aaa2031}", at="## Aaa 2031", says="'Aaa 2031' stands below 'Ziegler",
            cure="put it where the alphabet has it", page="docs/reference/bibliography.md"),
    },
    "README": {
        "a file that is not there": Fault(
            "  naming.py ", at="  naming.py", says="there is no rlhf_explained/naming.py",
            cure="did you mean names.py", page="README.md", old="  names.py "),
        "a file that it leaves out": Fault(
            "", at="rlhf_explained/", says="leaves out rlhf_explained/report.py", cure="add it",
            page="README.md", old="  report.py           a run on the terminal"),
        "a backtick": Fault(
            "- `make bench times edits", at="`make bench times", says="begins or ends nothing",
            cure="close it", page="CHANGELOG.md"),
    },
    "image": {
        "without alt text": Fault(
            "![](../assets/favicon.svg)", at="favicon.svg", says="has no alt text",
            cure="say what it shows"),
    },
    "HTML": {
        "an id twice": Fault(
            '<i id="recap"></i>\n\n<b id="recap"></b>', at='<i id="recap">',
            says="two elements have the id 'recap'", cure="name one of them anew"),
        "a script": Fault(
            "<script>document.title = 1</script>", at="<script>",
            says="no page's own script is run", cure="take it out"),
        "a handler": Fault(
            '<b onclick="alert(1)">x</b>', at="onclick", says="no script of a page is run",
            cure="take out 'onclick='"),
        "something loaded from elsewhere": Fault(
            '<img alt="A cat" src="https://example.org/cat.png">', at="cat.png",
            says="is loaded: it comes from another origin", cure="put it into docs/assets"),
    },
    "output": {
        "wrong": Fault(
            f"```python\nprint(1)\n```\n\n{OUTPUT}\n2\n```", at=OUTPUT,
            says="is not what the code above it .* prints", cure="make outputs"),
        "missing": Fault(
            "```python\nx = 1\nprint(x)\n```", at="```python", says="no Output block under it",
            cure="make outputs"),
        "that says nothing": Fault(
            f"```python\nprint(1)\n```\n\n{OUTPUT}\n...\n```", at=OUTPUT,
            says="is not what the code above it .* prints", cure="make outputs"),
        "of a doctest in a docstring": Fault(
            "Examples:\n        >>> 1 + 1\n        3\n\n"
            "    Args:\n        values: Any quantity, usually one per token.",
            at=">>> 1 + 1", says="does not give what it says", cure="make outputs", page=MASKING,
            old="Args:\n        values: Any quantity, usually one per token."),
    },
    "code": {
        "raises": Fault(
            "```python\nx = 1\nx / 0\n```", at="x / 0", says="this code raises ZeroDivisionError",
            cure="mend it"),
        "is no Python": Fault(
            "```python\nx = 1\nx = = 2\n```", at="x = = 2", says="this code raises SyntaxError",
            cure="mend it"),
        "leaves a file open": Fault(
            '```python\nx = len(open("mkdocs.yml").read())\n```', at="x = len(open",
            says="writes to standard error: ResourceWarning: unclosed file", cure="mend it"),
        "raises in a thread": Fault(
            "```python\nimport threading\n\nthreading.Thread(target=lambda: 1 / 0).start()\n```",
            at="lambda: 1 / 0", says="writes to standard error: ZeroDivisionError", cure="mend it"),
        "ends Python": Fault(
            "```python\nimport os\nos._exit(0)\n```", at="```python",
            says="ends Python or never ends", cure="mend it"),
        "doctest without a blank": Fault(
            "```pycon\n>>> x = 1\n>>>x\n1\n```", at=">>>x", says="lacks blank after >>>",
            cure="mend it"),
        "doctest skipped by accident": Fault(
            "```pycon\n>>> 1  # doctest: +SKIP\n2\n```", at="+SKIP",
            says="skipped without a reason", cure="take it out"),
        "of a module is no Python": Fault(
            "\ndef half(:\n", at="def half(:", says="this is no Python", cure="mend it",
            page=MASKING),
    },
    "fence": {
        "skipped without a reason": Fault(
            "<!-- skip: next -->\n\n```python\n1\n```", at="<!-- skip: next -->",
            says="a skip comment", cure='has to read <!-- skip: next "reason" -->'),
        "never closed": Fault(
            "```python\nx = 1", at="```python", says="no line closes this fence",
            cure="write one below it"),
        "of Python that nobody runs": Fault(
            "```json\nprint(1)\n```", at="```json", says="nobody runs the Python in this fence",
            cure="make it python"),
        "missing around a doctest": Fault(
            ">>> 1 / 0\n5", at=">>> 1 / 0", says="nobody runs this `>>>`",
            cure="write a fence around it"),
        "of an unknown language": Fault(
            "```pyhton\nx = 1\n```", at="```pyhton", says="nobody knows whether to run pyhton",
            cure="name one of python, "),
    },
    "quiz": {
        "misnumbered": Fault(
            '??? question "1. Why?"\n\n    So.\n\n??? question "3. How?"\n\n    Thus.',
            at='"3. How?"', says=r"question 2 of the quiz should stand here, not '3. How\?'",
            cure="number them in order"),
    },
    "chapter": {
        "without its box": Fault(
            "!!! note", at="# Summary",
            says='no `!!! learn "What you\'ll learn"` right below the title',
            cure="write two to four lines", old='!!! learn "What you\'ll learn"'),
        "front matter that is no YAML": Fault(
            "search: [", at="page: recap",  # where YAML stumbles
            says=r"the front matter is no YAML.* \(expected .*\)", cure="mend it", old="search:"),
        "front matter of another type": Fault(
            'description: [one, two]\nabout: "RLHF', at="description: [",
            says="'description' has to be a text", cure="mend it", old='description: "RLHF'),
        "front matter that is misspelt": Fault(
            "serach:", at="serach:", says="the front matter says 'serach'",
            cure="did you mean search", old="search:"),
        "front matter without its first line": Fault(
            "description:", at="description:",
            says="the front matter is no YAML between two lines `---`", cure="mend it",
            old="---\ndescription:"),
        "front matter that hides nothing": Fault(
            "hide: [tocs]\ndescription:", at="hide: [tocs]", says="'hide' knows no 'tocs'",
            cure="did you mean toc", old="description:"),
        "without a description": Fault(
            "about:", at="---", says="the description has 0 characters",
            cure="write one of 50 to 180", old="description:"),
        "that the home page does not name": Fault(
            "", at="# Summary", says="the home page does not name this chapter",
            cure=r"add it at docs/index.md:\d+", file="docs/index.md", old="](guide/summary.md)",
            place=SUMMARY),
        "that leads on to another than the next": Fault(
            "**Next:** [PPO](ppo.md)", at="**Next:**", says="in mkdocs.yml quiz.md comes next",
            cure=r"end with `\*\*Next:\*\* \[its title\]\(quiz.md\)`",
            old="**Next:** [Test your understanding](quiz.md)"),
        "search terms of no heading": Fault(
            "    no-such-heading: recap\n    page: recap", at="no-such-heading: recap",
            says="search terms of 'no-such-heading': the page has no such id",
            cure="name one of its headings", old="    page: recap"),
        "search terms of no heading of a notebook": Fault(
            "#       no-such-heading: recap\n#       page: download", at="no-such-heading: recap",
            says="search terms of 'no-such-heading': the page has no such id",
            cure="name one of its headings", page=NOTEBOOK, old="#       page: download"),
    },
    "unread": {
        name: Fault(*parts)
        for name, parts in {
            "list under a paragraph": (
                "Two:\n- one\n- two",
                "- one",
                "is no list",
                "a blank line above",
            ),
            "nested list": ("- one\n\n  - two", "  - two", "indented by 2", "multiple of four"),
            "fence in a list": (
                "1. one\n\n   ```text\n   x\n   ```",
                "   ```text",
                "by 3",
                "of four",
            ),
            "text out of its box": ("??? note\n\n  Text.", "  Text.", "indented by 2", "of four"),
            "empty box": ("!!! note\n\nText.", "!!! note", "box is empty", "indent by four"),
            "formula in a paragraph": (
                "It is\n$$\nx\n$$\n.",
                "$$",
                "no formula",
                "a blank line above",
            ),
            "TeX without dollars": (
                "It is \\alpha.",
                "\\alpha",
                "outside of dollars",
                "between them",
            ),
            "footnote without text": ("So.[^gone]", "[^gone]", "has no text", "write it below"),
            "footnote of nobody": ("[^idle]: So.", "[^idle]:", "nothing refers", "or take it out"),
            "uneven table": ("| a | b |\n|---|---|\n| 1 |", "| 1 |", "1 cells, .* 2", "mend one"),
            "task": ("- [ ] one", "[ ] one", "no boxes to tick", "write ✓"),
            "struck": ("~~gone~~", "~~gone~~", "crosses nothing out", "write it anew"),
            "emoji by name": ("Good :smile:", ":smile:", "no sign has a name", "the sign itself"),
            "conflict": (
                "<<<<<<< HEAD\nx",
                "<<<<<<<",
                "a merge that conflicted",
                "choose one side",
            ),
            "comment": ("<!-- TODO\n\nText.", "<!-- TODO", "swallows all below", "close it"),
            "hidden character": (
                "```text\na\u202eb\n```",
                "a\u202eb",
                "nobody sees",
                "write it anew",
            ),
            "box of no kind": (
                '!!! warnning "Stop"\n\n    Here.', "!!! warnning", "no box is called 'warnning'",
                "did you mean warning"),
            "hidden answer of no kind": (
                '??? qestion "Why?"\n\n    So.', "??? qestion", "no box is called 'qestion'",
                "did you mean question"),
            "sign of HTML": ("5&ndahs;10", "&ndahs;", "knows no '&ndahs;'", "type the sign itself"),
            "element that nothing closes": (
                "<details>\n<summary>Why</summary>\n\nSo.", "<details>", "nothing closes this <det",
                "write `</details>` where it ends"),
            "Cyrillic letter": (
                "The pr\u043exy rises.", "pr\u043exy", "only looks Latin", "type it anew"),
            "Greek capital in code": (
                "`\u0391dam`", "\u0391dam", "only looks Latin", "type it anew"),
            "no-break blank in a command": (
                "`make\u00a0test`", "make\u00a0", r"no shell takes the '\\xa0'", "type it anew"),
            "dash before an option": (
                "`python -m rlhf_explained train \u2013json`", "\u2013json",
                r"no shell takes the '\\u2013'", "type it anew"),
            "quotation marks in a console": (
                "```console\n$ echo \u201cx\u201d\n```", "echo \u201cx", "no shell takes the",
                "type it anew"),
            "day of no calendar": (
                "On 31 June it began.", "31 June", "no calendar has this", "look the date up"),
            "day of no month": (
                "On 42 March 2023 it is.", "42 March", "no calendar has", "look the date up"),
            "braces that nothing fills": (
                "It earns {ppo-gold}.", "{ppo-gold}", "nothing fills these braces",
                "write `{{ value: NAME }}`"),
            "value of another row": (
                "| | PPO |\n|---|---|\n| harmful | {{ value: ppo-helpful }} |", "ppo-helpful",
                "shows ppo-helpful where its labels say ppo-harmful", "mend one"),
            "value of another column": (
                '| | <b class="stage-sft">x</b> |\n|---|---|\n| gold | {{ value: ppo-gold }} |',
                "ppo-gold", "shows ppo-gold where its labels say sft-gold", "mend one"),
            "items that are fewer than said": (
                "There are three reasons:\n\n1. One.\n2. Two.", "three reasons:",
                "'three reasons:' has 2 items", "mend one"),
            "heading that stands twice": (
                "## Again\n\n## Again", "## Again", "the second heading", "give it another"),
            "merge that underlines": ("So\n=======\nit is.", "=======", "a merge", "one side"),
            "stroke in a cell": (
                "| a | b |\n|---|---|\n| P(a | b) | 1 |", "P(a | b)", "3 cells", r"write `\\\|`"),
            "second title": ("# Again", "# Again", "is a second title", "two marks"),
            "heading without a name": ("## 日本", "## 日本", "no letter a to z", "add `{#a-name}`"),
            "command": (
                "Type `make serev`.",
                "make serev",
                "knows no 'serev'",
                "did you mean serve",
            ),
            "list in a caption": (
                "```figure\ntimeline\nLook:\n\n- one\n```",
                "- one",
                "is no list",
                "a blank line above",
            ),
        }.items()
    },
    "configuration": {
        "page not in nav": Fault(
            "", at="---", says='not included in the "nav" configuration',
            cure="add it to nav in mkdocs.yml", file="mkdocs.yml", old="      - guide/summary.md\n",
            place=SUMMARY),
        "no YAML": Fault(
            "nav: [\n", at="  - Home: index.md", says="an error parsing the configuration file",
            cure="mend", file="mkdocs.yml", old="nav:\n"),
    },
    "settings": {
        "feature": Fault(
            "content.code.coppy", at="content.code.coppy", says="the theme has no feature",
            cure="did you mean content.code.copy", file="mkdocs.yml", old="content.code.copy"),
        "script": Fault(
            "javascripts/term.js", at="javascripts/term.js", says="there is no docs/assets/java",
            cure="did you mean assets/javascripts/terms.js", file="mkdocs.yml",
            old="javascripts/terms.js"),
        "search": Fault(
            "/|+|", at="separator:", says="the search finds", cure="mend it",
            file="mkdocs.yml", old="/|]+|"),
    },
    "API": {
        "section that no docstring has": Fault(
            "Return:\n", at="    Return:", says="no section 'Return'", cure="did you mean Returns",
            page=MASKING, old="Returns:\n"),
        "reference to nothing": Fault(
            "See [`kl`][rlhf_explained.formulas.no_such_name].",
            at="rlhf_explained.formulas.no_such_name",
            says="target 'rlhf_explained.formulas.no_such_name'",
            cure="name something that a page of docs/reference/api shows"),
        "parameter that does not exist": Fault(
            "Args:\n        valves: Any quantity, usually one per token.", at="valves:",
            says="Parameter 'valves' does not appear", cure="name what there is", page=MASKING,
            old="Args:\n        values: Any quantity, usually one per token."),
        "module that does not exist": Fault(
            "::: rlhf_explained.formulas.no_such_module",
            at="::: rlhf_explained.formulas.no_such_module", says="no_such_module",
            cure="name a module that is there", page="docs/reference/api/formulas/kl.md"),
    },
    "notebook": {
        "broken link": Fault(
            "# %% [markdown]\n# [PPO](../guide/proximal.md)", at="proximal.md",
            says="'../guide/proximal.md', but the target .* is not found", cure="name a page",
            page=NOTEBOOK),
        "code among its prose": Fault(
            "# %% [markdown]\n# ```python\n# x = 1\n# ```", at="# ```python",
            says="nobody runs this fence", cure="make it a cell", page=NOTEBOOK),
        "cell raises": Fault(
            "import torch\n\n1 / 0\n", at="1 / 0", says="the cell raises ZeroDivisionError",
            cure="mend it", page=NOTEBOOK, old="import torch\n"),
        "cell is no Python": Fault(
            "# %%\nx = 1\nx = = 2", at="x = = 2", says="this is no Python", cure="mend it",
            page=NOTEBOOK),
        "plot without alt text": Fault(
            '# %% alt=""\nimport matplotlib.pyplot as plt\n\nplt.plot([1]);', at='# %% alt=""',
            says="an image without alt text", cure="write `# %% alt=", page=NOTEBOOK),
        "warning": Fault(
            "import warnings; warnings.warn('old')  # planted\nimport torch\n",
            at="import warnings; warnings.warn('old')  # planted",
            says="this cell writes to standard error: .*UserWarning: old", cure="mend it",
            page=NOTEBOOK, old="import torch\n"),
        "tag that nobody heeds": Fault(
            '# %% tags=["remove_input"]\n1', at='# %% tags=["remove_input"]',
            says="no page heeds the tag 'remove_input'", cure="known: install", page=NOTEBOOK),
        "cell of no kind": Fault(
            "# %% [markdwon]\n# It is.", at="# %% [markdwon]", says="is marked '.markdwon.'",
            cure="did you mean markdown", page=NOTEBOOK),
        "mark with one sign": Fault(
            "# % [markdown]\n# It is.", at="# % [markdown]", says="a cell begins with",
            cure="write it so", page=NOTEBOOK),
        "mark that nobody heeds": Fault(
            '# %% tgas=["solution"]\n1', at="# %% tgas=", says="no cell is marked 'tgas'",
            cure="did you mean tags", page=NOTEBOOK),
        "fold that nothing closes": Fault(
            "# %% [markdown]\n# <details>\n# <summary>In words</summary>\n#\n# So.",
            at="# <details>", says="nothing closes this <details>", cure="write `</details>`",
            page=NOTEBOOK),
        "installs something else": Fault(
            "install --quiet rlhf-explained\n", at="install --quiet rlhf-explained",
            says="installs another package than the site", cure="of 01_what_is_rlhf.py",
            page=NOTEBOOK, old="install --quiet rlhf_explained.whl\n"),
        "script in an output": Fault(
            "# %%\ndisplay(HTML('<script>1</script>'))", at="display(HTML('<script>1</script>'))",
            says="this output holds '<script'", cure="print or draw what it means", page=NOTEBOOK),
    },
}  # fmt: skip
