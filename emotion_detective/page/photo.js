/* The stage of the Photo tab: one picture with its faces, of which one is chosen. Its value comes
   from photo_stage.py; it asks for more by the events closer, save and whole. */
const FEW = 8; // faces whose tags name their emotion; of more each has its number
const HOVER_MS = 120; // a pointer on its way to something else chooses nothing
const PADDING_PX = 3; // of the strip: sizes are rounded, and no edge may be left out
const ANSWER_MS = 3000; // after which an answer counts as lost
const MOST_ZOOM = 4;
const ROOM = 2; // heights of a tag that a face has in which one may stand
const find = (selector) => element.querySelector(selector);
const [stage, fit, boxes, strip] = [".stage", ".fit", ".boxes", ".ed-strip"].map(find);
const picture = fit.querySelector("img");
const [seen, heat] = element.querySelectorAll(".looks img");
let shown = null;
let chosen = 0;
let hover = null;
let asked = -Infinity; // when a closer look was asked for that has not come
const looks = new Map(); // face -> what `closer` answered

const make = (parent, tag, properties = {}) =>
  parent.appendChild(Object.assign(document.createElement(tag), properties));
const color = (face) => `var(--ed-${face.unsure ? "unsure" : face.label})`;
const kind = (face) => (face.unsure ? " unsure" : "");
const place = (face) => {
  const [left, top, width, height] = face.box;
  return { left: about.mirrored ? 1 - left - width : left, top, width, height };
};

// --- A picture, from the moment it is chosen -----------------------------------------------------

const pan = find(".pan"), zoom = find(".zoom");
const setZoom = (times) => {
  stage.dataset.zoom = times;
  stage.style.setProperty("--zoom", times);
  pan.tabIndex = times > 1 ? 0 : -1; // keys move it
  const whole = times === MOST_ZOOM;
  zoom.textContent = whole ? "−" : "+";
  zoom.setAttribute("aria-label", whole ? "Show the whole picture" : "Zoom in");
};
const panToChosen = () => {
  if (!shown?.faces[chosen]) return;
  const { left, top, width, height } = place(shown.faces[chosen]);
  pan.scrollLeft = (left + width / 2) * fit.clientWidth - pan.clientWidth / 2;
  pan.scrollTop = (top + height / 2) * fit.clientHeight - pan.clientHeight / 2;
};
zoom.onclick = () => setZoom(zoom.textContent === "+" ? 2 * stage.dataset.zoom : 1);

let about = {}; // what the page knows of it without the server: whether it is mirrored
let own = null; // address of the visitor's own file, which is never fetched back
const summary = find("#summary");
const say = (text, kind = "") => {
  summary.className = kind;
  summary.textContent = text;
};
const progress = (text, share) => {
  say(text, "progress");
  const bar = make(summary, "progress", { max: 1 });
  if (share !== undefined) bar.value = share;
};
const reset = () => {
  [shown, chosen, asked] = [null, 0, -Infinity];
  setZoom(1);
  clearTimeout(hover);
  looks.clear();
  for (const old of [boxes, strip, find(".ed-bars")]) old.replaceChildren();
  if (own) URL.revokeObjectURL(own);
  own = null;
};
const setStage = (isThere, ...kinds) => {
  stage.hidden = find(".again").hidden = !isThere;
  stage.className = ["stage", ...kinds].join(" ");
};
const canShow = async (address) => {
  const decoded = Object.assign(new Image(), { src: address });
  try {
    await decoded.decode();
    const ratio = about.ratio ?? decoded.naturalWidth / decoded.naturalHeight;
    stage.style.setProperty("--ratio", ratio); // before the picture, which would jump
    picture.src = address;
    return true;
  } catch {
    return false; // HEIC, in most browsers: the server's copy comes with the boxes
  }
};
// Returns whether the browser can show it.
const begin = async ([file], said) => {
  reset();
  about = said;
  if (file) own = URL.createObjectURL(file);
  setStage(true, "reading", about.mirrored ? "mirrored" : "");
  progress(file ? "Opening" : "Reading");
  picture.alt = "The picture that is being read";
  picture.removeAttribute("src");
  const seen = await canShow(own ?? about.picture);
  stage.classList.toggle("unseen", !seen);
  find(".again").focus({ preventScroll: true });
  stage.scrollIntoView({ block: "nearest" });
  return seen;
};
const clear = () => {
  reset();
  setStage(false);
  say("");
};
ed.rooms.photo = { begin, progress, failed: clear };

// --- What the server finds in it -----------------------------------------------------------------

const show = async () => {
  const value = props.value;
  if (!value) return;
  if (value.error) {
    clear();
    return say(value.error, "error");
  }
  const isNew = shown?.key !== value.key;
  const known = shown?.faces.filter((face) => face.label).length ?? 0;
  shown = value;
  const { faces, found } = value;
  const now = faces.filter((face) => face.label).length;
  const kinds = [found ? "" : "none", found === 1 ? "single" : "", "summary" in value ? "" : "reading",
    about.mirrored ? "mirrored" : ""];
  setStage(true, ...kinds);
  if (isNew) {
    stage.style.setProperty("--ratio", value.ratio);
    if (value.picture) picture.src = value.picture;
    for (const old of [boxes, strip, find(".ed-bars")]) old.replaceChildren();
    faces.forEach(addFace);
    for (const label of found ? value.labels : []) {
      const row = make(find(".ed-bars"), "li");
      row.style.setProperty("--color", `var(--ed-${label})`);
      row.append(...["span", "i", "b"].map((tag) => document.createElement(tag)));
      row.firstChild.textContent = label;
    }
  }
  faces.slice(known, now).forEach((face, i) => nameFace(face, known + i));
  if (now && (isNew || !known)) choose(0);
  else placeTags();
  if ("summary" in value) {
    say(value.summary);
    picture.alt = value.alt;
    if (found) lookCloser();
  } else progress(`${now} of ${found} ${found === 1 ? "face" : "faces"} read`, found ? now / found : 1);
};

const addFace = (face, index) => {
  const { left, top, width, height } = place(face);
  const box = make(boxes, "i", { className: "box" });
  box.style.cssText = `left:${100 * left}%;top:${100 * top}%;width:${100 * width}%;
    height:${100 * height}%`;
  make(boxes, "span", { className: "tag", hidden: true });
  const button = make(strip, "button", { type: "button" });
  button.setAttribute("role", "radio");
  button.setAttribute("aria-label", `Face ${index + 1}`);
  make(button, "img", { src: face.crop, alt: "" });
  make(button, "span", { textContent: index + 1 });
};
const nameFace = (face, index) => {
  const button = strip.children[index];
  const words = button.lastChild;
  const parts = [boxes.querySelectorAll(".box")[index], boxes.querySelectorAll(".tag")[index], words];
  for (const part of parts) {
    part.style.setProperty("--color", color(face));
    part.classList.toggle("unsure", face.unsure);
  }
  words.textContent = `${index + 1} ${face.unsure ? "unsure" : face.label}`;
  button.setAttribute("aria-label", `Face ${index + 1}: ${face.verdict}`);
};

const choose = (index) => {
  const face = shown.faces[index];
  if (!face.label) return; // not read yet
  chosen = index;
  [...strip.children].forEach((button, i) => {
    button.setAttribute("aria-checked", i === index);
    button.tabIndex = i === index ? 0 : -1;
  });
  boxes.querySelectorAll(".box").forEach((box, i) => box.classList.toggle("chosen", i === index));
  // Not scrollIntoView, which would move the page too.
  const button = strip.children[index];
  const from = button.offsetLeft - PADDING_PX;
  const to = button.offsetLeft + button.offsetWidth + PADDING_PX - strip.clientWidth;
  strip.scrollLeft = Math.min(from, Math.max(strip.scrollLeft, to));
  const chip = find(".ed-chip");
  chip.className = `ed-chip${kind(face)}`;
  chip.style.setProperty("--color", color(face));
  chip.textContent = index + 1;
  find(".words").textContent = face.verdict[0].toUpperCase() + face.verdict.slice(1);
  element.querySelectorAll(".ed-bars li").forEach((row, i) => {
    row.style.setProperty("--share", `${100 * face.shares[i]}%`);
    row.lastChild.textContent = face.percents[i];
  });
  find(".often").textContent = face.often;
  lookCloser();
  placeTags();
};

// A closer look comes from the server, once for each face and one after the other: a pointer that
// goes along the strip asks for the faces where it rests.
const lookCloser = () => {
  const look = looks.get(chosen);
  const isRead = "summary" in shown; // the server has nothing to look at before
  if (isRead && !look && performance.now() > asked + ANSWER_MS) {
    asked = performance.now();
    trigger("closer", { face: chosen });
  }
  for (const [image, address] of [[seen, look?.seen], [heat, look?.heat]]) {
    image.parentElement.classList.toggle("absent", !address);
    if (address) image.src = address;
  }
  seen.alt = `Face ${chosen + 1} in gray, as the model gets it`;
  heat.alt = `Face ${chosen + 1} with the places in yellow that speak for ${look?.label}`;
};
window.addEventListener("photo-closer", ({ detail }) => {
  if (detail.error) return ed.say(detail.error);
  if (detail.key !== shown?.key) return;
  looks.set(detail.face, detail);
  asked = -Infinity;
  lookCloser();
});

// Tags stand where they hide no other tag and, if that can be, no face; the chosen one always does.
const meets = (a, b) =>
  a.left < b.left + b.width && b.left < a.left + a.width &&
  a.top < b.top + b.height && b.top < a.top + a.height;
const placeTags = () => {
  const [width, height] = [fit.clientWidth, fit.clientHeight];
  if (!shown?.faces[chosen]?.label || !width) return;
  const areas = shown.faces.map((face) => {
    const { left, top, width: w, height: h } = place(face);
    return { left: left * width, top: top * height, width: w * width, height: h * height };
  });
  const first = areas.length > FEW ? [chosen] : []; // its tag is the only long one
  const named = [...areas.keys()].filter((index) => shown.faces[index].label);
  const order = [...new Set([...first, ...named])];
  const taken = [];
  for (const index of order) {
    const tag = boxes.querySelectorAll(".tag")[index];
    const number = `${index + 1}`;
    const long = `${number} ${shown.faces[index].tag}`;
    const texts = index === chosen || areas.length <= FEW ? [long, number] : [number];
    const spot = findSpot(tag, texts, areas, index, taken, width, height);
    tag.hidden = !spot;
    tag.classList.toggle("chosen", index === chosen);
    if (!spot) continue;
    taken.push(spot);
    Object.assign(tag.style, { left: `${spot.left}px`, top: `${spot.top}px` });
  }
};
const findSpot = (tag, texts, areas, index, taken, width, height) => {
  const area = areas[index];
  let first = null;
  for (const text of texts) {
    tag.textContent = text;
    tag.hidden = false;
    const size = { width: tag.offsetWidth, height: tag.offsetHeight };
    const left = Math.max(0, Math.min(area.left, width - size.width));
    const tops = [area.top - size.height, area.top + area.height];
    if (area.height > ROOM * size.height) tops.push(area.top + 2);
    const spots = tops
      .filter((top) => top >= 0 && top + size.height <= height)
      .map((top) => ({ left, top, ...size }));
    if (!spots.length && index === chosen) spots.push({ left, top: 0, ...size });
    const free = spots.filter((spot) => !taken.some((other) => meets(spot, other)));
    const clear = free.find((spot) => !areas.some((a, i) => i !== index && meets(spot, a)));
    if (clear) return clear;
    if (free.length && text === texts.at(-1) && tops.length === 3) return free[0];
    first ??= spots[0];
  }
  if (index !== chosen) return null;
  tag.textContent = texts[0];
  return first;
};
new ResizeObserver(() => {
  placeTags();
  panToChosen();
}).observe(fit);

// The smallest box under the pointer, or the nearest box that a finger may have meant.
const faceAt = (event) => {
  const frame = fit.getBoundingClientRect();
  const [x, y] = [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
  const reach = event.pointerType === "mouse" && event.type !== "click" ? 0 : 22;
  const near = shown.faces.map((face, index) => {
    const { left, top, width, height } = place(face);
    const [dx, dy] = [Math.max(left - x, 0, x - left - width), Math.max(top - y, 0, y - top - height)];
    return { index, distance: Math.hypot(dx * frame.width, dy * frame.height), area: width * height };
  });
  const [best] = near.filter(({ distance }) => distance <= reach)
    .sort((a, b) => a.distance - b.distance || a.area - b.area);
  return best?.index;
};
const chooseSoon = (index) => {
  clearTimeout(hover);
  if (index === undefined || index === chosen) return;
  hover = setTimeout(() => choose(index), HOVER_MS);
};
fit.addEventListener("pointermove", (event) => event.pointerType === "mouse" && chooseSoon(faceAt(event)));
fit.addEventListener("pointerleave", () => clearTimeout(hover));
fit.addEventListener("click", (event) => {
  const index = faceAt(event);
  if (index !== undefined) choose(index);
});
const inStrip = ({ target }) => {
  const index = [...strip.children].indexOf(target.closest("button"));
  return index < 0 ? undefined : index;
};
strip.addEventListener("pointermove", (event) => event.pointerType === "mouse" && chooseSoon(inStrip(event)));
strip.addEventListener("pointerleave", () => clearTimeout(hover));
strip.addEventListener("click", (event) => {
  if (inStrip(event) === undefined) return;
  choose(inStrip(event));
  panToChosen();
});
strip.addEventListener("keydown", (event) => {
  const last = shown.faces.length - 1;
  const next = { ArrowRight: chosen + 1, ArrowDown: chosen + 1, ArrowLeft: chosen - 1,
    ArrowUp: chosen - 1, Home: 0, End: last }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  choose((next + last + 1) % (last + 1));
  panToChosen();
  strip.children[chosen].focus({ preventScroll: true });
});

find(".whole").addEventListener("click", () => {
  progress("Reading");
  trigger("whole");
});
find(".again").addEventListener("click", () => {
  clear();
  trigger("cleared");
  document.querySelector("#photo-intake .file").focus();
});
const take = (name, blob) => {
  const link = document.createElement("a");
  Object.assign(link, { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
};
const card = () => {
  const face = shown.faces[chosen];
  const paint = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--ed-${name}`);
  const bars = shown.labels.map((label, i) => ({ label, share: face.shares[i],
    percent: face.percents[i], color: paint(label) }));
  const { box, often } = face;
  const color = paint(face.unsure ? "unsure" : face.label);
  const verdict = find(".words").textContent;
  return ed.card({ picture, box, color, verdict, bars, often, model: shown.model });
};
find(".save").addEventListener("click", async ({ target }) => {
  const { kind } = target.dataset;
  if (kind === "card") return take("emotion-card.png", await card());
  if (!kind) return;
  target.setAttribute("aria-busy", true);
  trigger("save", { kind });
});
window.addEventListener("photo-saved", async ({ detail }) => {
  element.querySelectorAll("[aria-busy]").forEach((button) => button.removeAttribute("aria-busy"));
  if (detail.error) return ed.say(detail.error);
  take(detail.name, await (await fetch(detail.address)).blob());
});

watch("value", show);
