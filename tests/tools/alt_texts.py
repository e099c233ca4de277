"""Sphinx extension for the website: figures of notebooks keep their alternative texts.

MyST-NB takes only width and height from the metadata of an output.
"""

from __future__ import annotations

from typing import Any


def setup(app: Any) -> dict[str, bool]:
    from myst_nb.core.render import NbElementRenderer

    plain = NbElementRenderer.render_image

    def render_image(self: Any, data: Any) -> list[Any]:
        nodes = plain(self, data)
        alt = data.output_metadata.get(data.mime_type, {}).get("alt")
        if alt:
            nodes[0]["alt"] = alt
        return nodes

    NbElementRenderer.render_image = render_image
    return {"parallel_read_safe": True}
