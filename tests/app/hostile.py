"""Prompts that would do something if anything read them as HTML, Markdown or a format."""

from __future__ import annotations

HOSTILE = (
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "</textarea><svg/onload=window.hacked=1>",
    "**bold** _slanted_ ~~gone~~ `code`",
    "# heading",
    "[a link](javascript:window.hacked=1)",
    "![a picture](https://example.org/x.png)",
    ":red[coloured] :blue-background[blue]",
    ":smile: :material/delete: :streamlit:",
    "$\\frac{1}{2}$ and $$x^2$$",
    "a -> b <- c --> d <-> e -- f >= g",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "- a list\n1. another",
    "{prompt} {{7*7}} %s ${HOME} #{1+1}",
    "&lt;b&gt; &amp; &#60;i&#62;",
    "'; DROP TABLE pictures; --",
    "../../etc/passwd\\..\\windows",
    "\u202eright to left\u202c \u200bzero width",
    "👩‍🚀 e\u0301 猫 مرحبا ﷽",
    "https://example.org www.example.org mail@example.org",
)
