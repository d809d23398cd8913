"""Pages from Jinja2 templates, plots, and text made safe to print."""
