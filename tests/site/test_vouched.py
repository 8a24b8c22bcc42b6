"""A number in prose is measured, shown, cited, worked out, or said to be made up."""

from pathlib import Path

import pytest

from rlhf_explained.site.publish.vouched import faults

PAGE = """<article><p>It has <span class="measured">0.71</span> in 2026.</p>
<pre><code>share 0.25, sums 7.3 and 0.5, 1,200</code></pre>
{}</article>"""


def found(html: str, folder: Path) -> list[str]:
    page = folder / "index.html"
    page.write_text(PAGE.format(html), encoding="utf-8")
    return [words for _, words in faults(page)]


@pytest.mark.parametrize(
    "html",
    [
        "<p>A quarter, .25 or 25 %, and 1200 of them.</p>",
        "<p>It stays below 100 %, in the two years to 2026.</p>",
        '<p>Labelers agreed in 72.6 % (<a href="../bibliography/#a">A 2022</a>).</p>',
        '<table><tr><td>72.6 %</td><td><a href="https://arxiv.org/abs/1">A</a></td></tr></table>',
        "<p>Suppose that 99.5 % are right.</p>",
        "<p>The sum: 7.3 − 0.5 = 6.8, and 9 × 8 / 2 = 36, 1,200 / 2 + 7.3 = 607.3.</p>",
        "<p>See section 4.2, with Python 3.11, version 1.10.2.</p>",
        "<p>Three of 12 words.</p>",
    ],
)
def test_these_are_vouched_for(html: str, tmp_path: Path) -> None:
    assert found(html, tmp_path) == []


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<p>It fell from 1.07.</p>", ["1.07"]),
        ("<p>It would win 89 % of the time.</p>", ["89"]),
        ("<ul><li>About 3,640 days.</li></ul>", ["3,640"]),
        ("<table><tr><td>plain</td><td>0.53</td></tr></table>", ["0.53"]),
        ('<p>Right in 61.5 %. <a href="../bibliography/#a">A</a> say more.</p>', ["61.5"]),
        ('<p>See <a href="../ppo/">PPO</a>: 0.66.</p>', ["0.66"]),
        ("<p>The sum: 7.3 − 0.5 = 6.9.</p>", ["7.3 − 0.5 = 6.9"]),
        ("<p>If both always take the likeliest word, it has 0.72.</p>", ["0.72"]),
        ("<p>There are 6 / 0 = 4 of them.</p>", ["6 / 0 = 4"]),
        ("<blockquote><p>It has 0.72.</p></blockquote>", ["0.72"]),
    ],
)
def test_these_are_not(html: str, words: list[str], tmp_path: Path) -> None:
    assert found(html, tmp_path) == words
