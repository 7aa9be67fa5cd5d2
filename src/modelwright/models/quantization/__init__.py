"""Number formats narrower than 16 bits, as rewrites of the module tree."""
