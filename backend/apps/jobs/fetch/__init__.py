"""Pictures from addresses that strangers name, without becoming their way into our network.

`check_url` judges the text of a URL and is cheap enough for a web request. `fetch` judges again, resolves the name
once, refuses unless every address is public, connects to exactly the addresses judged, and streams under a size cap
and one deadline. Both raise `BadUrl`, whose `code` is stable.
"""

from apps.jobs.fetch.download import fetch
from apps.jobs.fetch.model import CODES, BadUrl, FetchPolicy
from apps.jobs.fetch.urls import check_url

__all__ = ["CODES", "BadUrl", "FetchPolicy", "check_url", "fetch"]
