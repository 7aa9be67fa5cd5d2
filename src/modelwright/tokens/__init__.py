"""From text to token ids: training a tokenizer, using it, chat template, shards, order."""
