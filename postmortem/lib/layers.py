"""The four layers in which a cause can lie. Every room speaks of them by these names."""

from enum import StrEnum


class Layer(StrEnum):
    """One of the four change logs; the value is the name in files, API and database."""

    MODEL = "model"
    PROMPT = "prompt"
    RETRIEVAL = "retrieval"
    INFRASTRUCTURE = "infrastructure"

    @property
    def label(self) -> str:
        """Name for people, e.g. "Retrieval"."""
        return self.value.capitalize()

    @property
    def glyph(self) -> str:
        """Shape that goes with the hue, so that no meaning rests on colour alone."""
        return {"model": "■", "prompt": "●", "retrieval": "▲", "infrastructure": "◆"}[self.value]


LAYERS: tuple[Layer, ...] = tuple(Layer)
LAYER_CHOICES: list[tuple[str, str]] = [(layer.value, layer.label) for layer in Layer]
