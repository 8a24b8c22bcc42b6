"""A Content-Security-Policy in each page: it runs the site's own scripts and nothing else.

A host may send the same policy as a header, and there add `frame-ancestors 'none'`, which a page
cannot say of itself. Scripts that stand in a page are named by their SHA-256; looks may stand in a
page, since drawings and formulas carry theirs.
"""

from __future__ import annotations

import base64
import hashlib
import re

_POLICY = (
    "default-src 'self'; script-src 'self'{}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; "  # the theme's icons
    "object-src 'none'; base-uri 'none'; form-action 'self'"
)
_SCRIPT = re.compile(r"<script(?![^>]*\btype=\"?application/json)[^>]*>(.*?)</script>", re.S)


def policy(output: str) -> str:
    """The policy that a page needs.

    Args:
        output: The page's HTML, as it is published: a hash is of every byte of a script.

    Returns:
        The directives, as a header or a `<meta>` takes them.
    """
    codes = dict.fromkeys(filter(None, _SCRIPT.findall(output)))
    digests = [base64.b64encode(hashlib.sha256(code.encode()).digest()) for code in codes]
    return _POLICY.format("".join(f" 'sha256-{digest.decode()}'" for digest in digests))


def protected(output: str) -> str:
    """Put the policy at the top of a page, before all that it rules.

    Args:
        output: The page's HTML, otherwise finished.

    Returns:
        The page with its policy.
    """
    tag = f'<meta http-equiv="Content-Security-Policy" content="{policy(output)}">'
    return re.sub(r"<meta charset=[^>]*>", lambda found: found[0] + tag, output, count=1)
