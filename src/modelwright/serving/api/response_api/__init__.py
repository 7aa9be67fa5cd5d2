"""``POST /v1/responses``: the newer of OpenAI's two routes for conversations."""
