/* The Live tab: a mirror, the faces on it, and how their emotions change.

   One session goes from "Start camera" to "Stop". `run` sends a frame, draws its answer and sends
   the next: one at most is on its way, and what the camera shows meanwhile is skipped. The picture
   is mirrored here only, boxes with it. Gradio calls this with the component's `element` and its
   `props`; page.js turns the camera off when nobody sees it, and the end of its track ends the
   session. */
const { labels, colors, side_px, session_s } = props;
const FRAME_MS = 50; // no more than 20 frames a second: nobody sees more, and all share a server
const WAIT_MS = 1000;
const RETRY_MS = 8000; // a little less than the server keeps a session that is silent
const GONE_MS = 800;
const DRAW_MS = 1000;
const HEAR_MS = 4000; // a screen reader needs as long for a sentence
const CHART_S = 30;
const MAX_SHARES = 5;
const SIZE = { width: { ideal: 640 }, height: { ideal: 480 } };

const root = element.querySelector(".live");
const part = (name) => root.querySelector(`.live-${name}`);
const [video, boxes, screen, stage] = ["video", "boxes", "screen", "stage"].map(part);
const canvas = document.createElement("canvas");
let session = null; // { visitor, stream, chosen, points, shares, ... } from Start to Stop
let table = null; // address of the last session's CSV
let timer = 0;

// --- The session -------------------------------------------------------------------------------

const start = async () => {
  forget();
  show("starting", "Allow the camera in your browser.");
  const visit = { points: [], shares: [], faces: [] };
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
  timer = setInterval(tick, DRAW_MS);
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
      else draw(mine, answer);
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
  part("left").textContent = "";
  part("heard").textContent = "";
  const csv = await ask("end", mine).catch(() => "");
  if (!csv || session) return;
  table = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
  Object.assign(part("csv"), { href: table, hidden: false });
};

const forget = () => {
  stop();
  if (table) URL.revokeObjectURL(table);
  part("csv").hidden = part("more").hidden = true;
  bars(null);
  show("idle", "");
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

const draw = (mine, answer) => {
  mine.leftAt = performance.now() + answer.left_s * 1000;
  if (!answer.faces) return show("live", "");
  const faces = (mine.faces = answer.faces);
  const now = performance.now();
  const isGone = () => !(now - mine.seenAt < GONE_MS); // one frame without a face is no change
  let chosen = faces.find((face) => face.track === mine.chosen);
  if (!chosen && isGone()) chosen = faces[0]; // the largest, if there is one
  if (chosen) [mine.chosen, mine.seenAt] = [chosen.track, now];
  show("live", isGone() ? "No face in view." : "");
  place(faces, answer.size, mine);
  if (chosen || isGone()) bars(chosen);
  if (chosen) mine.points.push([answer.time_s, chosen.track, chosen.probabilities]);
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
    box.style.setProperty("--color", colors[face.unsure ? "unsure" : face.label]);
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

const bars = (face) => {
  const rows = part("bars").children;
  labels.forEach((_, i) => {
    const share = face?.probabilities[i] ?? 0;
    rows[i].style.setProperty("--share", `${100 * share}%`);
    rows[i].lastChild.textContent = face ? percent(share) : "";
  });
  const chip = part("chip");
  chip.textContent = face?.track ?? "-";
  chip.style.setProperty("--color", face ? colors[face.unsure ? "unsure" : face.label] : "");
  part("looks").textContent = face?.looks ?? "No face yet";
};
const percent = (share) => (share < 0.99 ? `${Math.round(100 * share)}%` : "99%+");

// --- Once a second -----------------------------------------------------------------------------

let heardAt = 0;
const tick = () => {
  const mine = session;
  if (!mine?.leftAt) return;
  const left = Math.max(0, Math.round((mine.leftAt - performance.now()) / 1000));
  part("left").textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  if (mine.points.length) chart(mine);
  if (performance.now() - heardAt < HEAR_MS) return;
  heardAt = performance.now();
  const told = mine.faces.map((face) => `Face ${face.track} ${face.looks}`).join(". ");
  part("heard").textContent = told || "No face in view.";
};

const chart = (mine) => {
  part("more").hidden = false;
  const points = mine.points.filter(([, track]) => track === mine.chosen);
  const end = Math.max(CHART_S, mine.points.at(-1)[0]);
  const recent = points.filter(([time]) => time >= end - CHART_S);
  part("track").textContent = `Face ${mine.chosen}`;
  part("from").textContent = `${Math.round(end - CHART_S)} s`;
  part("to").textContent = `${Math.round(end)} s`;
  part("lines").querySelectorAll("polyline").forEach((line, i) => {
    const at = ([time, , shares]) =>
      `${(100 * (time - end + CHART_S)) / CHART_S},${100 * (1 - shares[i])}`;
    line.setAttribute("points", recent.map(at).join(" "));
  });
  const longest = mine.shares.sort((a, b) => b.seconds - a.seconds).slice(0, MAX_SHARES);
  part("shares").replaceChildren(...longest.map(shareOfTime));
};

const shareOfTime = (row) => {
  const item = document.createElement("li");
  const name = item.appendChild(document.createElement("span"));
  name.textContent = `Face ${row.track}, ${Math.round(row.seconds)} s`;
  const stack = item.appendChild(document.createElement("i"));
  const emotions = Object.keys(colors).filter((emotion) => row[emotion] > 0);
  for (const emotion of emotions) {
    const piece = stack.appendChild(document.createElement("b"));
    piece.style.cssText = `flex: ${row[emotion]}; background: ${colors[emotion]}`;
    if (row[emotion] > 0.2) piece.textContent = emotion;
  }
  item.title = emotions.map((emotion) => `${emotion} ${percent(row[emotion])}`).join(", ");
  const heard = item.appendChild(document.createElement("span"));
  heard.className = "live-unseen";
  heard.textContent = item.title;
  return item;
};

part("start").onclick = start;
part("stop").onclick = () => stop();
part("again").onclick = forget;
bars(null);
