(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const panel = document.getElementById("panel");
  const find = document.getElementById("find");
  const tokens = new Map([...document.querySelectorAll(".token")].map((link) => [link.dataset.key, link]));
  const found = new Map(data.positions.map((position) => [position.key, position]));
  let order = [...tokens.keys()]; // where the arrow keys go: all tokens, or those that the search leaves
  let current = null;
  let began = false; // the first choice moves neither the page nor its address

  // The panel takes the place of the table's anchors: without these ids a choice does not scroll the page away.
  document.querySelectorAll("tr[id]").forEach((row) => row.removeAttribute("id"));
  document.querySelectorAll(".all details").forEach((table) => (table.open = found.size <= 40));
  document.documentElement.classList.add("js");

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
    element.append(...children);
    return element;
  }

  const number = (value, digits = 2) => (value === null ? "n/a" : value.toFixed(digits).replace("-", "−"));

  const percent = (share) => (share < 0.005 ? "<1 %" : `${(100 * share).toFixed(0)} %`);
  const best = (key) => Math.max(...found.get(key).said.map((said) => said.fve ?? -Infinity));

  function meter(share) {
    const bar = make("span", { class: "meter", "aria-hidden": "true" }, make("i"));
    bar.firstChild.style.width = `${100 * Math.min(1, Math.max(0, share ?? 0))}%`;
    return bar;
  }

  function piece(part, samples) {
    if (typeof part === "string") return part;
    const [text, note, agreed] = part;
    const span = make("span", { class: `${note ? "wrong" : ""} ${agreed ? "agreed" : ""}`.trim() }, text);
    span.title = [note, agreed ? `in ${agreed} of ${samples} samples` : ""].filter(Boolean).join("; ");
    return span;
  }

  function sample(said, samples) {
    const texts = said.lines.length ? said.lines : [["(nothing)"]];
    const items = texts.map((line) => make("li", { dir: "auto" }, ...line.map((part) => piece(part, samples))));
    const box = make("div", { class: "sample" }, make("ul", { class: "said" }, ...items));
    if (data.finishes[said.finish]) box.append(make("span", { class: "finish" }, data.finishes[said.finish]));
    const detail = `cosine ${number(said.cos, 3)} · MSE ${number(said.mse, 3)}`;
    box.append(
      make("div", { class: "scores" }, make("b", {}, `FVE ${number(said.fve)}`), meter(said.fve), make("small", {}, detail)),
    );
    return box;
  }

  // M's own next tokens, those that the words name too set off.
  function expected(position) {
    if (!position.next.length) return [];
    const samples = position.said.length;
    const chips = position.next.map(([token, chance, named]) => {
      const chip = make("li", named ? { class: "named" } : {}, make("bdi", {}, token), make("small", {}, ` ${percent(chance)}`));
      chip.style.setProperty("--p", `${100 * chance}%`);
      chip.title = named ? `named as next${samples > 1 ? ` in ${named} of ${samples} samples` : ""}` : "not named as next";
      return chip;
    });
    return [make("div", { class: "expected" }, make("h3", {}, "M's own next tokens; outlined: named in the words"), make("ul", {}, ...chips))];
  }

  function step(label, sign, offset) {
    const target = order[order.indexOf(current) + offset];
    const button = make("button", { type: "button", "aria-label": label, title: label }, sign);
    button.disabled = target === undefined;
    button.addEventListener("click", () => {
      choose(target, false);
      const again = panel.querySelector(`button[aria-label="${label}"]`);
      (again.disabled ? panel.querySelector("button:enabled") : again)?.focus({ preventScroll: true });
    });
    return button;
  }

  function choose(key, focus) {
    const position = found.get(key);
    if (!position) return;
    if (current !== null) {
      tokens.get(current).removeAttribute("aria-current");
      tokens.get(current).tabIndex = -1;
    }
    current = key;
    const link = tokens.get(key);
    link.setAttribute("aria-current", "true");
    link.tabIndex = 0;
    if (focus) link.focus();
    if (began) {
      link.scrollIntoView({ block: "nearest" });
      try {
        history.replaceState(null, "", `#${key}`);
      } catch {} // a frame without an address of its own, as in a notebook
    }
    panel.replaceChildren(
      make(
        "div",
        { class: "which" },
        make("span", { class: "name", dir: "auto" }, position.token),
        make("nav", { "aria-label": "Tokens" }, step("Previous token", "←", -1), step("Next token", "→", 1)),
      ),
      make("p", { class: "facts" }, `position ${position.position} · token id ${position.id} · norm ${number(position.norm)}`),
      ...expected(position),
      ...position.said.map((said) => sample(said, position.said.length)),
    );
    panel.scrollTop = 0;
  }

  tokens.forEach((link, key) => {
    link.tabIndex = -1;
    link.addEventListener("click", (event) => {
      event.preventDefault();
      choose(key, true);
    });
    link.addEventListener("keydown", (event) => {
      const offset = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!offset || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      choose(order[order.indexOf(key) + offset], true);
    });
  });
  // Sorts the tables and keeps the positions that have every word that is searched for, in the text too.
  const bodies = [...document.querySelectorAll("tbody[data-key]")];
  const said = (body) => [...body.querySelectorAll(".said, .tok")].map((cell) => cell.textContent).join("\n");
  const texts = new Map(bodies.map((body) => [body.dataset.key, said(body).toLowerCase()]));
  function search() {
    const words = find.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = new Set([...tokens.keys()].filter((key) => words.every((word) => texts.get(key).includes(word))));
    const sign = { best: -1, worst: 1 }[find.elements.sort.value] ?? 0;
    const rank = new Map([...tokens.keys()].map((key, i) => [key, sign ? sign * best(key) : i]));
    [...bodies]
      .sort((a, b) => rank.get(a.dataset.key) - rank.get(b.dataset.key))
      .forEach((body) => {
        body.hidden = !kept.has(body.dataset.key);
        body.parentElement.append(body);
      });
    tokens.forEach((link, key) => link.classList.toggle("out", !kept.has(key)));
    order = [...tokens.keys()].filter((key) => kept.has(key) || key === current);
    document.getElementById("count").textContent = words.length ? `${kept.size} of ${tokens.size} positions` : "";
    if (words.length || sign) document.querySelectorAll(".all details").forEach((table) => (table.open = true));
  }
  find.hidden = false;
  find.addEventListener("input", search);
  find.addEventListener("submit", (event) => event.preventDefault());

  function named() {
    const key = location.hash.slice(1); // #pos=12
    return found.has(key) ? key : undefined;
  }
  window.addEventListener("hashchange", () => choose(named(), false));
  window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((table) => (table.open = true)));

  // Begin with the token that the address names, else with the best-read one.
  const plain = order.filter((key) => !tokens.get(key).classList.contains("special"));
  const top = plain.reduce((top, key) => (top === undefined || best(key) > best(top) ? key : top), undefined);
  choose(named() ?? top ?? order[0], false);
  if (named()) tokens.get(named()).scrollIntoView({ block: "nearest" });
  began = true;
})();
