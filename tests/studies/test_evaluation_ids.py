"""The token ids that an evaluation keeps of a corpus: those that M read, in texts of several windows and in chats."""

from typing import Any

import known_bench
import numpy as np
import torch

from thinkaloud.activations import extract
from thinkaloud.evals.rereading import last_vectors, reread
from thinkaloud.studies.evaluation.run import _ids


def test_the_ids_are_those_that_were_read() -> None:
    nla = known_bench.bench().nla
    texts: list[Any] = known_bench.documents(2, 250)
    texts += [({"role": "user", "content": "a bad cab"}, {"role": "assistant", "content": "a fed bee"})]
    made = extract(nla.model, texts, nla.site, 6, nla.model_tokenizer, min_position=4, window=96)
    assert len(np.unique(made.column("window"))) == 3
    ids = _ids(nla, texts, made, 96)
    assert [one[-1] for one in ids] == made.column("token_id")
    torch.testing.assert_close(last_vectors(nla.model, nla.site, ids), made.vectors, atol=1e-4, rtol=1e-4)
    assert reread(nla, made).ids == ids  # and the decoded texts of these bytes tokenise to the same
