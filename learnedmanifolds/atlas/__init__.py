"""Several charts as one manifold: the atlas, its transitions, nearest points and quality."""

from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.atlas.immersion import Immersion
from learnedmanifolds.atlas.quality import Quality

__all__ = ["Atlas", "Immersion", "Quality"]
