"""Eight-bit weights come back as close as eight bits allow, and the second time as they were."""

from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from thinkaloud import quant


def state(seed: int, rows: int, columns: int, size: float) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    weight = size * torch.randn(rows, columns, generator=generator)
    weight[0] = 0.0  # a row of padding
    return {"a.weight": weight, "norm.weight": 1 + 0.1 * torch.randn(columns, generator=generator)}


@settings(max_examples=50)
@given(st.integers(0, 2**31), st.integers(1, 20), st.integers(1, 40), st.sampled_from([1e-4, 0.02, 1.0, 50.0]))
def test_half_a_step_is_the_error(seed: int, rows: int, columns: int, size: float) -> None:
    before = state(seed, rows, columns, size)
    packed = quant.pack(before)
    after = quant.unpack(packed)
    assert after.keys() == before.keys()
    weight, found = before["a.weight"], after["a.weight"]
    step = packed["a.weight" + quant.SCALE].float()
    # float16 rounds the step by up to 1/2048, below its normal range by up to 2⁻²⁵; the largest of 127 steps feels it.
    bound = step * (0.5 + 127 / 2048) + 127 * 2.0**-25
    assert ((found - weight).abs() <= bound).all()
    assert torch.equal(found[0], torch.zeros(columns))
    assert packed["a.weight"].dtype == torch.int8
    torch.testing.assert_close(after["norm.weight"], before["norm.weight"], rtol=1e-3, atol=0)
    if ((step == 0) | (step >= 2.0**-14)).all():  # within float16's normal range the step itself comes back
        again = quant.unpack(quant.pack(after))
        assert all(torch.equal(again[name], after[name]) for name in after)


def test_the_file_is_known_by_its_metadata(tmp_path: Path) -> None:
    before = state(0, 5, 8, 1.0)
    quant.save(before, tmp_path / "packed.safetensors")
    save_file(before, str(tmp_path / "plain.safetensors"), metadata={"format": "pt"})
    save_file(before, str(tmp_path / "bare.safetensors"))
    assert quant.is_packed(tmp_path / "packed.safetensors")
    assert not quant.is_packed(tmp_path / "plain.safetensors")
    assert not quant.is_packed(tmp_path / "bare.safetensors")
    found = quant.unpack(load_file(str(tmp_path / "packed.safetensors")))
    wanted = quant.unpack(quant.pack(before))
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
