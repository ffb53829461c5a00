/* The Batch tab: how often each answer came, the pictures and a table, all or those of one answer. They grow while files are read. `batch_view.py` makes what it shows;
   texts go in as text. */
const PAGE = 24; // pictures shown at first, and more at each press
const ROWS = 100; // of the table at first
const NAMED_FACES = 4;
const OF_FILES = ["no face", "unreadable"]; // no answers of faces
// From the page's HTML: of a second batch Gradio no longer passes what `props` held.
const LABELS = element.querySelector(".batch").dataset.labels.split(" ");
const COLUMNS = ["File", "Face", "Answer", ...LABELS];
const at = (selector) => element.querySelector(selector);
const { make } = ed;
let files = [], made = [], kind = null, shown = PAGE, rowsShown = ROWS, order = null, counts = {};

const coloured = (part, name) => {
  part.dataset.kind = name; // those of files are hatched: batch.css
  part.style.setProperty("--color", "var(--ed-" + name.replace(" ", "-") + ")");
  return part;
};

const verdict = (face, i) => {
  const chip = coloured(make("span", { className: "ed-chip", textContent: i + 1 }), face.kind);
  return make("p", {}, chip, face.words);
};

const card = (file, index) => {
  const more = file.faces.slice(NAMED_FACES);
  const picture = file.picture
    ? make("button", { type: "button", className: "open" }, make("img", { src: file.picture, alt: file.alt }))
    : make("div", { className: "none", textContent: "not read" });
  if (file.picture) {
    picture.setAttribute("aria-label", "Open in Photo: " + file.name + ". " + file.alt);
    picture.onclick = () => trigger("open", { index });
  }
  return make("article", {}, picture, ...file.faces.slice(0, NAMED_FACES).map(verdict),
    ...(more.length ? [make("details", {}, make("summary", { textContent: "and " + more.length +
      (more.length === 1 ? " more face" : " more faces") }),
      ...more.map((face, i) => verdict(face, NAMED_FACES + i)))] : []),
    ...(file.kind === "no face" ? [make("p", { textContent: "No face found" })] : []),
    ...(file.notice ? [make("p", { textContent: file.notice })] : []),
    make("p", { className: "name", textContent: file.name }));
};

const shows = (one) => kind === null || one.kind === kind;
const wantedFiles = () => [...files.keys()].filter((i) =>
  files[i] && (shows(files[i]) || files[i].faces.some(shows)));

const showCards = () => {
  const wanted = wantedFiles(), more = at(".more");
  at(".pictures").hidden = !files.length;
  at(".cards").replaceChildren(...wanted.slice(0, shown).map((i) => (made[i] ??= card(files[i], i))));
  more.hidden = wanted.length <= shown;
  more.textContent = "Show more: " + (wanted.length - shown) + " of " + wanted.length + " left";
};

/* One row a face, or a file without one; the CSV has the same with all digits. */
const tableRows = () => wantedFiles().flatMap((i) => {
  const { name, faces, kind: what } = files[i];
  if (!faces.length) return [[name, "", what === "unreadable" ? "cannot be read" : "no face found"]];
  return faces.flatMap((face, n) => (shows(face) ? [[name, n + 1, face.words, ...face.percents]] : []));
});
const compare = (a, b) => (parseInt(a) - parseInt(b)) || String(a ?? "").localeCompare(String(b ?? ""));
const showTable = () => {
  const rows = tableRows(), all = at(".all");
  if (order) {
    const { column, sign } = order;
    const values = column > 2 || column === 1 ? compare : (a, b) => a.localeCompare(b);
    rows.sort((a, b) => sign * values(a[column] ?? "", b[column] ?? ""));
  }
  at(".table h3").textContent = kind === null ? "One row a face, or a file without one" : "Only " + kind;
  at("tbody").replaceChildren(...rows.slice(0, rowsShown).map((row) =>
    make("tr", {}, ...COLUMNS.map((_, i) => make("td", { textContent: row[i] ?? "" })))));
  all.hidden = rows.length <= rowsShown;
  all.textContent = "Show all " + rows.length + " rows";
};
at("thead tr").append(...COLUMNS.map((name, column) => {
  const button = make("button", { type: "button", textContent: name });
  const head = make("th", { scope: "col" }, button);
  button.onclick = () => {
    order = { column, sign: order?.column === column ? -order.sign : column > 2 ? -1 : 1 };
    at("thead").querySelectorAll("th").forEach((one) => one.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order.sign > 0 ? "ascending" : "descending");
    showTable();
  };
  return head;
}));

/* The bar is of faces only; files without any are counted beside it. */
const showTotals = () => {
  const found = Object.entries(counts).filter(([, count]) => count);
  const ofFaces = found.filter(([name]) => !OF_FILES.includes(name));
  at(".share").setAttribute("aria-label", ofFaces.map(([name, n]) => n + " " + name).join(", "));
  at(".share").replaceChildren(...ofFaces.map(([name, count]) => {
    const part = coloured(make("i", { title: count + " " + name }), name);
    part.style.flex = count;
    return part;
  }));
  const focused = document.activeElement?.dataset?.name;
  const chips = found.map(([name, count]) => {
    const isFile = OF_FILES.includes(name);
    const chip = make("button", { type: "button", className: "ed-button" + (isFile ? " of-file" : "") },
      coloured(make("i"), name), name + " " + count + (isFile ? (count === 1 ? " file" : " files") : ""));
    chip.dataset.name = name;
    chip.setAttribute("aria-pressed", name === kind);
    chip.onclick = () => {
      kind = kind === name ? null : name;
      [shown, rowsShown] = [PAGE, ROWS];
      showAll();
    };
    return chip;
  });
  at(".kinds").replaceChildren(...chips);
  chips.find((chip) => chip.dataset.name === focused)?.focus();
};
const showAll = () => {
  showTotals();
  showCards();
  showTable();
};

/* A value is the totals alone as a batch begins, then with what was read since, then with all. */
const render = async () => {
  const value = props.value ?? {};
  counts = value.counts ?? {};
  if (!value.read && !value.cards) {
    [files, made, kind, shown, rowsShown, order] = [[], [], null, PAGE, ROWS, null];
  }
  JSON.parse(value.read ?? "[]").forEach((one, i) => (files[value.index + i] = one));
  const answer = value.cards && (await fetch(value.cards.url));
  if (answer?.ok) files = await answer.json(); // with those that came too fast to be seen
  at(".batch").classList.toggle("ready", Boolean(value.cards));
  at(".batch").classList.toggle("whole", Boolean(value.whole));
  showAll();
};

at(".more").onclick = () => {
  shown += PAGE;
  showCards();
};
at(".all").onclick = () => {
  rowsShown = Infinity;
  showTable();
};
window.addEventListener("batch-opened", ({ detail }) => ed.openKept("photo", detail, detail.url));
watch("value", render);
render();
