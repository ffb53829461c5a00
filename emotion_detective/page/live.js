/* The Live tab: a mirror, the faces on it, and how their emotions change.

   One session goes from "Start camera" to "Stop". `run` sends a frame, draws its answer and sends
   the next: one at most is on its way, and what the camera shows meanwhile is skipped. The picture
   is mirrored here only, boxes with it. After "Stop" the stage shows what the visit brought: pictures
   of faces are cut out here and stay here. */
const FRAME_MS = 50; // no more than 20 frames a second: nobody sees more, and all share a server
const WAIT_MS = 1000;
const RETRY_MS = 8000; // a little less than the server keeps a session that is silent
const GONE_MS = 800;
const DRAW_MS = 1000;
const HEAR_MS = 4000; // a screen reader needs as long for a sentence
const OLD_MS = 500; // an answer of a frame older than this says so
const MAX_GLIDE_MS = 600;
const CHART_S = 30, TICK_S = 10;
const MAX_FACES = 4; // in the summary, those seen longest
const BETTER = 0.02; // a stronger moment takes the place of a picture
const PICTURE_PX = 200, AROUND = 1.5; // of a moment, and its width in faces
const SIZE = { width: { ideal: 640 }, height: { ideal: 480 } };

const root = element.querySelector(".live");
const part = (name) => root.querySelector(`.live-${name}`);
const [video, boxes, screen, stage] = ["video", "boxes", "screen", "stage"].map(part);
const labels = root.dataset.labels.split(" ");
const [side_px, session_s] = [Number(root.dataset.side), Number(root.dataset.seconds)];
const color = (name) => `var(--ed-${name})`;
const { make } = ed;
const canvas = document.createElement("canvas");
let session = null; // { visitor, camera, chosen, points, shares, moments, ... } from Start to Stop
let last = null; // the one before, for its card
let timer = 0;

// --- The session -------------------------------------------------------------------------------

const start = async () => {
  bars(null);
  six(null);
  show("starting", "Allow the camera in your browser.");
  const visit = { points: [], shares: [], faces: [], moments: new Map() };
  try {
    const wanted = { video: { ...SIZE, facingMode: "user" } };
    visit.camera = await ed.camera(video, wanted, (why) => {
      if (session === visit) stop(why === "away" ? AWAY : "The camera was turned off.");
    });
  } catch (error) {
    return show("idle", error.message, error.link);
  }
  const random = crypto.getRandomValues(new Uint8Array(16));
  const visitor = [...random].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const mine = (session = Object.assign(visit, { visitor }));
  await video.play().catch(() => {}); // the camera went off meanwhile
  if (session !== mine) return;
  screen.style.setProperty("--ratio", video.videoWidth / video.videoHeight);
  timer = setInterval(tick, OLD_MS / 2);
  run(mine);
};
const AWAY = "The camera is off because this tab was out of view.";

const run = async (mine) => {
  let waits = true;
  let failed = 0;
  while (session === mine) {
    const begun = performance.now();
    const picture = waits ? null : await frame();
    if (session !== mine) return;
    if (!ed.isSeen(root)) return stop(AWAY); // the observer comes a little later
    try {
      const answer = await ask("frame", mine, picture);
      if (session !== mine) return;
      failed = 0;
      waits = "place" in answer;
      if (answer.over) return stop(`Your ${session_s / 60} minutes are over.`);
      if (waits) wait(answer);
      else draw(mine, answer, begun);
    } catch (error) {
      if (session !== mine) return;
      failed ||= begun;
      if (error.refusal) return stop(error.refusal);
      if (performance.now() - failed > RETRY_MS) return stop("The server does not answer.");
      await pause(WAIT_MS);
    }
    await pause((waits ? WAIT_MS : FRAME_MS) - (performance.now() - begun));
  }
};
const pause = (ms) => new Promise((done) => setTimeout(done, Math.max(0, ms)));

const ask = async (what, { visitor }, body = null) => {
  const headers = { "X-Visitor": visitor };
  const response = await fetch(ed.address(`live/${what}`), { method: "POST", headers, body, keepalive: !body });
  if (response.ok) return what === "frame" ? response.json() : response.text();
  const error = new Error(response.statusText);
  if (response.status < 500) error.refusal = await response.text();
  throw error;
};

const frame = () => {
  const scale = Math.min(1, side_px / Math.max(video.videoWidth, video.videoHeight));
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.8));
};

const stop = async (words = "") => {
  if (!session) return;
  const mine = session;
  session = null;
  clearInterval(timer);
  mine.camera.off();
  boxes.replaceChildren();
  show("ended", words);
  for (const name of ["left", "heard", "age"]) part(name).textContent = "";
  summarize((last = mine));
  const csv = await ask("end", mine).catch(() => "");
  if (!csv || session) return;
  URL.revokeObjectURL(part("csv").href); // that of the visit before was kept until now
  const href = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
  Object.assign(part("csv"), { href, hidden: false });
};

// --- What is seen ------------------------------------------------------------------------------

// The state decides which buttons are there (live.css).
const show = (state, words, link = null) => {
  root.dataset.state = state;
  part("status").textContent = words;
  part("status").classList.toggle("ed-error", state === "idle" && Boolean(words));
  if (!link) return;
  const opens = { href: link, target: "_blank", textContent: "Open it in a window of its own" };
  part("status").append(" ", ed.make("a", opens));
};

const wait = ({ place, minutes }) => {
  const others = place === 1 ? "You are next" : `You are number ${place} in line`;
  show("waiting", `${others}: your turn comes in ${minutes} minutes at most. Nothing is sent yet.`);
};

const draw = (mine, answer, begun) => {
  mine.leftAt = performance.now() + answer.left_s * 1000;
  if (!answer.faces) return show("live", "");
  const since = begun - (mine.takenAt ?? begun);
  mine.glide = 0.7 * (mine.glide ?? since) + 0.3 * since; // until the next answer, most likely
  boxes.style.setProperty("--glide", `${Math.min(MAX_GLIDE_MS, mine.glide)}ms`);
  mine.takenAt = begun;
  const faces = (mine.faces = answer.faces);
  const now = performance.now();
  const isGone = () => !(now - mine.seenAt < GONE_MS); // one frame without a face is no change
  let chosen = faces.find((face) => face.track === mine.chosen);
  if (!chosen && isGone()) chosen = faces[0]; // the largest, if there is one
  if (chosen) [mine.chosen, mine.seenAt] = [chosen.track, now];
  show("live", isGone() ? "No face in view." : "");
  place(faces, answer.size, mine);
  if (chosen || isGone()) bars(chosen);
  for (const face of faces) {
    mine.points.push([answer.time_s, face.track, face.probabilities]);
    remember(mine, face, answer.size);
  }
  if (answer.shares) mine.shares = answer.shares;
};

// A face keeps its button from frame to frame, or the focus would be lost with it.
const place = (faces, [width, height], mine) => {
  const known = new Map([...boxes.children].map((box) => [Number(box.dataset.track), box]));
  for (const face of faces) {
    const box = known.get(face.track) ?? newBox(face.track);
    known.delete(face.track);
    const [left, top, right, bottom] = face.box;
    const percent = (share) => `${100 * share}%`;
    box.style.left = percent(1 - right / width);
    box.style.top = percent(top / height);
    box.style.width = percent((right - left) / width);
    box.style.height = percent((bottom - top) / height);
    box.style.setProperty("--color", color(face.unsure ? "unsure" : face.label));
    box.classList.toggle("unsure", face.unsure);
    box.classList.toggle("high", top / height < 0.1); // its tag would be cut off
    box.classList.toggle("right", left / width < 0.25);
    box.setAttribute("aria-pressed", face.track === mine.chosen);
    box.firstChild.textContent = `${face.track} ${face.tag}`;
  }
  known.forEach((box) => box.remove());
};
const newBox = (track) => {
  const box = document.createElement("button");
  box.dataset.track = track;
  box.append(document.createElement("span"));
  box.onclick = () => session && (session.chosen = track);
  return boxes.appendChild(box);
};

/* A face's strongest moment of each emotion, cut out of the frame that was answered, as in a mirror. */
const remember = (mine, face, [width]) => {
  if (face.unsure) return;
  const known = mine.moments.get(face.track) ?? {};
  if (face.confidence < (known[face.label]?.confidence ?? 0) + BETTER) return;
  mine.moments.set(face.track, known);
  const [left, top, right, bottom] = face.box.map((at) => (at * canvas.width) / width);
  const side = AROUND * Math.max(right - left, bottom - top);
  const picture = make("canvas", { width: PICTURE_PX, height: PICTURE_PX });
  const pen = picture.getContext("2d");
  pen.translate(PICTURE_PX, 0);
  pen.scale(-1, 1);
  pen.drawImage(canvas, (left + right - side) / 2, (top + bottom - side) / 2, side, side,
    0, 0, PICTURE_PX, PICTURE_PX);
  const words = face.tag;
  const address = picture.toDataURL("image/jpeg", 0.9);
  known[face.label] = { confidence: face.confidence, words, picture, address };
  if (face.track === mine.chosen) six(mine);
};
const six = (mine) => {
  const known = mine?.moments.get(mine.chosen) ?? {};
  part("made").textContent = Object.keys(known).length;
  part("six").replaceChildren(...labels.map((label) => moment(label, known[label])));
};
const moment = (label, taken) => {
  const item = make("li", {}, taken ? make("img", { src: taken.address, alt: "" }) : make("i"),
    make("span", { textContent: taken?.words ?? label }));
  item.style.setProperty("--color", color(label));
  item.classList.toggle("taken", Boolean(taken));
  return item;
};

const bars = (face) => {
  const rows = part("bars").children;
  const percents = face && ed.percents(face.probabilities);
  labels.forEach((_, i) => {
    const share = face?.probabilities[i] ?? 0;
    rows[i].style.setProperty("--share", `${100 * share}%`);
    rows[i].lastChild.textContent = percents?.[i] ?? "";
  });
  const chip = part("chip");
  chip.textContent = face?.track ?? "-";
  chip.style.setProperty("--color", face ? color(face.unsure ? "unsure" : face.label) : "");
  part("looks").textContent = face?.looks ?? "No face yet";
};

// --- Every now and then----------------------------------------------------------------------------

let heardAt = 0, drawnAt = 0;
const tick = () => {
  const mine = session;
  if (!mine?.leftAt) return;
  const old = performance.now() - mine.takenAt;
  part("age").textContent = old > OLD_MS ? `${(old / 1000).toFixed(1)} s behind` : "";
  if (performance.now() - drawnAt < DRAW_MS) return;
  drawnAt = performance.now();
  const left = Math.max(0, Math.round((mine.leftAt - performance.now()) / 1000));
  part("left").textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  if (mine.points.length) chart(mine);
  if (performance.now() - heardAt < HEAR_MS) return;
  heardAt = performance.now();
  const told = mine.faces.map((face) => `Face ${face.track} ${face.looks}`).join(". ");
  part("heard").textContent = told || "No face in view.";
};

const chart = (mine) => {
  const end = Math.max(CHART_S, mine.points.at(-1)[0]), begin = end - CHART_S;
  const recent = mine.points.filter(([time, track]) => track === mine.chosen && time >= begin);
  part("track").textContent = `Face ${mine.chosen}`;
  [...part("lines").children].forEach((line, i) => {
    const path = recent.map(([time, , shares], n) => {
      const goes = n && time - recent[n - 1][0] < 2 * (GONE_MS / 1000);
      return `${goes ? "L" : "M"}${(time - begin).toFixed(2)} ${(1 - shares[i]).toFixed(3)}`;
    });
    line.setAttribute("d", path.join(""));
  });
  const first = Math.ceil(begin / TICK_S) * TICK_S;
  const ticks = [0, 1, 2, 3].map((n) => first + n * TICK_S).filter((time) => time <= end);
  part("ticks").replaceChildren(...ticks.map((time) => {
    const tick = make("span", { textContent: clock(time) });
    tick.style.left = `${(100 * (time - begin)) / CHART_S}%`;
    return tick;
  }));
  part("shares").replaceChildren(...longest(mine).map(shareOfTime));
};
const longest = (mine) => mine.shares.sort((a, b) => b.seconds - a.seconds).slice(0, MAX_FACES);
const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;

const shareOfTime = (row) => {
  const item = document.createElement("li");
  const name = item.appendChild(document.createElement("span"));
  name.textContent = `Face ${row.track}, ${Math.round(row.seconds)} s`;
  const stack = item.appendChild(document.createElement("i"));
  const all = [...labels, "unsure"], percents = ed.percents(all.map((one) => row[one]));
  const emotions = all.filter((emotion) => row[emotion] > 0);
  for (const emotion of emotions) {
    const piece = stack.appendChild(document.createElement("b"));
    piece.style.cssText = `flex: ${row[emotion]}; background: ${color(emotion)}`;
    if (row[emotion] > 0.2) piece.textContent = emotion;
  }
  item.title = emotions.map((one) => `${one} ${percents[all.indexOf(one)]}`).join(", ");
  const heard = item.appendChild(document.createElement("span"));
  heard.className = "live-unseen";
  heard.textContent = item.title;
  return item;
};

// --- After Stop --------------------------------------------------------------------------------

const summarize = (mine) => {
  const rows = longest(mine);
  part("card").hidden = !mine.moments.size;
  part("start").textContent = "Start camera again";
  part("summary").replaceChildren(...(rows.length ? rows.map((row) => {
    const known = mine.moments.get(row.track) ?? {};
    const taken = labels.filter((label) => known[label]).map((label) => moment(label, known[label]));
    const often = make("ul", { className: "live-shares" }, shareOfTime(row));
    return make("section", {}, often, make("ul", { className: "live-taken" }, ...taken));
  }) : [make("p", { textContent: "No face was seen long enough to be read." })]));
};

/* A picture to share of the face seen longest: its six moments and how often each emotion came. */
const CARD = { width: 1200, height: 630, edge: 40, picture: 170 };
const saveCard = async () => {
  const { width, height, edge, picture: size } = CARD, card = make("canvas", { width, height });
  const pen = card.getContext("2d"), style = getComputedStyle(root);
  const paint = (name) => style.getPropertyValue(`--ed-${name}`);
  const write = (words, x, y, font, fill = "#131a2b") =>
    Object.assign(pen, { font: `${font} system-ui, sans-serif`, fillStyle: fill }).fillText(words, x, y);
  pen.fillStyle = "#eef1f8";
  pen.fillRect(0, 0, width, height);
  const row = longest(last).find((one) => last.moments.has(one.track));
  const known = last.moments.get(row?.track ?? [...last.moments.keys()][0]);
  write(`${Object.keys(known).length} of six faces`, edge, 100, "bold 52px");
  labels.forEach((label, i) => {
    const x = edge + i * ((width - 2 * edge - size) / 5), y = 160, taken = known[label];
    pen.fillStyle = taken ? paint(label) : "#cfd6e4";
    pen.fillRect(x - 5, y - 5, size + 10, size + 10);
    if (taken) pen.drawImage(taken.picture, x, y, size, size);
    write(taken?.words ?? label, x, y + size + 40, "600 23px", taken ? "#131a2b" : "#515b70");
  });
  let x = edge;
  for (const name of row ? [...labels, "unsure"] : []) {
    pen.fillStyle = paint(name);
    pen.fillRect(x, 430, row[name] * (width - 2 * edge), 44);
    x += row[name] * (width - 2 * edge);
  }
  if (row) write(`How often, in ${Math.round(row.seconds)} seconds`, edge, 510, "23px", "#515b70");
  write("Emotion Detective", edge, 580, "bold 26px", "#4338ca");
  write("reads expressions, not feelings", edge + 300, 580, "24px", "#515b70");
  const blob = await new Promise((done) => card.toBlob(done, "image/png"));
  const files = [new File([blob], "six-faces.png", { type: "image/png" })];
  if (navigator.canShare?.({ files }) && matchMedia("(pointer: coarse)").matches)
    return navigator.share({ files }).catch(() => {});
  const link = make("a", { href: URL.createObjectURL(blob), download: "six-faces.png" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
};

part("start").onclick = start;
part("stop").onclick = () => stop();
part("card").onclick = saveCard;
part("bars").replaceChildren(...labels.map((label) => {
  const row = make("li", {}, make("span", { textContent: label }), make("i"), make("b"));
  row.style.setProperty("--color", color(label));
  return row;
}));
part("lines").setAttribute("viewBox", `0 0 ${CHART_S} 1`);
part("lines").replaceChildren(...labels.map((label) => {
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.style.stroke = color(label);
  return line;
}));
bars(null);
six(null);
