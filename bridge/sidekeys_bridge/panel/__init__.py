"""The control panel: a process of its own that serves a page and speaks to the bridge's control."""
