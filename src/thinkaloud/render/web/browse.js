"use strict";
(() => {
  const STEP = 20;
  const rows = JSON.parse(document.getElementById("browse-data").textContent);
  const form = document.getElementById("browse");
  const list = document.getElementById("browse-list");
  const count = document.getElementById("browse-count");
  const more = document.getElementById("browse-more");
  let shown = STEP;

  const make = (tag, text, look) => {
    const element = document.createElement(tag);
    element.textContent = text;
    if (look) element.style.cssText = look;
    return element;
  };
  // White space as a token would be invisible.
  const visible = (token) => token.replace(/^ /, "␣").replace(/ $/, "␣").replace(/\n/g, "⏎\n").replace(/\t/g, "⇥") || "∅";
  const figure = (fve) => (fve === null ? "–" : fve.toFixed(2).replace("-", "−"));

  const card = (row) => {
    const article = make("article", "", "border-top: 1px solid var(--line); padding: .6rem 0");
    article.append(make("div", `FVE ${figure(row.fve)} · ${row.class} · ${row.kind} · ${row.where}`));
    article.firstChild.className = "quiet";
    const text = make("div", row.before, "font-family: ui-monospace, monospace; font-size: .82rem; overflow-wrap: anywhere");
    text.append(make("mark", visible(row.token)));
    const said = make("div", row.said || "(nothing)", "margin-top: .3rem; overflow-wrap: anywhere");
    text.className = said.className = "said";
    article.append(text, said);
    return article;
  };

  const chosen = () => {
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = rows.filter((row) => {
      const text = `${row.before}${row.token}\n${row.said}`.toLowerCase();
      return (!form.elements.kind.value || row.kind === form.elements.kind.value)
        && (!form.elements.class.value || row.class === form.elements.class.value)
        && words.every((word) => text.includes(word));
    });
    const sign = { best: -1, worst: 1 }[form.elements.sort.value];
    if (!sign) return kept;
    // What could not be rebuilt at all stands last in either order.
    return kept.sort((a, b) => (a.fve === null) - (b.fve === null) || sign * (a.fve - b.fve));
  };

  const draw = () => {
    const kept = chosen();
    list.replaceChildren(...kept.slice(0, shown).map(card));
    count.textContent = `${kept.length} of ${rows.length} explanations, ${Math.min(shown, kept.length)} shown`;
    more.hidden = kept.length <= shown;
  };

  form.addEventListener("input", () => { shown = STEP; draw(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => { shown += STEP; draw(); });
  draw();
})();
