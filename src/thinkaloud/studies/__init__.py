"""Public studies of what explanations say and how far it holds, as commands that anyone can run again.

Each study is a module with `run(config, folder, nla, watch) -> Page`. `config.py` names them and imports no torch.
"""
