"""What a page leaves out changes nothing on the screen."""

import pytest

from rlhf_explained.site.publish import theme_fixes


@pytest.mark.parametrize(
    ("made", "left"),
    [
        ('<a href="#x"><span class="md-ellipsis">A title\n</span></a>', '<a href="#x">A title</a>'),
        ('<a class="autorefs autorefs-internal" href="#x">x</a>', '<a href="#x">x</a>'),
        ('<code><span title="int">int</span></code>', "<code>int</code>"),
        ('<span title="torch.Tensor">Tensor</span>', '<span title="torch.Tensor">Tensor</span>'),
        ('<div class="doc-md-description">\n<p>A <b>word</b>.</p>\n</div>', "A <b>word</b>."),
        (
            '<div class="doc-md-description">\n<p>A.</p>\n<p>B.</p>\n</div>',
            '<div class="doc-md-description">\n<p>A.</p>\n<p>B.</p>\n</div>',
        ),
        ('<p data-search-exclude="">x</p>', "<p>x</p>"),
        ("<b>x</b>     <i>y</i> &para;", "<b>x</b> <i>y</i> ¶"),
        (
            '<pre><span></span><span class="normal"> 9</span>\n'
            '<span class="normal">10</span></pre>',
            "<pre> 9\n10</pre>",
        ),
        (
            '<pre><code><span class="sd">"""A</span>\n\n<span class="sd">B"""</span></code></pre>',
            '<pre><code><span class="sd">"""A\n\nB"""</span></code></pre>',
        ),
        (
            '<pre><code>f<span class="s2">"</span>{a:<span class="s2">6.2f</span>}{b}'
            '<span class="s2">"</span></code></pre>',
            '<pre><code>f"{a:6.2f}{b}"</code></pre>',
        ),
        (
            '<pre><code><span class="k">for</span> a <span class="k">in</span></code></pre>',
            '<pre><code><span class="k">for</span> a <span class="k">in</span></code></pre>',
        ),
    ],
)
def test_needless_tags_are_left_out(made: str, left: str) -> None:
    assert f"<article>{left}</article>" in theme_fixes.page(f"<article>{made}</article>")
