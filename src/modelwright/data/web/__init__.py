"""Fetching web pages: addresses, manners, the crawl and its archive."""
