"""A contract comes back from its file as it went in, in any spelling, and a contradictory one is refused."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import real
import tiny
import yaml
from hypothesis import given
from hypothesis import strategies as st

from thinkaloud import contract as contracts
from thinkaloud.baseline import Baseline
from thinkaloud.config.train import AV_TEMPLATE, MARKERS
from thinkaloud.contract import Contract, Marker, check_marker, find_marker, from_dict, hash_ids, to_dict, to_yaml
from thinkaloud.errors import UserError
from thinkaloud.loading import load_tokenizer
from thinkaloud.site import Site

TOK = tiny.tokenizer()
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="{}"), max_size=20)
IDS = st.integers(0, 2**31)
NUMBERS = st.floats(1e-3, 1e6)


@st.composite
def any_contract(draw: Any) -> Contract:
    role = draw(st.sampled_from(["av", "ar"]))
    marker = Marker(
        draw(st.text(st.characters(codec="utf-8"), min_size=1, max_size=1)), draw(IDS), draw(IDS), draw(IDS)
    )
    site = Site("resid_post", draw(st.integers(0, 200)))
    return Contract(
        role=role,
        d_model=draw(st.integers(1, 10**5)),
        site=site if role == "ar" else draw(st.sampled_from([None, site])),
        av_template=draw(WORDS) + "{injection_char}" + draw(WORDS) if role == "av" else None,
        ar_template=draw(WORDS) + "{explanation}" + draw(WORDS),
        marker=marker if role == "av" else None,
        prompt_hash=draw(st.none() | st.text("0123456789abcdef", min_size=16, max_size=16)),
        plain_prompt=draw(st.booleans()),
        injection=draw(st.sampled_from(["replace", "add"])),
        injection_scale=draw(NUMBERS) if role == "av" else None,
        mse_scale=draw(st.none() | NUMBERS),
        scaled_state=draw(st.booleans()),
        final_norm=draw(st.booleans()),
        ar_suffix_ids=tuple(draw(st.lists(IDS, max_size=3))),
        base_model=draw(st.none() | st.just("owner/name")),
        baseline=draw(st.none() | st.just(Baseline(0.25, 10, 3, "heldout"))),
        stage=draw(st.none() | WORDS),
        provenance=draw(st.dictionaries(st.text("abc", min_size=1, max_size=5), st.integers(), max_size=2)),
    )


@given(any_contract())
def test_a_contract_comes_back_from_yaml(contract: Contract) -> None:
    assert from_dict(yaml.safe_load(to_yaml(to_dict(contract)))) == contract


def test_a_contract_comes_back_from_its_file(tmp_path: Path) -> None:
    contract = tiny.av_contract(TOK, baseline=Baseline(0.5, 100, 7, "heldout"), provenance={"commit": "abc"})
    path = contracts.write(contract, tmp_path)
    assert path.name == "nla_meta.yaml"
    assert contracts.read(tmp_path) == contract
    assert contract.with_baseline(Baseline(0.1, 1, 1, "x")).baseline == Baseline(0.1, 1, 1, "x")


def official(role: str = "ar", **changes: Any) -> dict[str, Any]:
    """A sidecar as released pairs have it."""
    data: dict[str, Any] = {
        "kind": "nla_model",
        "schema_version": 2,
        "role": role,
        "d_model": 3584,
        "extraction": {"injection_scale": 150.0},
        "tokens": {
            "injection_char": "㈎",
            "injection_token_id": 149705,
            "injection_left_neighbor_id": 29,
            "injection_right_neighbor_id": 522,
        },
        "prompt_templates": {"av": "a {injection_char} b", "ar": "x {explanation} y"},
        "critic": {"extraction_layer_index": 20},
    }
    return {**data, **changes}


@pytest.mark.parametrize(
    ("change", "read"),
    [
        ({}, lambda c: c.site == Site("resid_post", 20)),
        ({"critic": {"num_hidden_layers": 20}}, lambda c: c.site == Site("resid_post", 20)),
        ({"critic": None, "ar": {"num_hidden_layers": 20}}, lambda c: c.site == Site("resid_post", 20)),
        ({"critic": {"extraction_layer_index": 20, "num_hidden_layers": 20}}, lambda c: c.site.layer == 20),
        ({"role": "critic"}, lambda c: c.role == "ar"),
        ({"extraction": {"mse_scale": None}}, lambda c: c.mse_scale is None),
        ({"extraction": {"mse_scale": "sqrt_d_model"}}, lambda c: c.mse_scale == pytest.approx(3584**0.5)),
        ({"extraction": {}}, lambda c: c.mse_scale == pytest.approx(3584**0.5)),
        ({"extraction": {"mse_scale": "59.8"}}, lambda c: c.mse_scale == 59.8),
        ({"prompt_templates": {"actor": "{injection_char}", "critic": "{explanation}"}}, lambda c: c.av_template),
        ({"tokens": None}, lambda c: c.ar_suffix_ids == ()),
        ({"tokens": {"critic_suffix_ids": [5, 6]}}, lambda c: c.ar_suffix_ids == (5, 6)),
        ({"base_model": "owner/name"}, lambda c: c.base_model == "owner/name"),
    ],
)
def test_spellings_of_an_ar(change: dict[str, Any], read: Callable[[Contract], Any]) -> None:
    assert read(from_dict(official(**change)))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"kind": "nla_dataset"}, "kind must be nla_model, found 'nla_dataset'"),
        ({"role": "judge"}, "role must be one of av, actor, ar, critic, found 'judge'"),
        ({"d_model": "wide"}, "d_model must be a whole number, found 'wide'"),
        ({"d_model": True}, "d_model must be a whole number, found True"),
        (
            {"critic": {"extraction_layer_index": 20, "num_hidden_layers": 21}},
            "the AR's layer is given twice and differs: critic.extraction_layer_index = 20, "
            "critic.num_hidden_layers = 21",
        ),
        (
            {"extraction": {"layer_index": 19}},
            "the AR's layer is given twice and differs: critic.extraction_layer_index = 20, "
            "extraction.layer_index = 19",
        ),
        (
            {"prompt_templates": {"ar": "a {explanation}", "critic": "b {explanation}"}},
            "the AR template is given twice and differs: "
            "prompt_templates.ar = 'a {explanation}', prompt_templates.critic = 'b {explanation}'",
        ),
        ({"critic": {"extraction_layer_index": "20"}}, "the AR's layer must be a whole number, found '20'"),
        (
            {"critic": None},
            "an AR contract needs its layer (critic.extraction_layer_index); nla_meta.yaml does not have it",
        ),
        ({"critic": 20}, "critic must be a mapping, found 20"),
        ({"critic": {"extraction_layer_index": -1}}, "site layer must be a block number counted from 0, found -1"),
        ({"prompt_templates": {}}, "an AR contract needs prompt_templates.ar; nla_meta.yaml does not have it"),
        (
            {"prompt_templates": {"ar": "no place"}},
            "the AR template must hold {explanation}; nla_meta.yaml does not have it",
        ),
        ({"extraction": {"mse_scale": "big"}}, "extraction.mse_scale must be a number or sqrt_d_model, found 'big'"),
        (
            {"role": "av", "extraction": {}},
            "an AV contract needs extraction.injection_scale; nla_meta.yaml does not have it",
        ),
        (
            {"role": "av", "extraction": {"injection_scale": -2}},
            "extraction.injection_scale must be a positive number, found -2.0",
        ),
        ({"role": "av", "tokens": {}}, "tokens.injection_char must be a character, found None"),
        (
            {"role": "av", "tokens": {"injection_char": "x", "injection_token_id": 1}},
            "tokens.injection_left_neighbor_id must be a whole number, found None",
        ),
        (
            {"role": "av", "prompt_templates": {"av": "no marker"}},
            "the AV template must hold {injection_char}; nla_meta.yaml does not have it",
        ),
        (
            {"role": "av", "thinkaloud": {"injection": "multiply"}},
            "injection must be one of replace, add, found 'multiply': if a Python file of yours registers it, "
            "set THINKALOUD_INJECTION to the file",
        ),
        (
            {"thinkaloud": {"site": {"kind": "mlp_in", "layer": 20}}},
            "site kind 'mlp_in' is not known: use one of resid_post, resid_pre, resid_mid, attn_out, mlp_out",
        ),
        ({"thinkaloud": {"site": "resid_post:20"}}, "thinkaloud.site must be a mapping, found 'resid_post:20'"),
        (
            {"thinkaloud": {"baseline": {"v": 0.5}}},
            "a baseline must hold the numbers v, n, n_docs and a split, found v = 0.5",
        ),
    ],
)
def test_what_a_sidecar_lacks_or_contradicts_is_said(change: dict[str, Any], line: str, tmp_path: Path) -> None:
    data = official(**change)
    before = copy.deepcopy(data)
    with pytest.raises(UserError) as caught:
        from_dict(data)
    assert str(caught.value) == line
    assert data == before
    (tmp_path / "nla_meta.yaml").write_text(yaml.safe_dump(data, allow_unicode=True))
    with pytest.raises(UserError) as from_file:
        contracts.read(tmp_path)
    assert str(from_file.value) == f"{tmp_path / 'nla_meta.yaml'}: {line}"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from([*official(), "site", "layer", "baseline", "thinkaloud"]), inner, max_size=5
            )
        ),
        max_leaves=12,
    )
)
def test_nonsense_is_refused_in_one_line(nonsense: Any) -> None:
    data = {**official(), **nonsense} if isinstance(nonsense, dict) else official(thinkaloud=nonsense)
    said = ""
    try:
        contract = from_dict(data)
    except UserError as error:
        said = str(error)
    else:
        assert from_dict(yaml.safe_load(yaml.safe_dump(to_dict(contract)))) == contract
    assert "\n" not in said


def test_files_that_are_no_sidecar(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no nla_meta\.yaml in .*: an NLA checkpoint keeps its contract beside"):
        contracts.read(tmp_path)
    file = tmp_path / "nla_meta.yaml"
    for content, line in (
        (b"a: [", "is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
        (b"- a", "must hold a mapping, found list"),
    ):
        file.write_bytes(content)
        with pytest.raises(UserError, match=line):
            contracts.read(tmp_path)
    file.write_text("!!python/object/apply:os.getcwd []")
    with pytest.raises(UserError, match="is not YAML"):
        contracts.read(tmp_path)


def test_the_marker_is_found_in_the_chat_prompt() -> None:
    ids, places, marker = find_marker(TOK, tiny.AV_TEMPLATE, tiny.MARKER)
    text = TOK.decode(ids)
    assert text == "<|bos|><|user|>What is held in [㈎]?<|end|><|assistant|>"
    assert ids.count(256) == 1, "BOS once: the template is tokenised in one step"
    assert [ids[place] for place in places] == [marker.token_id]
    assert TOK.decode([marker.left_id, marker.right_id]) == "[]"
    assert check_marker(tiny.av_contract(TOK), TOK) == (ids, places)


@pytest.mark.parametrize(
    ("template", "char", "line"),
    [
        ("a [{injection_char}]", "ab", "the marker 'ab' must be one token, this tokenizer makes it 2: choose another"),
        ("a [{injection_char}]", "㈜", "the marker '㈜' must be one token, this tokenizer makes it 3: choose another"),
        ("a [{injection_char}] and b", "b", "the AV prompt holds 2 markers, its template 1: drop 'b' from its text"),
    ],
)
def test_markers_that_do_not_work(template: str, char: str, line: str) -> None:
    with pytest.raises(UserError) as caught:
        find_marker(TOK, template, char)
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("version", "single"),
    [("v1", {"※": 31422, "§": 29038, "¤": 30445}), ("v3", {"※": 32190, "§": 29806, "¤": 31213})],
)
def test_markers_of_mistral_are_found_in_context(version: str, single: dict[str, int]) -> None:
    tokenizer = real.mistral(version)
    for char, token in single.items():
        ids, places, marker = find_marker(tokenizer, AV_TEMPLATE, char)
        assert marker.token_id == token
        assert tokenizer.convert_ids_to_tokens(ids[places[0] - 1 : places[0] + 2]) == [">", char, "</"]
    for char in set(MARKERS) - set(single):
        with pytest.raises(UserError, match="must be one token, this tokenizer makes it 3: choose another"):
            find_marker(tokenizer, AV_TEMPLATE, char)


def test_the_markers_token_may_hold_a_space() -> None:
    ids, places, marker = find_marker(real.mistral("v3"), "Vector: {injection_char} Words:", "§")
    assert real.mistral("v3").convert_ids_to_tokens(ids[places[0] - 1 : places[0] + 2]) == [":", "▁§", "▁W"]
    assert marker.token_id == ids[places[0]]


def test_a_marker_of_mistral_round_trips_through_its_contract(tmp_path: Path) -> None:
    tokenizer = real.mistral("v1")
    ids, places, marker = find_marker(tokenizer, AV_TEMPLATE, "¤")
    contract = tiny.av_contract(TOK, av_template=AV_TEMPLATE, marker=marker, prompt_hash=hash_ids(ids))
    contracts.write(contract, tmp_path)
    tokenizer.save_pretrained(str(tmp_path))
    assert check_marker(contracts.read(tmp_path), load_tokenizer(tmp_path)) == (ids, places)
    with pytest.raises(UserError, match=r"the contract's marker id is 30445, this tokenizer gives 31213"):
        check_marker(contract, real.mistral("v3"))


def test_the_marker_of_smollm2() -> None:
    tokenizer = real.smollm2()
    _, _, marker = find_marker(tokenizer, AV_TEMPLATE, "§")
    assert tokenizer.convert_ids_to_tokens([marker.left_id, marker.token_id, marker.right_id]) == [">", "Â§", "</"]
    _, _, spaced = find_marker(tokenizer, "Vector: {injection_char} Words:", "§")
    assert tokenizer.convert_ids_to_tokens([spaced.token_id]) == ["ĠÂ§"]
    for char in set(MARKERS) - {"§"}:
        with pytest.raises(UserError, match=r"must be one token, this tokenizer makes it [23]: choose another"):
            find_marker(tokenizer, AV_TEMPLATE, char)


@pytest.mark.slow
def test_the_marker_of_gemma() -> None:
    _, _, marker = find_marker(real.gemma(), AV_TEMPLATE, "㈜")
    assert marker.token_id == 246566, "as in the contracts of released pairs"
    ids, places, plain = find_marker(real.gemma(), "Vector: {injection_char} Words:", "㈜", plain=True)
    assert plain.token_id == 246566
    assert ids[: places[0]] == [real.gemma().bos_token_id, *real.gemma().encode("Vector: ", add_special_tokens=False)]


def test_a_tokenizer_without_chat_template_is_refused() -> None:
    with pytest.raises(UserError, match="the AV's tokenizer has no chat template: the AV prompt is a chat message"):
        find_marker(tiny.tokenizer(chat=False), tiny.AV_TEMPLATE, tiny.MARKER)
    with pytest.raises(UserError, match="the AV's tokenizer has no chat template: the AV prompt is a chat message"):
        check_marker(tiny.av_contract(TOK), tiny.tokenizer(chat=False))  # one that has lost its template


def test_a_plain_prompt_is_the_template_behind_the_bos(tmp_path: Path) -> None:
    base = tiny.tokenizer(chat=False)
    ids, places, marker = find_marker(base, tiny.AV_TEMPLATE, tiny.MARKER, plain=True)
    before, after = (base.encode(text, add_special_tokens=False) for text in ("What is held in [", "]?"))
    assert ids == [base.bos_token_id, *before, marker.token_id, *after]
    assert places == [1 + len(before)]
    contract = tiny.av_contract(base, marker=marker, prompt_hash=hash_ids(ids), plain_prompt=True)
    contracts.write(contract, tmp_path)
    read = contracts.read(tmp_path)
    assert read == contract
    assert check_marker(read, base) == (ids, places)
    assert check_marker(read, TOK) == (ids, places), "also where the tokenizer has been given a chat template since"
    with pytest.raises(UserError, match="is not the one this AV was trained with"):
        check_marker(replace(read, plain_prompt=False), TOK)


def test_a_chat_prompt_goes_without_saying() -> None:
    said = to_dict(tiny.av_contract(TOK))["thinkaloud"]
    assert "plain_prompt" not in said
    assert not from_dict(official("av")).plain_prompt


@pytest.mark.parametrize(
    ("field", "name"), [("token_id", "marker id"), ("left_id", "left neighbour"), ("right_id", "right neighbour")]
)
def test_ids_that_do_not_match_are_refused(field: str, name: str) -> None:
    good = tiny.av_contract(TOK)
    assert good.marker is not None
    live = getattr(good.marker, field)
    bad = replace(good, marker=replace(good.marker, **{field: live + 1}))
    with pytest.raises(UserError) as caught:
        check_marker(bad, TOK)
    wanted = f"the contract's {name} is {live + 1}, this tokenizer gives {live}: wrong tokenizer or template"
    assert str(caught.value) == wanted


def test_another_prompt_than_that_of_the_training_is_refused(tmp_path: Path) -> None:
    ids, _, _ = find_marker(TOK, tiny.AV_TEMPLATE, tiny.MARKER)
    contract = tiny.av_contract(TOK, prompt_hash=hash_ids(ids))
    contracts.write(contract, tmp_path)
    read = contracts.read(tmp_path)
    assert read == contract
    check_marker(read, TOK)
    other = tiny.tokenizer()
    other.chat_template = tiny.CHAT_TEMPLATE.replace("<|bos|>", "<|bos|>Be brief.")
    check_marker(replace(read, prompt_hash=None), other)  # its marker and neighbours are the same
    with pytest.raises(UserError) as caught:
        check_marker(read, other)
    assert str(caught.value) == (
        f"the AV prompt (hash {hash_ids(find_marker(other, tiny.AV_TEMPLATE, tiny.MARKER)[0])}; up to the marker "
        "'<|bos|>Be brief.<|user|>What is held in [') is not the one this AV was trained with "
        f"(hash {contract.prompt_hash}): use the tokenizer and chat template that were saved with it"
    )


def test_sites() -> None:
    site = Site("resid_post", 20)
    names = site.names()
    assert names["TransformerLens"] == "blocks.20.hook_resid_post"
    assert names["Transformers hidden_states"].startswith("hidden_states[21]")
    assert names["vLLM auxiliary id"] == "21"
    site.check(21)
    with pytest.raises(UserError, match="layer 20 is out of range: the model has 20 blocks, 0 to 19"):
        site.check(20)
    for layer in (-1, True, 1.0):
        with pytest.raises(UserError, match="site layer must be a block number"):
            Site("resid_post", layer)  # type: ignore[arg-type]
