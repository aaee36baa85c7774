"""tallymark: a self-hosted metrics platform in which every event is accounted for."""

from tallymark.client import Client

__all__ = ["Client"]
__version__ = "0.1.0"
