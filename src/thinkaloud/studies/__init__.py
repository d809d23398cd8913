"""Studies of what explanations say and how far it holds, each a command.

A study is a package here, or a file anywhere, that registers a subclass of `config.Study`: options, `run` and `page`.
"""
