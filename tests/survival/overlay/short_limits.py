"""Development settings with limits of seconds, so that a test can reach them. SOFT=off leaves the hard limit alone."""

import os
from dataclasses import replace

from config import queues

queues.POLICIES = tuple(replace(policy, soft_time_limit=6, time_limit=8) for policy in queues.POLICIES)
queues.BY_NAME = {policy.name: policy for policy in queues.POLICIES}

from config.settings.development import *  # noqa: E402, F403

if os.environ.get("SOFT") == "off":
    for annotation in CELERY_TASK_ANNOTATIONS.values():  # noqa: F405
        annotation["soft_time_limit"] = None
