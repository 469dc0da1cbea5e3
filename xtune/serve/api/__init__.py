"""The HTTP API: OpenAI's, as its own client reads it, and a few routes of llama.cpp's server."""
