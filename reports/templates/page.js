"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const byId = (id) => document.getElementById(id);

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
const node = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);
const shape = (tag, attributes = {}, ...children) => filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// Filter: a cell is shown if its case, backend or metric contains every word, and its status is ticked.

const form = byId("filter");
const matrices = all("table.matrix");

function filter() {
  const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
  const ticked = all("input[name=status]", form).filter((box) => box.checked).map((box) => box.value);
  const narrowed = words.length > 0 || ticked.length < form.elements.status.length;
  let shown = 0, verdicts = 0;
  for (const table of matrices) {
    const [backends, metrics] = table.tHead.rows;
    const columns = [...metrics.cells];
    const used = columns.map(() => !narrowed);
    for (const line of table.tBodies[0].rows) {
      const [title, ...cells] = line.cells;
      let any = !narrowed;
      cells.forEach((cell, j) => {
        const name = `${title.textContent} ${columns[j].dataset.place}`.toLowerCase();
        const statuses = cell.dataset.statuses?.split("|") ?? [];
        const fits = words.every((word) => name.includes(word)) && statuses.some((status) => ticked.includes(status));
        cell.classList.toggle("out", narrowed && !fits);
        verdicts += statuses.length > 0;
        shown += fits;
        any ||= fits;
        used[j] ||= fits;
      });
      line.hidden = !any;
    }
    for (const line of table.tBodies[0].rows) used.forEach((keep, j) => (line.cells[j + 1].hidden = !keep));
    columns.forEach((column, j) => (column.hidden = !used[j]));
    let next = 0;
    for (const backend of [...backends.cells].slice(1)) {
      const width = used.slice(next, (next += Number(backend.dataset.width))).filter(Boolean).length;
      backend.hidden = !width;
      backend.colSpan = width || 1;
    }
  }
  byId("shown").textContent = narrowed ? `${shown} of ${verdicts} shown` : "";
}

form.hidden = !matrices.length;
form.addEventListener("input", filter);
form.addEventListener("reset", () => setTimeout(filter));
form.addEventListener("submit", (event) => event.preventDefault());
filter(); // a browser may bring back what was entered before a reload

// Arrow keys move from verdict to verdict.

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
document.addEventListener("keydown", (event) => {
  const from = event.target.closest(".matrix td");
  const step = STEPS[event.key];
  if (!from || !step || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  event.preventDefault();
  const lines = from.closest("tbody").rows;
  let [i, j] = [from.parentNode.sectionRowIndex, from.cellIndex];
  while ((i += step[0], j += step[1], lines[i]?.cells[j])) {
    const link = !lines[i].hidden && lines[i].cells[j].querySelector("a");
    if (link?.checkVisibility({ visibilityProperty: true })) return link.focus();
  }
});

// Details of a verdict. What the table of all verdicts shows is read from there.

const dialog = byId("detail");
let details; // parsed when the first is opened
const MAX_MARGINS = 3; // shown on either side of the expected value
const MAX_SIGMAS = 4; // of the inverse Fisher, half width of a figure of ellipses at most

function table(name, caption, heads, lines) {
  return node("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    node("table", { "data-name": name }, node("caption", {}, node("span", {}, caption)),
      node("thead", {}, node("tr", {}, ...heads.map((head) => node("th", { scope: "col" }, head)))),
      node("tbody", {}, ...lines.map(([first, ...others]) =>
        node("tr", {}, node("th", { scope: "row" }, first), ...others.map((text) => node("td", {}, text)))))));
}

function bar([low, found, high]) {
  if (found === undefined) return "–";
  const x = (value) => Math.max(-MAX_MARGINS, Math.min(MAX_MARGINS, value)) * 20;
  return shape("svg", { viewBox: "-64 -8 128 16", class: "bar", "aria-hidden": true },
    shape("rect", { x: x(-1), y: -8, width: x(2), height: 16, class: "margin" }),
    shape("path", { d: "M0-8V8", class: "expected" }),
    shape("path", { d: `M${x(low)} 0H${x(high)}`, class: "interval" }),
    shape("circle", { cx: x(found), r: 3.5, class: "found" }));
}

function ellipses({ names, fisher, target, mean, tuned }) {
  const [width, height] = [0, 2].map((i) => 1.1 * Math.sqrt(Math.min(MAX_SIGMAS ** 2 * fisher[i], Math.max(...[fisher, target, mean, ...tuned].map((c) => c[i])))));
  const ellipse = ([xx, xy, yy], kind) => {
    const [a, b, c] = [xx / width ** 2, xy / width / height, yy / height ** 2];
    const l = Math.sqrt(a); // the Cholesky factor maps the circle to the ellipse; y points down
    const rest = Math.sqrt(c - (b / l) ** 2);
    return rest > 0 && shape("circle", { r: 1, class: kind, transform: `matrix(${l} ${-b / l} 0 ${-rest} 0 0)` });
  };
  const drawn = [...tuned.map((c) => ellipse(c, "one")), ellipse(fisher, "fisher"), ellipse(mean, "mean"), ellipse(target, "target")];
  const label = `1-sigma ellipses of ${tuned.length} tuned inverse mass matrices, their mean, the target and the inverse Fisher`;
  return node("figure", {},
    shape("svg", { viewBox: "-1.05 -1.05 2.1 2.1", class: "ellipses", role: "img", "aria-label": label }, ...drawn.filter(Boolean)),
    node("figcaption", {}, `1-sigma ellipses in z. Horizontal: ${names[0]}, ±${width.toPrecision(2)}; vertical: ${names[1]}, ±${height.toPrecision(2)}. `,
      ...["fisher", "target", "mean", "one"].map((kind) => node("span", { class: `key ${kind}` }, KINDS[kind]))));
}
function ellipsesInX({ names, curves }) {
  const ends = [0, 1].map((i) => Object.values(curves).flat().map((point) => point[i]).reduce(([low, high], x) => [Math.min(low, x), Math.max(high, x)], [Infinity, -Infinity]));
  const place = (point) => point.map((x, i) => ((2 * (x - ends[i][0])) / (ends[i][1] - ends[i][0]) - 1) * (i ? -1 : 1)).map((x) => x.toFixed(4)).join(" ");
  const drawn = ["fisher", "mean", "target"].filter((kind) => curves[kind]).map((kind) => shape("path", { d: `M${curves[kind].map(place).join("L")}Z`, class: kind }));
  const ranges = names.map((name, i) => `${name}, from ${ends[i].map((x) => Number(x.toPrecision(3))).join(" to ").replaceAll("-", "−")}`);
  return node("figure", {},
    shape("svg", { viewBox: "-1.05 -1.05 2.1 2.1", class: "ellipses", role: "img", "aria-label": "1-sigma ellipses mapped to x: the mean tuned inverse mass matrix, the target and the inverse Fisher" }, ...drawn),
    node("figcaption", {}, `The same ellipses mapped to x. Horizontal: ${ranges[0]}; vertical: ${ranges[1]}. `,
      ...["fisher", "target", "mean"].map((kind) => node("span", { class: `key ${kind}` }, KINDS[kind]))));
}
const KINDS = { fisher: "inverse Fisher", target: "target", mean: "mean tuned M⁻¹", one: "M⁻¹ of each replicate" };

function heat(caption, matrix) {
  return node("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    node("table", { class: "heat" }, node("caption", {}, caption),
      node("tbody", {}, ...matrix.map((line, i) => node("tr", {}, ...line.map((value, j) => {
        const off = Math.max(-1, Math.min(1, 2 * (i === j ? Math.log(value) : value)));
        const colour = off > 0 ? "213 94 0" : "0 114 178";
        return node("td", { style: `background: rgb(${colour} / ${Math.abs(off) / 2})` }, (Math.abs(value) < 100 ? value.toFixed(2) : value.toExponential(1)).replace("-", "−"));
      }))))));
}

function whitened({ tuned, expected }) {
  return node("figure", {}, node("div", { class: "pictures" }, heat("mean tuned M⁻¹", tuned), heat("target, with regularisation", expected)),
    node("figcaption", {}, "Whitened by the inverse Fisher, so that the inverse Fisher itself is the identity matrix. The mean is over at most the first 32 replicates. Orange: larger than the inverse Fisher; blue: smaller."));
}

function lineOf(id) {
  const [status, name, place, claim, , , , , , command] = byId(`r-${id}`).cells;
  return { status: status.firstChild.cloneNode(true), name: name.textContent, place: place.textContent, claim: claim.firstChild.textContent, command: command.textContent };
}

function open(id) {
  const line = lineOf(id);
  details ??= JSON.parse(byId("details").textContent);
  const d = details[id];
  const parts = [
    node("h2", { id: "detail-title" }, line.status, ` ${line.name}, ${line.place}`),
    node("p", { class: "lead" }, `${line.claim}${d.sentence ? `: ${d.sentence}.` : ""}`),
  ];
  if (d.message) parts.push(node("pre", { class: "message", tabindex: 0 }, d.message));
  if (d.entries) {
    const which = d.entries.length < d.judged ? `The ${d.entries.length} largest deviations of ${d.judged} entries` : "Entries";
    parts.push(table("entries", `${which}. Band: margin; line: confidence interval; dot: estimate`, ["entry", "in margins", "found", "expected", "deviation", "interval", "margin"],
      d.entries.map(([entry, found, expected, deviation, interval, margin, ...place]) => [entry, bar(place), found, expected, deviation, interval, margin])));
  }
  const pictures = [];
  if (d.ellipses) pictures.push(ellipses(d.ellipses));
  if (d.ellipses_in_x) pictures.push(ellipsesInX(d.ellipses_in_x));
  if (d.whitened) pictures.push(whitened(d.whitened));
  if (pictures.length) parts.push(node("div", { class: "pictures" }, ...pictures));
  if (d.readings) parts.push(table("readings", "Ratio of M⁻¹ to the inverse Fisher, and the ratio predicted by geometry and the documented regularisation", ["entry", "M⁻¹ / inverse Fisher", "interval", "predicted", "reading", "reason"], d.readings));
  if (d.parts) parts.push(table("parts", "Parts of the deviation from the inverse Fisher", ["entry", "geometry", "regularisation", "remainder", "total"], d.parts));
  parts.push(node("dl", {}, ...d.facts.map(([name, text]) => node("div", {}, node("dt", {}, name), node("dd", {}, text)))));
  if (d.claims) parts.push(node("h3", {}, "All claims on this case, backend and metric"), node("ul", { class: "claims" },
    ...d.claims.map(lineOf).map(({ status, claim }, i) => node("li", {}, status, " ",
      d.claims[i] === id ? node("strong", {}, claim) : node("a", { href: `#r-${d.claims[i]}` }, claim)))));
  if (line.command) parts.push(node("h3", {}, "Repeat with"), node("pre", { tabindex: 0 }, node("code", {}, line.command)));
  byId("detail-content").replaceChildren(...parts);
  all("table[data-name]", dialog).forEach(downloadable);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  history.replaceState(null, "", `#r-${id}`); // the address of the page becomes that of the detail
}

function openAddressed() {
  const id = location.hash.slice(3);
  if (/^#[rv]-/.test(location.hash) && byId(`r-${id}`)) open(id);
}

addEventListener("hashchange", openAddressed);
dialog.addEventListener("close", () => history.replaceState(null, "", location.pathname));
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#v-"], a[href^="#r-"]');
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    open(link.hash.slice(3));
  } else if (event.target === dialog) dialog.close(); // its backdrop
});
openAddressed();

// Each table can be downloaded as CSV, as it is shown.

function csv(table) {
  const heads = table.tHead?.rows.length ?? 0;
  const grid = [];
  [...table.rows].filter((row) => !row.hidden).forEach((row, i) => {
    let j = 0;
    for (const cell of [...row.cells].filter((cell) => !cell.hidden)) {
      const copy = cell.cloneNode(true);
      all("[aria-hidden], button", copy).forEach((mark) => mark.remove());
      const text = copy.textContent.trim().replace(/\s*\n\s*/g, " ").replace(/[\u202f]/g, "").replace(/−/g, "-").replace(/^[–·]$/, "");
      while (grid[i]?.[j] !== undefined) j++;
      for (let r = 0; r < cell.rowSpan; r++) for (let c = 0; c < cell.colSpan; c++)
        (grid[i + r] ??= [])[j + c] = cell.classList.contains("out") || (i >= heads && c) ? "" : text;
    }
  });
  const head = grid.slice(0, heads).reduce((above, line) => line.map((text, j) => (above[j] && above[j] !== text ? `${above[j]} ${text}` : text)), []);
  return [head, ...grid.slice(heads)].map((line) => line.map((text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)).join(",") + "\n").join("");
}

function downloadable(shown) {
  const button = node("button", { type: "button", class: "csv", "aria-label": `CSV of: ${shown.caption.textContent}` }, "CSV");
  button.addEventListener("click", () => {
    const link = node("a", { href: URL.createObjectURL(new Blob([csv(shown)], { type: "text/csv" })), download: `${shown.dataset.name}.csv` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  shown.caption.firstElementChild.append(" ", button);
}
all("main table").forEach(downloadable);
