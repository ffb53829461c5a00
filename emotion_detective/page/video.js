/* The Video tab's player: the visitor's own video with boxes over it, bars and a chart that follow
   the time, faces and moments to choose. `film.py` makes what it shows; texts go in as text. */
const NARROW_PX = 330; // words on two boxes would meet: only the chosen one has them
const SHARES = 10000, PLACES = 100; // of film.py: places are in 1/100 percent
const TICKS_S = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300];
const MOST_TICKS = 7;
// From the page's HTML: of a second video Gradio no longer passes what `props` held.
const LABELS = element.querySelector(".film").dataset.labels.split(" ");
const ICONS = {
  play: "M6 4l14 8-14 8z", pause: "M6 4h4v16H6zm8 0h4v16h-4z",
  sound: "M3 9h4l5-5v16l-5-5H3zm12-1c2 2 2 6 0 8M17 5c4 3 4 11 0 14",
  mute: "M3 9h4l5-5v16l-5-5H3zm12 0l6 6m0-6l-6 6",
};
const at = (selector) => element.querySelector(selector);
const video = at("video"), seek = at(".seek"), play = at(".play"), sound = at(".sound");
const plot = at(".plot"), cursor = at(".cursor"), boxes = at(".boxes");
const pointer = at(".pointer"), readout = at(".readout");
let found = null, chosen = null, times = [];
let drawn = false, broken = false, counting = false, whole = false;
let offset = null; // of a file whose times do not begin at 0: browsers show it, the server does not

const make = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const coloured = (made, emotion) => {
  made.style.setProperty("--color", "var(--ed-" + emotion + ")");
  return made;
};
const icon = (button, name, label) => {
  button.innerHTML = "<svg viewBox='0 0 24 24' aria-hidden='true'><path d='" + ICONS[name] +
    "' stroke='currentColor' stroke-width='1.6'/></svg>";
  button.setAttribute("aria-label", label);
};
const clock = (seconds) => {
  const whole = Math.floor(seconds);
  return Math.floor(whole / 60) + ":" + String(whole % 60).padStart(2, "0");
};
const now = () => Math.max(0, video.currentTime - (offset ?? 0));
// A recording states no length until it has been read to its end.
const length = () =>
  Number.isFinite(video.duration) ? video.duration - (offset ?? 0)
    : Math.max(found?.seconds ?? 0, 0.001);

/* What was found at a time: the last frame looked at, its boxes on their way to the next. */
const answers = (time) => {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time + 0.001) low = middle + 1; else high = middle;
  }
  const index = low - 1;
  if (index < 0 || time - times[index] > found.hold) return [];
  const next = index + 1 < times.length ? found.frames[index + 1] : null;
  const share = next ? Math.max(0, (time - times[index]) / (next[0] - times[index])) : 0;
  return found.frames[index][1].map((answer) => {
    const later = next?.[1].find((one) => one[0] === answer[0]) ?? answer;
    const shares = answer.slice(5), percents = ed.percents(shares.map((one) => one / SHARES));
    const best = shares.indexOf(Math.max(...shares)), unsure = shares[best] < found.unsureBelow;
    return {
      track: answer[0], shares, percents, unsure, label: LABELS[best],
      box: [1, 2, 3, 4].map((i) => (answer[i] + share * (later[i] - answer[i])) / PLACES),
      words: unsure ? "unsure" : LABELS[best] + " " + percents[best],
    };
  });
};

const drawBox = (answer, box) => {
  const [left, top, right, bottom] = answer.box;
  Object.assign(box.style, { // of the frame; a moved `left` would count as a shift of the page
    transform: "translate(" + left + "cqw," + top + "cqh)",
    width: right - left + "%", height: bottom - top + "%",
  });
  coloured(box, answer.unsure ? "unsure" : answer.label);
  const words = boxes.clientWidth > NARROW_PX || answer.track === chosen ? answer.words : "";
  box.firstChild.textContent = answer.track + " " + words;
  const end = left / 100 + box.firstChild.offsetWidth / boxes.clientWidth;
  box.className = "box" + (answer.unsure ? " unsure" : "") + (top < 8 ? " low" : "") +
    (end > 1 ? " right" : "") + (answer.track === chosen ? " chosen" : "");
  box.dataset.track = answer.track;
  box.tabIndex = -1; // the list of faces is for keys
};

const drawNow = (answer) => {
  at(".now h3").textContent = "Face " + chosen + (answer ? " at " : " is not in view at ") +
    clock(now());
  plot.setAttribute("aria-valuenow", Math.round(now()));
  plot.setAttribute("aria-valuetext", clock(now()) + (answer ? ", " + answer.words : ""));
  at(".now .ed-bars").childNodes.forEach((row, i) => {
    const share = answer ? answer.shares[i] : 0;
    row.style.setProperty("--share", (100 * share) / SHARES + "%");
    row.lastChild.textContent = answer ? answer.percents[i] : "";
  });
};

const draw = () => {
  const time = now(), share = Math.min(1, time / length());
  if (Number.isFinite(share)) seek.value = share;
  seek.setAttribute("aria-valuetext", clock(time) + " of " + clock(length()));
  at(".clock").textContent = clock(time) + " / " + clock(length());
  cursor.style.transform = "translateX(" + 100 * share + "%)";
  if (!found) return;
  const shown = answers(time);
  const places = drawn ? [] : shown;
  while (boxes.children.length > places.length) boxes.lastChild.remove();
  while (boxes.children.length < places.length)
    boxes.append(make("button", { type: "button" }, make("span")));
  places.forEach((answer, i) => drawBox(answer, boxes.children[i]));
  drawNow(shown.find((answer) => answer.track === chosen));
};
const follow = () => {
  draw();
  if (!video.paused && element.isConnected) requestAnimationFrame(follow);
};

const goTo = (time) => {
  video.currentTime = Math.max(0, Math.min(time, length())) + (offset ?? 0);
  draw();
};

/* The six lines of the chosen face, broken where it was away. */
const drawLines = () => {
  const svg = at(".plot svg"), total = length();
  svg.setAttribute("viewBox", "0 0 " + total + " " + SHARES);
  const rows = found.frames.flatMap(([time, faces]) =>
    faces.filter((one) => one[0] === chosen).map((one) => [time, one.slice(5)]));
  svg.replaceChildren(...LABELS.flatMap((label, i) => {
    const path = rows.map(([time, shares], n) => {
      const goes = n && time - rows[n - 1][0] <= found.hold;
      return (goes ? "L" : "M") + time + " " + (SHARES - shares[i]) + (goes ? "" : "h0.001");
    }).join("");
    return ["under", ""].map((kind) => {
      const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
      line.setAttribute("d", path);
      line.setAttribute("class", kind);
      return coloured(line, label);
    });
  }));
  at(".lines h3").textContent = "Face " + chosen + " over time, smoothed: press to go there";
  const step = TICKS_S.find((one) => total / one <= MOST_TICKS) ?? 600;
  const steps = Array.from({ length: Math.floor(total / step) + 1 }, (_, i) => i * step);
  at(".ticks").replaceChildren(...steps.map((time) => {
    const tick = make("span", { textContent: step < 1 ? time.toFixed(1) + " s" : clock(time) });
    tick.style.left = (100 * time) / total + "%";
    return tick;
  }));
  plot.setAttribute("aria-valuemax", Math.round(total));
};

const choose = (track) => {
  chosen = track;
  const input = at(".faces input[value='" + track + "']");
  if (input) input.checked = true;
  drawLines();
  draw();
};

const faceCard = (face) => {
  const often = make("div", { className: "often" });
  const percents = ed.percents(Object.values(face.shares).map((share) => share / SHARES));
  Object.entries(face.shares).forEach(([emotion, share], i) => {
    if (!share) return;
    const part = coloured(make("i", { title: emotion + " " + percents[i] }), emotion);
    part.style.flex = share;
    often.append(part);
  });
  return make("label", {},
    make("input", { type: "radio", name: "video-face", value: face.track }),
    make("img", { src: face.picture, alt: "" }),
    make("div", {}, make("b", { textContent: "Face " + face.track + " " }),
      make("p", { textContent: face.words }), often));
};

const momentCard = (moment) => {
  // In the words of the player, which it opens.
  const { words } = answers(moment.time).find((one) => one.track === moment.track) ?? { words: "" };
  const card = make("button", { type: "button" }, make("img", { src: moment.picture, alt: "" }),
    "Face " + moment.track + " " + words + ", at " + clock(moment.time));
  card.addEventListener("click", () => {
    video.pause();
    goTo(moment.time);
    choose(moment.track);
    const { top, bottom } = at(".stage").getBoundingClientRect();
    if (top < 0 || bottom > innerHeight) at(".stage").scrollIntoView({ block: "start" });
  });
  return card;
};

const COMING = "The faces appear here, each with what it shows.";
const show = (none) => {
  at(".film").classList.toggle("ready", whole);
  at(".coming").textContent = none ? "No face was found." : COMING;
  at(".coming").hidden = Boolean(found);
  at(".faces").hidden = !found;
  for (const part of [".now", ".lines", ".moments"]) at(part).hidden = !found;
  const { faces, moments, unlisted } = found ?? { faces: [], moments: [], unlisted: 0 };
  const had = at(".faces").contains(document.activeElement);
  at(".faces").replaceChildren(...faces.map(faceCard));
  at(".unlisted").hidden = !unlisted;
  at(".unlisted").textContent = unlisted + " more, seen for less time, are in the table.";
  at(".strip").replaceChildren(...moments.map(momentCard));
  boxes.replaceChildren();
  if (!found) return;
  choose(faces.some((face) => face.track === chosen) ? chosen : faces[0].track);
  if (had) at(".faces :checked")?.focus();
};

/* A new value is the video, what was found in it so far, or a copy for browsers that can't play it. */
let renders = 0, playing = null, own = null;
const render = async () => {
  const mine = ++renders;
  const value = props.value ?? {};
  const address = (value.copy ?? value.video)?.url;
  if (address && playing !== address) {
    playing = address;
    drawn = Boolean(value.copy); // into its pictures
    broken = false;
    offset = null;
    if (!drawn) chosen = null;
    if (own) URL.revokeObjectURL(own);
    const [file] = (!drawn && ed.sent.video) || []; // the visitor's own is never fetched back
    own = file ? URL.createObjectURL(file) : null;
    video.src = own ?? address;
  }
  if (!value.copy) {
    const answer = value.found && (await fetch(value.found.url));
    const content = answer?.ok ? await answer.json() : null;
    if (mine !== renders) return; // more was found meanwhile
    found = content;
    whole = Boolean(found && value.whole);
    times = found ? found.frames.map(([time]) => time) : [];
    if (found) at(".film").style.setProperty("--ratio", found.size[0] / found.size[1]);
    show(value.none);
  }
  if (broken) giveUp();
  draw();
};
const NO_H264 = "This browser plays neither your file nor the copy: take the copy, and open it in another program.";
const giveUp = () => {
  broken = true;
  at(".film").classList.add("broken");
  if (drawn) at(".unplayed").textContent = NO_H264;
  else if (whole) trigger("unplayable", { webm: !video.canPlayType('video/mp4; codecs="avc1.42E01E"') });
};

at(".now .ed-bars").replaceChildren(...LABELS.map((label) =>
  coloured(make("li", {}, make("span", { textContent: label }), make("i"), make("b")), label)));
icon(play, "play", "Play");
icon(sound, "sound", "Sound off");
const toggle = () => (video.paused ? video.play().catch(() => {}) : video.pause());
play.addEventListener("click", toggle);
video.addEventListener("click", toggle);
sound.addEventListener("click", () => {
  video.muted = !video.muted;
  icon(sound, video.muted ? "mute" : "sound", video.muted ? "Sound on" : "Sound off");
});
video.addEventListener("play", () => (icon(play, "pause", "Pause"), follow()));
video.addEventListener("pause", () => (icon(play, "play", "Play"), draw()));
for (const event of ["timeupdate", "seeked"]) video.addEventListener(event, draw);
video.addEventListener("loadedmetadata", () => {
  if (video.videoWidth)
    at(".film").style.setProperty("--ratio", video.videoWidth / video.videoHeight);
  counting = !Number.isFinite(video.duration);
  if (counting) video.currentTime = 1e7;
});
video.addEventListener("loadeddata", () => {
  at(".film").classList.remove("broken");
  offset ??= counting ? 0 : video.currentTime;
  if (found) drawLines();
  draw();
});
video.addEventListener("durationchange", () => {
  if (counting && Number.isFinite(video.duration)) (counting = false), (video.currentTime = 0);
  if (found) drawLines();
  draw();
});
video.addEventListener("error", () => video.getAttribute("src") && giveUp());
seek.addEventListener("input", () => goTo(seek.value * length()));
const timeAt = (event) => {
  const { left, width } = plot.getBoundingClientRect();
  return Math.max(0, Math.min(1, (event.clientX - left) / width)) * length();
};
const goToPointer = (event) => goTo(timeAt(event));
/* What the chosen face shows at the pointer, likeliest first. */
const readOut = (event) => {
  const time = timeAt(event), share = time / length();
  const answer = found && answers(time).find((one) => one.track === chosen);
  pointer.hidden = readout.hidden = false;
  pointer.style.left = readout.style.left = 100 * share + "%";
  readout.classList.toggle("left", share > 0.6);
  const ranked = answer ? [...LABELS.keys()].sort((a, b) => answer.shares[b] - answer.shares[a]) : [];
  readout.replaceChildren(make("b", { textContent: clock(time) }), ...(answer
    ? ranked.slice(0, 3).map((i) => coloured(make("span", {}, make("i"), LABELS[i] + " " +
      answer.percents[i]), LABELS[i])) : ["not in view"]));
};
plot.addEventListener("pointerdown", (event) => {
  plot.setPointerCapture(event.pointerId);
  goToPointer(event);
});
plot.addEventListener("pointermove", (event) => {
  if (event.buttons) goToPointer(event);
  readOut(event);
});
plot.addEventListener("pointerleave", () => (pointer.hidden = readout.hidden = true));
plot.addEventListener("keydown", (event) => {
  const past = times.filter((time) => time < now() - 0.01).pop();
  const next = times.find((time) => time > now() + 0.01);
  const to = { ArrowLeft: past ?? 0, ArrowDown: past ?? 0, ArrowRight: next ?? now(),
    ArrowUp: next ?? now(), PageDown: now() - length() / 10, PageUp: now() + length() / 10,
    Home: 0, End: length() }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  goTo(to);
});
at(".faces").addEventListener("change", (event) => choose(Number(event.target.value)));
boxes.addEventListener("click", (event) => {
  const box = event.target.closest(".box");
  if (box) choose(Number(box.dataset.track));
});
watch("value", render);
render();
