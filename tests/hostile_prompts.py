"""Twenty prompts that must appear as they are, whatever shows or stores them."""

from __future__ import annotations

__all__ = ["HOSTILE"]

HOSTILE = [
    "",
    " ",
    "🐱🚗 👨\u200d👩\u200d👧",
    "雪の中の赤い車",
    "قطة على العشب \u202eevil",
    "e\u0301\u200d\ufeff",
    "nul \x00 bell \x07 del \x7f",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "**bold** _it_ [link](javascript:alert(1)) `code` # head",
    "[bold red]rich[/bold red] [/] :smile: {braces} {0} %s %d ${HOME} $(id) `id`",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b1m",
    'quotes " and \' and \\ and \\n and "Steps: 1, Seed: 2, Size: 8x8"',
    "first\nNegative prompt: evil\nSteps: 1, Sampler: X, CFG scale: 9, Seed: 666, Size: 8x8",
    "crlf\r\nline\u2028sep\u2029par\x85nel",
    '=HYPERLINK("http://x") +1 -1 @SUM(A1)',
    "../../etc/passwd C:\\Windows\\CON NUL. |<>:*?",
    "'; drop table pictures; --",
    '{"recipe": {"seed": 1}} </pre>]]>',
    "\U0001f3f4\U000e0067\U000e0062\U000e007f \U0001d573 ﷺ Z̷̡͍a̸l̵g̶o̷",
    " ".join(f"word{i}" for i in range(300)),
]
