/* What all tabs share, in the page's <head>, before Gradio and each tab's own script: the tabs and
   their addresses, how a file gets in, the camera, and what went wrong. */
window.ed = (() => {
  const TABS = ["photo", "live", "video", "batch", "about"];
  // A photo above this is sent reduced: faces are looked for in a copy smaller than that.
  const MAX_PIXELS = 2e6;
  const JPEG_QUALITY = 0.9;
  const PICTURES = /\.(jpe?g|jfif|png|gif|webp|bmp|tiff?|hei[cf]|avif|jxl|jp2|ico|p[bgp]m|tga)$/i;
  const VIDEOS = /\.(mp4|m4v|mov|webm|mkv|avi|mpe?g|m2?ts|3gp|ogv|wmv|flv)$/i;
  const make = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  // Probabilities in whole percent that add up to 100: words.percents.
  const percents = (all) => {
    const whole = all.map((one) => Math.floor(100 * one));
    const rest = (i) => 100 * all[i] - whole[i];
    const missing = 100 - whole.reduce((sum, one) => sum + one, 0);
    [...all.keys()].sort((a, b) => rest(b) - rest(a)).slice(0, missing).forEach((i) => whole[i]++);
    return all.map((one, i) => (one >= 0.99 ? "99%+" : `${whole[i]}%`));
  };
  const whenReady = (run) =>
    document.readyState === "loading" ? addEventListener("DOMContentLoaded", run) : run();

  // --- Tabs: each has an address; page.css shows the one that the root element names -------------
  const root = document.documentElement;
  // Gradio says that the page is in the browser's language; but for two links below it is not.
  const sayEnglish = () => root.lang !== "en" && (root.lang = "en");
  new MutationObserver(sayEnglish).observe(root, { attributeFilter: ["lang"] });
  const tab = () => root.dataset.tab;
  const showTab = () => {
    const name = location.hash.slice(1);
    root.dataset.tab = TABS.includes(name) ? name : TABS[0];
    for (const link of document.querySelectorAll(".ed-tabs a")) {
      const isShown = link.hash === `#${tab()}`;
      link.setAttribute("aria-selected", isShown);
      link.tabIndex = isShown ? 0 : -1;
      const panel = document.getElementById(`tab-${link.hash.slice(1)}`);
      panel?.setAttribute("role", "tabpanel");
      panel?.setAttribute("aria-labelledby", link.id);
    }
  };
  const openTab = (name) => {
    if (tab() === name) return;
    location.hash = name;
    showTab(); // at once: `hashchange` comes later
  };
  const arrowKeys = (event) => {
    const at = TABS.indexOf(event.target.hash?.slice(1));
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: TABS.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const name = TABS[(to + TABS.length) % TABS.length];
    openTab(name);
    document.querySelector(`.ed-tabs a[href="#${name}"]`).focus();
  };
  const startTabs = (element, ask) => {
    nudge = ask;
    element.querySelector(".ed-tabs").addEventListener("keydown", arrowKeys);
    showTab();
    setTimeout(showTab); // once the panels are there
  };
  addEventListener("hashchange", showTab);
  showTab();

  // --- What went wrong: one line over the page, read out ------------------------------------------
  const line = make("div", { id: "ed-said" });
  line.setAttribute("role", "alert");
  whenReady(() => document.body.append(line));
  const say = (text, again = null, link = null) => {
    line.replaceChildren();
    if (!text) return;
    line.append(make("span", { textContent: text }));
    const button = (words, act) =>
      line.append(make("button", { type: "button", className: "ed-button", textContent: words,
        onclick: () => (say(""), act()) }));
    if (link) line.append(make("a", { href: link, target: "_blank", textContent: "Open it" }));
    if (again) button("Try again", again);
    button("Close", () => {});
  };

  // --- A file gets in: chosen, dropped, pasted, or taken with the camera --------------------------
  const kindOf = ({ name, type }) => {
    if (/\.zip$/i.test(name) || /zip/.test(type)) return "zip";
    if (type.startsWith("video/") || VIDEOS.test(name)) return "video";
    // The server knows a picture by its content: a name without an ending may be one.
    if (type.startsWith("image/") || PICTURES.test(name) || !(type || name.includes(".")))
      return "picture";
    return null;
  };
  const open = (all, wanted = null) => {
    const files = [...all].filter(kindOf);
    const odd = [...all].find((file) => !kindOf(file));
    if (odd)
      say(`“${odd.name}” is neither a picture, a video nor a zip file` +
        (files.length ? "; it was left out." : ". Choose a file that is."));
    else say("");
    if (!files.length) return;
    const [kind] = files.map(kindOf);
    let name = files.length > 1 || kind === "zip" ? "batch" : kind === "video" ? "video" : "photo";
    if (wanted === "batch" && kind === "picture") name = "batch";
    const moves = /gif|webp|png/.test(files[0].type); // an animation, chosen in Video
    if (wanted === "video" && files.length === 1 && (moves || !files[0].type)) name = "video";
    send(name, files);
  };
  const rooms = {}; // tab -> what shows its work: { begin, progress, failed }
  const latest = {}; // tab -> what was sent last, to try again
  const sent = {}; // tab -> the visitor's files that it shows
  const intakes = {}; // tab -> what tells the server of the files
  const send = async (name, files, about = {}) => {
    openTab(name);
    latest[name] = () => send(name, files, about);
    sent[name] = files;
    const room = rooms[name];
    const seen = await room.begin(files, about);
    try {
      const wanted = name === "photo" ? [await reduced(files[0])] : files;
      const paths = await upload(wanted, (share) => room.progress("Sending", share));
      room.progress("Waiting for its turn");
      const described = paths.map((path, i) => ({ path, orig_name: files[i].name }));
      intakes[name]({ files: described, seen });
    } catch (error) {
      room.failed();
      say(error.message, error.isRefused ? null : latest[name]);
    }
  };
  const gone = (name) => {
    rooms[name].failed();
    say("The server does not answer.", latest[name]);
  };
  // An event does not end when the server is gone: while something is waited for, it is asked. Nor is
  // one answered that Gradio sent while its stream of messages was closing, until the next opens it.
  let missed = 0, nudge, before;
  setInterval(async () => {
    const name = tab();
    const bar = rooms[name] && document.querySelector(`#tab-${name} progress`);
    if (bar && bar.parentElement.textContent === before) nudge();
    before = bar?.parentElement.textContent;
    if (!bar) return (missed = 0);
    const signal = AbortSignal.timeout(10000);
    const isThere = await fetch(address("queue/status"), { signal }).then(({ ok }) => ok, () => false);
    missed = isThere ? 0 : missed + 1;
    if (missed < 2) return;
    missed = 0;
    gone(name);
  }, 2500);
  // A file that the server has already.
  const openKept = async (name, { path, orig_name }, picture) => {
    openTab(name);
    const seen = await rooms[name].begin([], { picture });
    intakes[name]({ files: [{ path, orig_name }], seen });
  };
  const reduced = async (file) => {
    try {
      const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
      const scale = Math.sqrt(MAX_PIXELS / (bitmap.width * bitmap.height));
      if (scale >= 1) return file;
      const canvas = make("canvas", { width: Math.round(bitmap.width * scale),
        height: Math.round(bitmap.height * scale) });
      const pen = canvas.getContext("2d");
      pen.imageSmoothingQuality = "high";
      pen.fillStyle = "#fff"; // behind what is transparent
      pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      bitmap.close();
      const jpeg = await new Promise((done) => canvas.toBlob(done, "image/jpeg", JPEG_QUALITY));
      return new File([jpeg], `${file.name.replace(/\.[^.]*$/, "")}.jpg`, { type: "image/jpeg" });
    } catch {
      return file; // not decoded by this browser, such as HEIC: the server does
    }
  };
  const address = (route) => location.pathname.replace(/\/?$/, "/gradio_api/") + route;
  const upload = (files, tell) => new Promise((done, fail) => {
    const form = new FormData();
    for (const file of files) form.append("files", file, file.name);
    const request = new XMLHttpRequest();
    request.open("POST", address("upload"));
    request.upload.onprogress = ({ loaded, total }) => tell(loaded / total);
    request.onerror = () => fail(new Error("The server does not answer."));
    request.onload = () => {
      if (request.status === 200) return done(JSON.parse(request.responseText));
      const isSaid = [400, 413, 507].includes(request.status);
      const said = request.status === 413 && !request.responseText.endsWith(".")
        ? "These files are too large together. Send fewer at a time." : request.responseText;
      const error = new Error(isSaid ? said : "The server could not take this file.");
      fail(Object.assign(error, { isRefused: isSaid && request.status !== 507 }));
    };
    request.send(form);
  });

  // The whole window takes drops; what is dragged from elsewhere on the page is no file.
  const target = make("div", { id: "ed-drop" }, make("p", {}, make("b", { textContent: "Drop it here" }),
    "A picture opens in Photo, a film in Video, several pictures or a zip file in Batch."));
  whenReady(() => document.body.append(target));
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  let leaving = 0;
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    target.classList.add("on");
    clearTimeout(leaving);
    leaving = setTimeout(() => target.classList.remove("on"), 300); // it comes every 50 ms
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    target.classList.remove("on");
    const { items, files } = event.dataTransfer;
    if ([...items].some((item) => item.webkitGetAsEntry?.()?.isDirectory))
      return say("A folder cannot be dropped here: choose the pictures in it, or pack it as a zip.");
    open(files);
  }, true);
  addEventListener("paste", ({ clipboardData }) => clipboardData.files.length && open(clipboardData.files));
  const pasteByButton = async (name) => {
    try {
      for (const item of await navigator.clipboard.read()) {
        const type = item.types.find((one) => one.startsWith("image/"));
        if (type) return open([new File([await item.getType(type)], "pasted.png", { type })], name);
      }
      say("There is no picture in the clipboard. Copy one first.");
    } catch {
      say("The browser does not give the clipboard. Press Ctrl+V instead.");
    }
  };

  // --- The camera: on only while the <video> that shows it is seen --------------------------------
  const REASONS = {
    NotAllowedError: "The camera is blocked. Allow it beside the browser's address bar.",
    NotFoundError: "No camera was found. Connect one.",
    NotReadableError: "Another program is using the camera. Close it.",
    SecurityError: "This browser gives no camera to pages without https. Choose a file instead, " +
      "or open this page with https.",
    framed: "The page around this one gives it no camera. Open this page in a window of its own.",
  };
  const isSeen = (element) => !document.hidden && element.getClientRects().length > 0;
  const camera = async (video, wanted, ended) => {
    const framed = window !== top &&
      (document.permissionsPolicy ?? document.featurePolicy)?.allowsFeature("camera") === false;
    let stream;
    try {
      if (!navigator.mediaDevices) throw new DOMException("no https", "SecurityError");
      stream = await navigator.mediaDevices.getUserMedia(wanted);
    } catch (error) {
      const reason = framed ? REASONS.framed : REASONS[error.name];
      throw Object.assign(new Error(reason ?? `The camera cannot be used: ${error.message}`),
        { link: framed ? location.href : null });
    }
    let isOn = true;
    const off = (why = "") => {
      if (!isOn) return;
      isOn = false;
      stream.getTracks().forEach((track) => track.stop());
      video.srcObject = null;
      watcher.disconnect();
      document.removeEventListener("visibilitychange", look);
      removeEventListener("pagehide", look);
      ended(why);
    };
    const look = (event) => {
      if (event?.type === "pagehide" || !isSeen(video)) off("away");
    };
    const watcher = new ResizeObserver(look); // comes when its tab is hidden too
    stream.getTracks().forEach((track) => (track.onended = () => off("unplugged")));
    video.srcObject = stream;
    watcher.observe(video);
    document.addEventListener("visibilitychange", look);
    addEventListener("pagehide", look);
    return { stream, off };
  };

  // --- First sight: an example that is read already, its verdict moving from face to face ---------
  const STEP_MS = 1800;
  const goThrough = (first) => {
    const boxes = [...(first?.querySelectorAll(".box") ?? [])];
    if (!boxes.length) return;
    let at = -1;
    const next = () => {
      at = (at + 1) % boxes.length;
      boxes.forEach((box, i) => box.classList.toggle("chosen", i === at));
      const { number, words } = boxes[at].dataset;
      const chip = first.querySelector(".ed-chip");
      chip.textContent = number;
      chip.style.setProperty("--color", boxes[at].style.getPropertyValue("--color"));
      first.querySelector(".words").textContent = words[0].toUpperCase() + words.slice(1);
    };
    next();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    // It rests under the pointer and with the focus.
    const moves = () => isSeen(first) && !first.matches(":hover, :focus-visible");
    setInterval(() => moves() && next(), STEP_MS);
  };

  // --- A tab's zone (intake.html): where files are chosen, the camera's lens, examples ------------
  const intake = (element, tell) => {
    const at = (selector) => element.querySelector(selector);
    const { tab: name, camera: takes } = at(".intake").dataset;
    const [video, shutter, told] = [at("video"), at(".shutter"), at(".refused")];
    const input = at("input");
    let lens = null, recorder = null;
    at(".file").onclick = () => input.click();
    input.onchange = () => {
      open(input.files, name);
      input.value = ""; // so that the same file can be chosen again
    };
    at(".paste").hidden = name !== "photo" || !navigator.clipboard?.read;
    at(".paste").onclick = () => pasteByButton(name);
    at(".camera").hidden = !takes;
    const close = () => {
      lens?.off();
      element.classList.remove("looking");
    };
    at(".camera").onclick = async () => {
      told.hidden = true;
      element.classList.add("looking");
      shutter.textContent = takes === "film" ? "Record" : "Take the picture";
      shutter.disabled = true;
      const size = { width: { ideal: 1280 }, height: { ideal: 720 } };
      try {
        lens = await camera(video, { video: size, audio: false }, () => {
          if (recorder?.state === "recording") recorder.onstop = null; // left: nothing is sent
          recorder = lens = null;
          element.classList.remove("looking");
        });
        await video.play().catch(() => {});
        shutter.disabled = false;
        shutter.focus();
      } catch (error) {
        element.classList.remove("looking");
        told.hidden = false;
        told.replaceChildren(error.message);
        if (error.link) told.append(" ", make("a", { href: error.link, target: "_blank",
          textContent: "Open it in a window of its own" }));
      }
    };
    at(".cancel").onclick = close;
    const photograph = async () => {
      const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
      canvas.getContext("2d").drawImage(video, 0, 0);
      const jpeg = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
      close();
      send(name, [new File([jpeg], "snapshot.jpg", { type: jpeg.type })], { mirrored: true });
    };
    const record = () => {
      if (recorder) return recorder.stop();
      const pieces = [];
      const mine = (recorder = new MediaRecorder(lens.stream));
      shutter.textContent = "Stop and analyze";
      mine.ondataavailable = ({ data }) => pieces.push(data);
      mine.onstop = () => {
        const ending = mine.mimeType.includes("mp4") ? "mp4" : "webm";
        close();
        send(name, [new File(pieces, `recording.${ending}`, { type: `video/${ending}` })]);
      };
      mine.start();
    };
    shutter.onclick = () => (takes === "film" ? record() : photograph());
    element.addEventListener("click", ({ target: pressed }) => {
      const card = pressed.closest("[data-example]");
      if (!card) return;
      latest[name] = () => card.click();
      delete sent[name];
      const { src, dataset, naturalWidth, naturalHeight } = card.querySelector("img");
      const ratio = dataset.ratio ?? naturalWidth / naturalHeight;
      rooms[name].begin([], { picture: src, ratio });
      tell({ example: Number(card.dataset.example) });
    });
    goThrough(element.querySelector(".first"));
    intakes[name] = tell;
  };

  return { make, percents, say, gone, open, openKept, openTab, startTabs, address, camera,
    isSeen, intake, rooms, sent };
})();
