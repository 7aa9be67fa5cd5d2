"""The routes of the API, in the shapes of OpenAI and vLLM."""
