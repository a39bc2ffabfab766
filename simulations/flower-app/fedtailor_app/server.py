"""fedtailor's ServerApp."""

from fedtailor.server.app import app

__all__ = ["app"]
