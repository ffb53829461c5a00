/* The Video tab's player: the visitor's own video with boxes over it, bars and a chart that follow
   the time, faces and moments to choose. `film.py` makes what it shows; texts go in as text. */
const TAG_PX = 130; // what the longest words on a box take
const SHARES = 1000, PLACES = 100; // of film.py: places are in 1/100 percent
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
let found = null, chosen = null, times = [];
let drawn = false, broken = false, counting = false;

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
const percent = (share) => (share >= 990 ? "99%+" : Math.round(share / 10) + "%");
// A recording states no length until it has been read to its end.
const length = () =>
  Number.isFinite(video.duration) ? video.duration : Math.max(found?.seconds ?? 0, 0.001);

/* What was found at a time: the last frame looked at, its boxes on their way to the next. */
const answers = (time) => {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time + 0.001) low = middle + 1; else high = middle;
  }
  const index = Math.max(0, low - 1); // a film may begin before its first frame
  if (!times.length || time - times[index] > found.hold) return [];
  const next = index + 1 < times.length ? found.frames[index + 1] : null;
  const share = next ? Math.max(0, (time - times[index]) / (next[0] - times[index])) : 0;
  return found.frames[index][1].map((answer) => {
    const later = next?.[1].find((one) => one[0] === answer[0]) ?? answer;
    const shares = answer.slice(5);
    const best = Math.max(...shares);
    return {
      track: answer[0], shares, best,
      box: [1, 2, 3, 4].map((i) => (answer[i] + share * (later[i] - answer[i])) / PLACES),
      label: LABELS[shares.indexOf(best)], unsure: best < found.unsureBelow,
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
  box.className = "box" + (answer.unsure ? " unsure" : "") + (top < 8 ? " low" : "") +
    (left > 100 * (1 - TAG_PX / boxes.clientWidth) ? " right" : "") + (answer.track === chosen ? " chosen" : "");
  box.dataset.track = answer.track;
  box.tabIndex = -1; // the list of faces is for keys
  const said = answer.unsure ? "unsure" : answer.label + " " + percent(answer.best);
  box.firstChild.textContent = answer.track + " " + said;
};

const drawNow = (answer) => {
  at(".now h3").textContent = "Face " + chosen + (answer ? " at " : " is not in view at ") +
    clock(video.currentTime);
  at(".now .ed-bars").childNodes.forEach((row, i) => {
    const share = answer ? answer.shares[i] : 0;
    row.style.setProperty("--share", share / 10 + "%");
    row.lastChild.textContent = answer ? percent(share) : "";
  });
};

const draw = () => {
  const time = video.currentTime, share = Math.min(1, time / length());
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
  video.currentTime = Math.max(0, Math.min(time, length()));
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
  const steps = [0, 1, 2, 3, 4].map((i) => (i * total) / 4);
  at(".ticks").replaceChildren(...steps.map((time) => {
    const tick = make("span", { textContent: total < 8 ? time.toFixed(1) + " s" : clock(time) });
    tick.style.left = (100 * time) / total + "%";
    return tick;
  }));
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
  for (const [emotion, share] of Object.entries(face.shares)) {
    if (!share) continue;
    const part = coloured(make("i", { title: emotion + " " + percent(share) }), emotion);
    part.style.flex = share;
    often.append(part);
  }
  return make("label", {},
    make("input", { type: "radio", name: "video-face", value: face.track }),
    make("img", { src: face.picture, alt: "" }),
    make("div", {}, make("b", { textContent: "Face " + face.track + " " }),
      make("p", { textContent: face.words }), often));
};

const momentCard = (moment) => {
  const card = make("button", { type: "button" }, make("img", { src: moment.picture, alt: "" }),
    "Face " + moment.track + " " + moment.words + ", at " + clock(moment.time));
  card.addEventListener("click", () => {
    video.pause();
    goTo(moment.time);
    choose(moment.track);
    const { top, bottom } = at(".stage").getBoundingClientRect();
    if (top < 0 || bottom > innerHeight) at(".stage").scrollIntoView({ block: "start" });
  });
  return card;
};

const show = () => {
  at(".film").classList.toggle("ready", Boolean(found));
  at(".coming").hidden = Boolean(found);
  at(".faces").hidden = !found;
  for (const part of [".now", ".lines", ".moments"]) at(part).hidden = !found;
  const { faces, moments, unlisted } = found ?? { faces: [], moments: [], unlisted: 0 };
  times = found ? found.frames.map(([time]) => time) : [];
  at(".faces").replaceChildren(...faces.map(faceCard));
  at(".unlisted").hidden = !unlisted;
  at(".unlisted").textContent = unlisted + " more, seen for less time, are in the table.";
  at(".strip").replaceChildren(...moments.map(momentCard));
  boxes.replaceChildren();
  if (found) choose(faces[0].track);
};

/* A new value is the video, what was found in it, or a copy for browsers that can't play it. */
const render = async () => {
  const value = props.value ?? {};
  const address = (value.copy ?? value.video)?.url;
  if (address && video.getAttribute("src") !== address) {
    drawn = Boolean(value.copy); // into its pictures
    broken = false;
    video.src = address;
  }
  if (!value.copy) {
    const answer = value.found && (await fetch(value.found.url));
    found = answer?.ok ? await answer.json() : null;
    if (found) at(".film").style.setProperty("--ratio", found.size[0] / found.size[1]);
    show();
  }
  if (broken) giveUp();
  draw();
};
const giveUp = () => {
  broken = true;
  if (found && !drawn) trigger("unplayable");
};

at(".names").replaceChildren(...[...LABELS, "unsure"].map((label) =>
  make("li", {}, coloured(make("i"), label), label)));
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
video.addEventListener("durationchange", () => {
  if (counting && Number.isFinite(video.duration)) (counting = false), (video.currentTime = 0);
  if (found) drawLines();
  draw();
});
video.addEventListener("error", () => video.getAttribute("src") && giveUp());
seek.addEventListener("input", () => goTo(seek.value * length()));
const goToPointer = (event) => {
  const { left, width } = plot.getBoundingClientRect();
  goTo(((event.clientX - left) / width) * length());
};
plot.addEventListener("pointerdown", (event) => {
  plot.setPointerCapture(event.pointerId);
  goToPointer(event);
});
plot.addEventListener("pointermove", (event) => event.buttons && goToPointer(event));
at(".faces").addEventListener("change", (event) => choose(Number(event.target.value)));
boxes.addEventListener("click", (event) => {
  const box = event.target.closest(".box");
  if (box) choose(Number(box.dataset.track));
});
watch("value", render);
render();
