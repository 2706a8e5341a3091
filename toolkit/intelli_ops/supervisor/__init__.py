"""Start several processes, know when each is ready, bring back what dies, and leave nothing behind."""
