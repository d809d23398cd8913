(() => {
  const panel = document.getElementById("panel");
  const find = document.getElementById("find");
  const tokens = new Map([...document.querySelectorAll(".token")].map((link) => [link.dataset.key, link]));
  const found = new Map([...document.querySelectorAll("template")].map((position) => [position.dataset.key, position.content]));
  const bodies = [...document.querySelectorAll("tbody[data-key]")];
  const best = new Map(bodies.map((body) => [body.dataset.key, Number(body.dataset.best)]));
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
    panel.replaceChildren(position.cloneNode(true));
    const steps = [step("Previous token", "←", -1), step("Next token", "→", 1)];
    panel.querySelector(".which").append(make("nav", { "aria-label": "Tokens" }, ...steps));
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
  const said = (body) => [...body.querySelectorAll(".said, .tok")].map((cell) => cell.textContent).join("\n");
  const texts = new Map(bodies.map((body) => [body.dataset.key, said(body).toLowerCase()]));
  function search() {
    const words = find.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = new Set([...tokens.keys()].filter((key) => words.every((word) => texts.get(key).includes(word))));
    const sign = { best: -1, worst: 1 }[find.elements.sort.value] ?? 0;
    const rank = new Map([...tokens.keys()].map((key, i) => [key, sign ? sign * best.get(key) : i]));
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
  const top = plain.reduce((top, key) => (top === undefined || best.get(key) > best.get(top) ? key : top), undefined);
  choose(named() ?? top ?? order[0], false);
  if (named()) tokens.get(named()).scrollIntoView({ block: "nearest" });
  began = true;
})();
