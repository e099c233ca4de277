"""What an explorer shows: pictures with captions, a legend of their colours, a still of it all."""

from __future__ import annotations

import html
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import matplotlib
import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from dga.lessons import plots
from dga.lessons.plots import Pixels

# What the colours of a map mean, and the two ends of its legend.
SCALES = {
    "magnitude": (plots.MAGNITUDE, "0", "most"),
    "signed": (plots.SIGNED, "against", "for"),
    "mask": ("gray", "removed", "kept"),
}
_COARSE = 128  # pixels; smaller pictures are enlarged without smoothing
_STILL = 60_000  # bytes


@dataclass(frozen=True)
class Panel:
    """A picture with a caption.

    Attributes:
        title: of the picture; with the value also its text for those who cannot see it.
        picture: (H, W, 3) in 0..1.
        value: what stands under the title, a number mostly.
        scale: a key of `SCALES`, or None for a photograph or a curve.
        sharp: whether it has thin lines, which JPEG would blur.

    Example:
        >>> import numpy as np
        >>> panel = Panel("sum so far", np.ones((64, 64, 3)), "8.12")
        >>> panel.alt
        'sum so far: 8.12'
    """

    title: str
    picture: Pixels
    value: str = ""
    scale: str | None = None
    sharp: bool = False

    @property
    def alt(self) -> str:
        """What a screen reader says instead of the picture."""
        return f"{self.title}: {self.value}" if self.value else self.title

    @property
    def caption(self) -> str:
        """Title and value as HTML."""
        title, value = html.escape(self.title), html.escape(self.value)
        return f'<div data-alt="{html.escape(self.alt)}"><b>{title}</b><br>{value}</div>'

    @property
    def coarse(self) -> bool:
        """Whether its pixels are so few that they should be seen."""
        return bool(self.picture.shape[1] < _COARSE)

    @cached_property
    def image(self) -> Image.Image:
        """The picture in bytes."""
        return Image.fromarray(np.rint(self.picture * 255).astype(np.uint8))

    def encoded(self) -> tuple[str, bytes]:
        """Format and bytes: PNG where it is small and quick to make, else JPEG."""
        buffer = io.BytesIO()
        if self.coarse or self.sharp:
            self.image.save(buffer, "png", compress_level=1)
            return "png", buffer.getvalue()
        self.image.save(buffer, "jpeg", quality=90, subsampling=0)
        return "jpeg", buffer.getvalue()


def heat(title: str, attribution: Tensor, value: str = "") -> Panel:
    """A panel with the map of an attribution: blue-white-red if it has negative values.

    Args:
        title, value: see `Panel`.
        attribution: (1, C, H, W).

    Example:
        >>> import torch
        >>> heat("Gradient", torch.tensor([[[[1.0, -1.0]]]])).scale
        'signed'
    """
    signed = bool((attribution < 0).any())
    picture = plots.heatmap(attribution[0].float(), signed=signed)
    return Panel(title, picture, value, "signed" if signed else "magnitude")


def mask(title: str, kept: Tensor, value: str = "") -> Panel:
    """A panel with a mask or a blend of masks: white where all channels stay.

    Args:
        title, value: see `Panel`.
        kept: (1, C, H, W), 0..1 or bool.

    Example:
        >>> import torch
        >>> mask("blend", torch.tensor([[[[True, False]]]])).picture[0, :, 0].tolist()
        [1.0, 0.0]
    """
    grey = kept[0].float().mean(0).cpu().numpy()[..., None].repeat(3, 2)
    return Panel(title, grey, value, "mask")


def curve(title: str, values: Sequence[float], at: int, value: str = "") -> Panel:
    """A panel with a curve and a marker at one of its points.

    Args:
        title, value: see `Panel`.
        values: the curve, from left to right.
        at: the position of the marker.

    Example:
        >>> curve("score", [0.9, 0.7, 0.1], at=1).picture.shape
        (240, 240, 3)
    """
    return Panel(title, plots.trace(values, at, 240, 240), value, sharp=True)


def blank(title: str = "…") -> Panel:
    """A panel with nothing to show, as large as any other.

    Args:
        title: stands under it.

    Example:
        >>> blank().picture.shape
        (8, 8, 3)
    """
    return Panel(title, np.full((8, 8, 3), 0.93, np.float32))


def legend(panels: Sequence[Panel]) -> str:
    """The meaning of the colours in these panels, as HTML.

    Example:
        >>> import torch
        >>> "removed" in legend([mask("blend", torch.ones(1, 1, 2, 2))])
        True
    """
    strips, scales = [], _scales(panels)
    for name, low, high in (SCALES[scale] for scale in scales):
        steps = ",".join(
            matplotlib.colors.to_hex(matplotlib.colormaps[name](k / 8)) for k in range(9)
        )
        strips.append(
            f'<span>{low} <i style="background:linear-gradient(to right,{steps})"></i> '
            f"{high}</span>"
        )
    note = " <span>each map has its own scale</span>" if set(scales) - {"mask"} else ""
    return f'<div class="dga-legend">{"".join(strips)}{note}</div>'


def _scales(panels: Sequence[Panel]) -> list[str]:
    return [scale for scale in SCALES if any(panel.scale == scale for panel in panels)]


def still(panels: Sequence[Panel], heading: str, text: str) -> bytes:
    """All of an explorer as one JPEG of at most 60 kB, for pages where no kernel runs.

    Args:
        panels: three or four in a row.
        heading, text: above and below them.

    Example:
        >>> content = still([blank("a"), blank("b")], "Step: 1", "Nothing yet.")
        >>> Image.open(io.BytesIO(content)).size
        (748, 367)
    """
    rows = -(-len(panels) // 4)
    columns = max(3, -(-len(panels) // rows))
    size, gap, line = 732 // columns - 4, 4, 17
    width = 748
    above, below = (textwrap.wrap(part, width // 7) for part in (heading, text))
    pitch = size + 2 * line + 2 * gap
    top = (len(above) + 1) * line
    bottom = top + rows * pitch
    sheet = Image.new("RGB", (width, bottom + (len(below) + 2) * line), "white")
    draw = ImageDraw.Draw(sheet)
    font = plots.font(12)
    for k, words in enumerate(above):
        draw.text((gap, gap + k * line), words, "#555555", font)
    for k, panel in enumerate(panels):
        x, y = gap + k % columns * (size + gap), top + k // columns * pitch
        way = Image.Resampling.NEAREST if panel.coarse else Image.Resampling.LANCZOS
        sheet.paste(panel.image.resize((size, size), way), (x, y))
        draw.rectangle((x, y, x + size - 1, y + size - 1), outline="#bbbbbb")
        draw.text((x, y + size + 2), panel.title[:28], "black", font)
        draw.text((x, y + size + 2 + line), panel.value[:28], "black", font)
    x = gap
    for name, low, high in (SCALES[scale] for scale in _scales(panels)):
        draw.text((x, bottom), low, "black", font)
        x += round(draw.textlength(low, font)) + gap
        colours = matplotlib.colormaps[name](np.linspace(0, 1, 90))[None, :, :3]
        strip = Image.fromarray(np.rint(colours * 255).astype(np.uint8)).resize((90, 10))
        sheet.paste(strip, (x, bottom + 3))
        draw.text((x + 90 + gap, bottom), high, "black", font)
        x += 90 + round(draw.textlength(high, font)) + 6 * gap
    for k, words in enumerate(below, 1):
        draw.text((gap, bottom + k * line), words, "black", font)
    for quality in (85, 75, 65, 55, 45, 35, 25):
        buffer = io.BytesIO()
        # Noise at the size of a pixel: colours at half the resolution cost less than blocks.
        sheet.save(buffer, "jpeg", quality=quality, subsampling=2 * (quality < 60), optimize=True)
        if buffer.tell() <= _STILL:
            break
    return buffer.getvalue()


# The page: panels of at least 220 pixels that wrap, captions of two lines, a line of text that
# keeps its height. What ipywidgets gives its boxes (scroll bars, margins) is taken back.
STYLE = """
.dga-explorer { width: 100%; overflow: visible; container-type: inline-size; }
.dga-explorer .widget-box { overflow: visible; }
.dga-explorer .dga-row { display: flex; flex-flow: row wrap; gap: 0 12px; align-items: center; }
.dga-explorer .dga-head { height: 0; min-height: 0; margin: 0; overflow: hidden; }
.dga-explorer .dga-row > * { flex: 1 1 19em; max-width: 24em; min-width: 0; }
.dga-explorer .dga-row > .widget-text { flex: 0 1 11em; }
.dga-explorer .dga-row select { min-width: 0; width: 100%; }
.dga-explorer .dga-row > .widget-slider { flex: 1 1 26em; width: auto; max-width: none; }
.dga-explorer .dga-row > .widget-slider.dga-wide { flex-basis: 100%; }
.dga-explorer .dga-row > .widget-upload { flex: 0 0 auto; width: auto; }
.dga-explorer .dga-text .widget-html-content
  { height: 2.8em; overflow-y: auto; line-height: 1.4; font-size: 14px; white-space: normal; }
.dga-explorer .dga-panels { display: grid; gap: 8px; margin: 2px;
  grid-template-columns: repeat(auto-fill, minmax(min(220px, 100%), 1fr)); }
.dga-explorer .dga-panel { margin: 0; }
.dga-explorer .dga-panel .dga-picture { width: 100%; height: auto; aspect-ratio: 1;
  border: 1px solid #bbb; box-sizing: border-box; margin: 0; background: #ededed; }
.dga-explorer .dga-coarse { image-rendering: pixelated; }
.dga-explorer .dga-panel .widget-html-content { line-height: 1.35; min-height: 2.7em; }
.dga-explorer .dga-panel .widget-html { width: 100%; margin: 2px 0; }
/* The arrow of a list is black in every theme. */
[data-jp-theme-light="false"] .dga-explorer { --jp-widgets-dropdown-arrow: url("data:image/svg+xml,\
%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 18 18'%3E\
%3Cpath d='M5 7l4 4 4-4' fill='none' stroke='white' stroke-width='2'/%3E%3C/svg%3E"); }
.dga-busy .dga-picture { opacity: 0.35; }
.dga-legend { display: flex; flex-flow: row wrap; gap: 0 24px; line-height: 1.5; }
.dga-legend i { display: inline-block; width: 90px; height: 10px; border: 1px solid #bbb; }
.dga-hint { font-size: 12px; line-height: 1.2; white-space: normal; }
@container (max-width: 700px) { .dga-explorer .dga-text .widget-html-content { height: 5.6em; } }
@container (max-width: 420px) {
  .dga-explorer .dga-text .widget-html-content { height: 8.4em; }
  .dga-explorer .dga-row > .widget-slider { flex-wrap: wrap; height: auto; }
  .dga-explorer .dga-row > .widget-slider > label
    { width: 100% !important; text-align: left; height: 20px; line-height: 20px; }
}
"""

# What ipywidgets does not say to screen readers, and JupyterLab's shortcuts: without the attribute
# (on what has the focus itself: above it JupyterLab does not look) "r", "m" and "dd" on a list or
# slider change or delete the cell. Combinations with Ctrl, Alt or Cmd stay JupyterLab's.
SCRIPT = """
(probe => {
  const set = (e, name, text) => e.getAttribute(name) === text || e.setAttribute(name, text);
  const name = box => {
    for (const handle of box.querySelectorAll('.noUi-handle, .ui-slider-handle')) {
      const control = handle.closest('.widget-slider, .widget-inline-hbox');
      const label = control.querySelector('label')?.textContent || 'value';
      const readout = control.querySelector('.widget-readout');
      set(handle, 'aria-label', label);
      if (readout) {
        set(handle, 'aria-valuetext', readout.textContent);
        set(readout, 'role', 'textbox');
        set(readout, 'aria-label', label + ', typed');
      }
    }
    for (const text of box.querySelectorAll('[data-alt]')) {
      const image = text.closest('.dga-panel')?.querySelector('img');
      if (image) set(image, 'alt', text.dataset.alt);
    }
    for (const line of box.querySelectorAll('.dga-text .widget-html-content')) {
      set(line, 'role', 'status');
      set(line, 'aria-live', 'polite');
    }
    for (const bar of box.querySelectorAll('.progress')) set(bar, 'aria-label', 'progress');
  };
  const start = tries => {
    const box = probe.closest('.dga-explorer');
    if (!box) return tries && setTimeout(start, 100, tries - 1);
    const guard = e => e.target.toggleAttribute(
      'data-lm-suppress-shortcuts', !(e.ctrlKey || e.metaKey || e.altKey));
    for (const kind of ['keydown', 'keyup', 'focusin']) box.addEventListener(kind, guard);
    set(box, 'role', 'group');
    set(box, 'aria-label', 'explorer');
    new MutationObserver(() => name(box)).observe(box, {
      subtree: true, childList: true, characterData: true,
      attributes: true, attributeFilter: ['aria-valuetext', 'alt']});
    name(box);
  };
  start(100);
})(this)
"""
_DOT = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


def head() -> str:
    """Style and script of an explorer, as HTML; the script runs when its invisible dot is loaded.

    Example:
        >>> head().startswith("<style>")
        True
    """
    script = html.escape(" ".join(SCRIPT.split()))
    dot = f'<img src="{_DOT}" alt="" width="1" height="1" style="opacity:0" onload="{script}">'
    return f"<style>{STYLE}</style>{dot}"
