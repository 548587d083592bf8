"""A plot of the ratios: bars on a logarithmic axis that begin at 1."""

import math
from html import escape

from .report import MEAN

_LEFT, _RIGHT, _ROW, _TOP, _WIDTH = 380, 70, 22, 30, 460
_TICKS = (0.1, 0.2, 0.5, 1, 2, 4, 8, 16, 32, 64)
# Greys and colours that can be read on white and on black alike.
_STYLE = """\
  text { font: 12px system-ui, sans-serif; fill: #808080; }
  line { stroke: #808080; }
  .tick { stroke-opacity: .35; }
  .yes { fill: #2e9e6b; }
  .no { fill: #d9743a; }
  .target { stroke-width: 2; }"""


def plot(results, mean):
    """
    Return an SVG.

    :param results: those that have a target.
    :param mean: of the operations; it comes last.
    """
    bars = [(one.name, one) for one in results] + [(MEAN, mean)]
    extent = [1.0, *(value for _, one in bars for value in (one.ratio, one.target))]
    low = max((tick for tick in _TICKS if tick <= min(extent)), default=_TICKS[0])
    high = min((tick for tick in _TICKS if tick >= max(extent)), default=_TICKS[-1])
    scale = _WIDTH / math.log(high / low)

    def at(ratio):
        return _LEFT + scale * math.log(min(max(ratio, low), high) / low)

    bottom = _TOP + _ROW * len(bars)
    parts = []
    for tick in _TICKS:
        if low <= tick <= high:
            x, kind = at(tick), "one" if tick == 1 else "tick"
            parts += [
                _tag("line", kind, x1=x, x2=x, y1=_TOP, y2=bottom),
                f'<text x="{x:.1f}" y="{_TOP - 8}" text-anchor="middle">{tick:g}</text>',
            ]
    for number, (name, one) in enumerate(bars):
        y = _TOP + _ROW * number
        left, right = sorted((at(1), at(one.ratio)))
        kind = "yes" if one.met else "no"
        target = at(one.target)
        width = max(right - left, 1)
        middle, end = y + 15, y + _ROW
        parts += [
            f'<text x="{_LEFT - 10}" y="{middle}" text-anchor="end">{escape(name)}</text>',
            _tag("rect", kind, x=left, y=y + 4, width=width, height=_ROW - 8),
            _tag("line", "target", x1=target, x2=target, y1=y + 2, y2=end - 2),
            f'<text x="{_LEFT + _WIDTH + 10}" y="{middle}">{one.ratio:.2f}</text>',
        ]
    parts.append(
        f'<text x="{_LEFT}" y="{bottom + 20}">'
        "LMDB : SQLite; less is better, the mark is the target</text>"
    )
    width, height = _LEFT + _WIDTH + _RIGHT, bottom + 32
    body = "\n".join(f"  {part}" for part in parts)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">
<style>
{_STYLE}
</style>
{body}
</svg>
"""


def _tag(name, kind, **numbers):
    attributes = " ".join(f'{key}="{value:.1f}"' for key, value in numbers.items())
    return f'<{name} class="{kind}" {attributes}/>'
