"""Sidekeys' bridge: the musician's hands and ears. It never imports torch."""
