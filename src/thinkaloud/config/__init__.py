"""Configuration of every step: frozen dataclasses, validated on construction, free of torch; recipes are made of it."""
