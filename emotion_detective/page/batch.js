/* The Batch tab: how often each answer came, why files could not be read, and the pictures, all or
   those of one answer. `batch_view.py` makes what it shows; texts go in as text. */
const PAGE = 24; // pictures shown at first, and more at each press
const NAMED_FACES = 4;
const at = (selector) => element.querySelector(selector);
let files = [], kind = null, shown = PAGE;

const make = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const coloured = (made, name) => {
  made.dataset.kind = name; // those of files are hatched: batch.css
  made.style.setProperty("--color", "var(--ed-" + name.replace(" ", "-") + ")");
  return made;
};

const verdict = (face, i) => {
  const chip = coloured(make("span", { className: "ed-chip", textContent: i + 1 }), face.kind);
  return make("p", {}, chip, face.words);
};

const card = (file) => {
  const picture = file.picture
    ? make("img", { src: file.picture, alt: file.alt, loading: "lazy" })
    : make("div", { className: "none", textContent: "not read" });
  const left = file.faces.length - NAMED_FACES;
  return make("article", {}, picture, ...file.faces.slice(0, NAMED_FACES).map(verdict),
    ...(left > 0 ? [make("p", { textContent: "and " + left + " more faces" })] : []),
    ...(file.kind === "no face" ? [make("p", { textContent: "No face found" })] : []),
    ...(file.notice && file.picture ? [make("p", { textContent: file.notice })] : []),
    make("p", { className: "name", textContent: file.name }));
};

const showCards = () => {
  const wanted = files.filter((file) =>
    kind === null || file.kind === kind || file.faces.some((face) => face.kind === kind));
  const cards = at(".cards"), more = at(".more");
  cards.replaceChildren(...wanted.slice(0, shown).map(card));
  more.hidden = wanted.length <= shown;
  more.textContent = "Show more: " + (wanted.length - shown) + " of " + wanted.length + " left";
};

const showTotals = (counts) => {
  const found = Object.entries(counts).filter(([, count]) => count);
  at(".share").setAttribute("aria-label", found.map(([name, n]) => n + " " + name).join(", "));
  at(".share").replaceChildren(...found.map(([name, count]) => {
    const part = coloured(make("i", { title: count + " " + name }), name);
    part.style.flex = count;
    return part;
  }));
  const chips = found.map(([name, count]) => {
    const chip = make("button", { type: "button", className: "ed-button" },
      coloured(make("i"), name), name + " " + count);
    chip.setAttribute("aria-pressed", name === kind);
    chip.addEventListener("click", () => {
      kind = kind === name ? null : name;
      shown = PAGE;
      showTotals(counts);
      at(".kinds").children[found.findIndex(([other]) => other === name)].focus();
      showCards();
    });
    return chip;
  });
  at(".kinds").replaceChildren(...chips);
};

const render = async () => {
  kind = null;
  shown = PAGE;
  showTotals(props.value?.counts ?? {});
  const address = props.value?.cards?.url;
  const answer = address && (await fetch(address));
  files = answer?.ok ? await answer.json() : [];
  const unread = files.filter((file) => file.kind === "unreadable");
  at(".unread").hidden = !unread.length;
  at(".unread h3").textContent = unread.length === 1
    ? "One file could not be read" : unread.length + " files could not be read";
  at(".unread ul").replaceChildren(...unread.map((file) =>
    make("li", {}, make("b", { textContent: file.name }), ": " + file.notice)));
  at(".pictures").hidden = !files.length;
  showCards();
  at(".batch").classList.toggle("ready", files.length > 0);
};

at(".more").addEventListener("click", () => {
  shown += PAGE;
  showCards();
});
watch("value", render);
render();
