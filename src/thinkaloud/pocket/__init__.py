"""The bundled family: what it is trained on and how."""
