"""Adapters: few trained parameters beside a frozen base, as rewrites of the module tree."""
