"""Pictures from strangers: what they claim to be, and a safe copy made in a limited child process.

`inspect` looks at the container only and is cheap enough for a web request. `normalise` decodes, for the ingestion
worker. Neither needs Django. Both raise `BadImage`, whose `code` is stable; its message is plain text for the
uploader.

Allowed are PNG, JPEG, WebP, GIF and BMP: what browsers and cameras commonly produce. SVG is a program, not a picture.
TIFF, AVIF/HEIF and JPEG 2000 are recognised and refused: each would add a large native decoder to the attack surface.
"""

from apps.jobs.imaging.inspecting import inspect
from apps.jobs.imaging.model import CODES, BadImage, ImageInfo, ImageLimits
from apps.jobs.imaging.normalising import normalise

__all__ = ["CODES", "BadImage", "ImageInfo", "ImageLimits", "inspect", "normalise"]
