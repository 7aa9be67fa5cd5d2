"""The model behind an OpenAI-shaped API, a chat page, and the chat in the terminal."""
