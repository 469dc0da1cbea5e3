"""What other programs can ask: tools over HTTP, and as a Model Context Protocol server."""
