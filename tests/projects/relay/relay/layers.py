from channels.layers import InMemoryChannelLayer


class HouseLayer(InMemoryChannelLayer):
    """Ours now."""
