"use strict";
// The sheet itself: from case to case by keys, decisions, corrections by a click, the download.
(() => {
  const sheet = JSON.parse(document.getElementById("sheet-data").textContent);
  const articles = [...document.querySelectorAll("article.case")];
  const by = (id) => document.getElementById(id);
  const chooser = by("chooser");
  const words = { accept: "✓ Accepted", reject: "✗ Rejected", correct: "↕ Levels corrected" };
  let current = -1;

  const entry = (number) => memory.get(sheet.cases[number].file);
  const isDecided = (number) => Boolean(entry(number).decision);
  const names = (number) => sheet.cases[number].vertebrae.map(([name]) => name);

  const say = (text) => { by("said").textContent = text; };

  const showNames = (number) => {
    const { decision, level, vertebra } = entry(number);
    const article = articles[number];
    const before = names(number);
    const place = before.indexOf(vertebra);
    const after = decision === "correct" && place >= 0 ? column.renamed(before, place, level) : before;
    article.querySelectorAll(".levels li").forEach((item, n) => {
      const shifted = after[n] !== before[n];
      item.classList.toggle("shifted", shifted);
      item.classList.toggle("anchor", decision === "correct" && n === place);
      item.querySelector(".is").textContent = shifted ? ` → ${after[n]}` : "";
    });
    for (const text of article.querySelectorAll("text[data-level]")) {
      text.textContent = after[before.indexOf(text.dataset.level)] ?? text.dataset.level;
    }
    for (const shape of article.querySelectorAll("path[data-level]")) {
      shape.classList.toggle("chosen", decision === "correct" && shape.dataset.level === vertebra);
    }
  };

  const describe = ({ decision, level, point }) =>
    decision ? words[decision] + (decision === "correct" ? `: ${level}@${point.join(",")}` : "") : "No decision yet";

  const show = (number) => {
    const article = articles[number];
    const kept = entry(number);
    const line = article.querySelector(".decision");
    line.dataset.decision = kept.decision ?? "";
    line.firstElementChild.textContent = describe(kept);
    for (const button of article.querySelectorAll("button[data-do]")) {
      if (button.dataset.do !== "undo") button.setAttribute("aria-pressed", String(button.dataset.do === kept.decision));
    }
    const remark = article.querySelector(".remark input");
    if (remark !== document.activeElement) remark.value = kept.remark ?? "";
    showNames(number);
  };

  const count = () => {
    const decided = articles.filter((_, number) => isDecided(number)).length;
    by("progress").textContent = `${decided} of ${articles.length} decided`;
    by("kept").textContent = memory.works()
      ? "Kept in this browser."
      : "This browser keeps nothing: download the table before you close the page.";
    return decided;
  };

  const filter = () => {
    const wanted = by("filter").value;
    articles.forEach((article, number) => {
      article.hidden = wanted !== "all" && isDecided(number) !== (wanted === "decided") && number !== current;
    });
    by("none").hidden = articles.some((article) => !article.hidden);
  };

  const go = (number) => {
    if (number < 0 || number >= articles.length) return;
    articles[current]?.removeAttribute("aria-current");
    current = number;
    articles[number].setAttribute("aria-current", "true");
    articles[number].focus({ preventScroll: true });
    articles[number].scrollIntoView({ block: "start" });
  };

  const step = (direction, fits = () => true) => {
    let number = current + direction;
    while (number >= 0 && number < articles.length && (articles[number].hidden || !fits(number))) number += direction;
    go(number);
  };

  const decide = (number, change, announced) => {
    const { file } = sheet.cases[number];
    memory.set(file, { ...memory.get(file), ...change });
    shown.add(number);
    show(number);
    const decided = count();
    say(`${sheet.cases[number].name}: ${announced ?? describe(entry(number))}. ${decided} of ${articles.length} decided.`);
  };
  const clear = { decision: undefined, level: undefined, point: undefined, vertebra: undefined };

  const act = (number, what) => {
    if (what === "correct") choose(number);
    else decide(number, what === "undo" ? clear : { ...clear, decision: what });
  };

  // The chooser: which level a vertebra is. `point` is where it was clicked on; by keys, it is the vertebra's centre.
  const choose = (number, vertebra, point) => {
    const found = sheet.cases[number].vertebrae;
    if (!found.length || !articles[number].querySelector("svg")) return;
    const from = by("chooser-from");
    from.replaceChildren(...found.map(([name]) => new Option(name, name)));
    from.value = vertebra ?? found[0][0];
    by("chooser-title").textContent = `Levels of ${sheet.cases[number].name}`;
    const preview = (level) => {
      const before = names(number);
      const after = level ? column.renamed(before, before.indexOf(from.value), level) : before;
      by("chooser-preview").textContent = level ? `From below: ${after.join(", ")}` : "";
    };
    const buttons = sheet.levels.map((level) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = level;
      button.dataset.level = level;
      button.addEventListener("focus", () => preview(level));
      button.addEventListener("pointerenter", () => preview(level));
      button.addEventListener("click", () => {
        const [, ...centre] = found.find(([name]) => name === from.value);
        const place = point && from.value === vertebra ? point : centre;
        chooser.close();
        go(number);
        decide(number, { decision: "correct", level, point: place, vertebra: from.value });
      });
      return button;
    });
    by("chooser-levels").replaceChildren(...buttons);
    chooser.showModal();
    const start = vertebra ? buttons.find((button) => button.dataset.level === vertebra) : from;
    (start ?? buttons[0]).focus();
  };

  const rows = () => sheet.cases.flatMap(({ name, file, sha256 }) => {
    const { decision, level, point, remark } = memory.get(file);
    return decision || remark
      ? [[name, file, sha256, decision ?? "", level ?? "", ...(point ?? ["", "", ""]), remark ?? "", sheet.use]]
      : [];
  });

  const download = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([table.write(sheet.columns, rows())], { type: "text/csv" }));
    link.download = "decisions.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    say(`A table of ${rows().length} decisions and remarks was downloaded.`);
  };

  articles.forEach((article, number) => {
    article.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-do]");
      const shape = event.target.closest("path[data-level]");
      if (current !== number) {
        articles[current]?.removeAttribute("aria-current");
        current = number;
        article.setAttribute("aria-current", "true");
      }
      if (button) act(number, button.dataset.do);
      if (shape) {
        const svg = shape.ownerSVGElement;
        const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
        choose(number, shape.dataset.level, inMillimetres(svg, place.x, place.y));
      }
    });
    const remark = article.querySelector(".remark input");
    remark.addEventListener("input", () => {
      decide(number, { remark: remark.value || undefined }, "remark kept");
    });
    remark.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === "Escape") go(number);
    });
  });

  const keys = {
    j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1),
    n: () => step(1, (number) => !isDecided(number)),
    a: () => { act(current, "accept"); step(1); },
    r: () => { act(current, "reject"); step(1); },
    u: () => act(current, "undo"),
    c: () => choose(current),
    m: () => articles[current].querySelector(".remark input").focus(),
    o: () => document.body.classList.toggle("plain"),
    d: download,
  };
  const free = ["j", "ArrowDown", "n", "o", "d"]; // what needs no case
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || chooser.open) return;
    if (event.target.closest?.("input, select, textarea, summary")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!Object.hasOwn(keys, key) || (current < 0 && !free.includes(key))) return;
    event.preventDefault();
    keys[key]();
  });

  by("chooser-cancel").addEventListener("click", () => chooser.close());
  chooser.addEventListener("keydown", (event) => {
    const buttons = [...by("chooser-levels").children];
    const place = buttons.indexOf(document.activeElement);
    const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (place < 0 || !move) return;
    event.preventDefault();
    buttons[(place + move + buttons.length) % buttons.length].focus();
  });
  by("download").addEventListener("click", download);
  by("filter").addEventListener("change", filter);

  // The page is made as it is with nothing decided, so that at first there is little to show.
  const shown = new Set();
  const all = () => {
    articles.forEach((_, number) => {
      if (Object.keys(entry(number)).length) shown.add(number);
      if (shown.has(number)) show(number);
    });
    count();
    filter();
  };
  memory.open(sheet.digest, all);
  all();
  document.body.dataset.ready = "true";
})();
