"""SHOW: one renderer a file, each ``render(report) -> str``. Renderers measure nothing and judge nothing."""
