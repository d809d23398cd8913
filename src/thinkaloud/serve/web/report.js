(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const panel = document.getElementById("panel");
  const tokens = new Map([...document.querySelectorAll(".token")].map((link) => [link.dataset.key, link]));
  const order = [...tokens.keys()];
  const found = new Map(
    data.readings.flatMap((reading, i) => reading.map((position) => [`${i + 1}.${position.position}`, position])),
  );
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

  function sample(said) {
    const bar = make("span", { class: "meter", "aria-hidden": "true" }, make("i"));
    bar.firstChild.style.width = `${100 * Math.min(1, Math.max(0, said.fve ?? 0))}%`;
    const texts = said.lines.length ? said.lines : ["(nothing)"];
    const box = make(
      "div",
      { class: "sample" },
      make("ul", { class: "said" }, ...texts.map((line) => make("li", { dir: "auto" }, line))),
    );
    if (data.finishes[said.finish]) box.append(make("span", { class: "finish" }, data.finishes[said.finish]));
    const detail = `cosine ${number(said.cos, 3)} · MSE ${number(said.mse, 3)}`;
    box.append(make("div", { class: "scores" }, make("b", {}, `FVE ${number(said.fve)}`), bar, make("small", {}, detail)));
    return box;
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
      history.replaceState(null, "", `#${key}`);
    }
    const where = data.readings.length > 1 ? `text ${key.split(".")[0]}, position` : "position";
    panel.replaceChildren(
      make(
        "div",
        { class: "which" },
        make("span", { class: "name", dir: "auto" }, position.token),
        make("nav", { "aria-label": "Tokens" }, step("Previous token", "←", -1), step("Next token", "→", 1)),
      ),
      make("p", { class: "facts" }, `${where} ${position.position} · token id ${position.id} · norm ${number(position.norm)}`),
      ...position.said.map(sample),
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
  window.addEventListener("hashchange", () => choose(location.hash.slice(1), false));
  window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((table) => (table.open = true)));

  // Begin with the token that the address names, else with the best-read one.
  const best = () => {
    const scored = order.filter((key) => !tokens.get(key).classList.contains("special"));
    const fve = (key) => Math.max(...found.get(key).said.map((said) => said.fve ?? -Infinity));
    return scored.reduce((top, key) => (top === undefined || fve(key) > fve(top) ? key : top), undefined) ?? order[0];
  };
  const named = location.hash.slice(1);
  choose(found.has(named) ? named : best(), false);
  if (found.has(named)) tokens.get(named).scrollIntoView({ block: "nearest" });
  began = true;
})();
