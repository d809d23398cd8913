"""Hooks at a `Site`: capture what stands there while a model runs, replace it, or add to it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from thinkaloud import families
from thinkaloud.errors import UserError
from thinkaloud.site import Site

Hidden = Float[Tensor, "n t d"]


def edit(model: nn.Module, site: Site, change: Callable[[Hidden, dict[str, Any]], Hidden]) -> ExitStack:
    """Let `change` rewrite the vectors at `site` in every forward call, until what is returned is closed.

    It is also given the keyword arguments of the call, as the block has them: not every module inside a block does.
    """
    if site.kind == "resid_mid":  # no module makes it: the MLP's branch would change, and the stream would not
        raise UserError(f"{site} can be captured alone: change attn_out, which is added there")
    site.check(families.n_blocks(model))
    block, given = families.blocks(model)[site.layer], {}
    stack = ExitStack()
    for handle in (
        block.register_forward_pre_hook(lambda _block, _args, kwargs: given.update(kwargs), with_kwargs=True),
        _hook(model, site, lambda hidden: change(hidden, given)),
        block.register_forward_hook(lambda *_: given.clear(), always_call=True),
    ):
        stack.callback(handle.remove)
    return stack


@contextmanager
def capture(
    model: nn.Module, *sites: Site, keep: Callable[[Hidden], Tensor] = lambda hidden: hidden
) -> Iterator[dict[Site, Tensor]]:
    """What stood at `sites` in the last forward call, by site; `keep` says what of it is kept.

    >>> with hooks.capture(nla.model, Site("resid_post", 5), Site("attn_out", 2)) as seen:
    ...     _ = nla.model(input_ids=torch.tensor([[1, 2, 3]]))
    >>> seen[Site("attn_out", 2)].shape
    torch.Size([1, 3, 256])
    """
    seen: dict[Site, Tensor] = {}

    def note(site: Site, hidden: Hidden) -> Hidden:
        seen[site] = keep(hidden)
        return hidden

    with ExitStack() as stack:
        for site in sites:
            stack.callback(_hook(model, site, partial(note, site)).remove)
        yield seen


def replace(model: nn.Module, site: Site, vectors: Tensor, at: Any = ...) -> AbstractContextManager[None]:
    """Inside, `hidden[at]` at `site` is `vectors`; `at` is an index into [n, t, d], by default all of it."""
    return _changed(model, site, at, lambda old: vectors.to(old))


def add(model: nn.Module, site: Site, vectors: Tensor, at: Any = ...) -> AbstractContextManager[None]:
    """Inside, `vectors` are added to `hidden[at]` at `site`."""
    return _changed(model, site, at, lambda old: old + vectors.to(old))


@contextmanager
def _changed(model: nn.Module, site: Site, at: Any, new: Callable[[Tensor], Tensor]) -> Iterator[None]:
    def put(hidden: Hidden, _: dict[str, Any]) -> Hidden:
        out = hidden.clone()
        out[at] = new(out[at])
        return out

    with edit(model, site, put):
        yield


def _hook(model: nn.Module, site: Site, change: Callable[[Hidden], Hidden]) -> RemovableHandle:
    site.check(families.n_blocks(model))
    module, entering = families.place(model, site)

    def before(_module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> Any:
        if args:
            return (change(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"])}

    def behind(_module: nn.Module, _args: tuple, output: Any) -> Any:
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    if entering:
        return module.register_forward_pre_hook(before, with_kwargs=True)
    return module.register_forward_hook(behind)
