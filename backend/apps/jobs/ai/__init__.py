"""A sentence or two about a picture: from a model behind an OpenAI-compatible endpoint, or from its statistics.

`describe` never raises anything but `AiError` and `OSError` (the picture cannot be read), and comes back within the
total time of its `AiConfig`. No message, repr or log of this package contains the key.
"""

from pathlib import Path

from apps.jobs.ai.model import CODES, AiConfig, AiError, Description, Pace

__all__ = ["CODES", "AiConfig", "AiError", "Description", "Pace", "describe"]


def describe(image: Path, config: AiConfig, pace: Pace | None = None) -> Description:
    """Describe a picture that `imaging.normalise` wrote.

    Args:
        image: an RGB PNG.
        config: the endpoint; without a base URL the description is made here, and labelled so.
        pace: how to wait and tell time, for tests.

    Raises:
        AiError: no description; `retryable` says whether trying again later makes sense.
        OSError: the picture cannot be read.
    """
    if not config.base_url:
        from apps.jobs.ai.local import describe_locally  # numpy is not needed where a model answers

        return describe_locally(image)
    from apps.jobs.ai.remote import describe_remotely

    return describe_remotely(image, config, pace or Pace())
