"""The one engine that generates and scores text: for the server, the terminal and evaluation."""
