"""Adapters to optional packages, one module each, imported only when first needed."""
