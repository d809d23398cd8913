"""Which kinds of episode make up the pocket world? One file a family, each with its wordings and a `write`."""
