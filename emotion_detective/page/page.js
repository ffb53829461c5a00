/* What Gradio leaves undone: files get a type, examples a name, cameras go off and say why. */
() => {
  // Browsers have no clipboard to read on pages without https: there `page.css` hides Paste.
  if (!navigator.clipboard?.read) document.body.style.setProperty("--ed-paste", "none");
  const describe = (image) => {
    const name = image.src.split("/").pop().split(".")[0]; // one_face
    image.alt = "Example: " + name.replaceAll("_", " ");
  };
  const examples = "#examples img"; // come before or after this script
  document.querySelectorAll(examples).forEach(describe);
  const describeNew = ({ target }) => target.matches?.(examples) && describe(target);
  document.addEventListener("load", describeNew, true);

  // Browsers know no type of IMG_1.HEIC on some systems, nor of a name without an ending, and Gradio
  // takes no file without a type. The server tells what a file is by its content.
  const kinds = { photo: "image/any", "batch-files": "image/any", video: "video/any" };
  const kindAt = (element) => kinds[Object.keys(kinds).find((id) => element.closest?.(`#${id}`))];
  const typed = (files, type, folders = []) => {
    const all = new DataTransfer();
    for (const file of files) {
      const isKnown = file.type || folders.includes(file.name);
      all.items.add(isKnown ? file : new File([file], file.name, { type }));
    }
    return all;
  };
  const lackType = (files) => [...files].some((file) => !file.type);
  const addTypes = ({ target }) => {
    const kind = target.type === "file" && kindAt(target);
    if (kind && lackType(target.files)) target.files = typed(target.files, kind).files;
  };
  document.addEventListener("change", addTypes, true);
  const dropTyped = (event) => {
    const kind = !event.isTyped && kindAt(event.target);
    if (!kind || !lackType(event.dataTransfer?.files ?? [])) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.());
    const folders = entries.filter((entry) => entry?.isDirectory).map((entry) => entry.name);
    const dataTransfer = typed(event.dataTransfer.files, kind, folders);
    const again = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer });
    event.target.dispatchEvent(Object.assign(again, { isTyped: true }));
  };
  document.addEventListener("drop", dropTyped, true);

  // A camera that nobody sees is off. Gradio lets one run on after a snapshot, a recording and a
  // change of tab. This does not listen to Gradio's tabs and buttons, whose names change, but looks
  // whether a <video> that is displayed shows the camera: that holds for any way to leave it.
  const LOOK_MS = 200;
  const UNSHOWN_MS = 5000; // from the permission to a slow camera's first picture
  const reasons = {
    NotAllowedError:
      "The camera is blocked. Allow it beside the browser's address bar, then try again.",
    NotFoundError: "No camera was found. Connect one, then try again.",
    NotReadableError: "Another program is using the camera. Close it, then try again.",
    SecurityError:
      "This browser gives no camera to pages without https. Choose a file instead, " +
      "or open this page with https.",
  };
  const cameras = new Map(); // each MediaStream given out -> what was asked for, and when
  const refused = new WeakSet();
  let refusal = null;

  // Browsers have no `mediaDevices` on pages without https; a stand-in says why.
  const devices = navigator.mediaDevices ?? {
    getUserMedia: () => Promise.reject(new DOMException("no https", "SecurityError")),
    enumerateDevices: () => Promise.resolve([]),
  };
  if (!navigator.mediaDevices) Object.defineProperty(navigator, "mediaDevices", { value: devices });
  const askBrowser = devices.getUserMedia.bind(devices);
  const ask = async (wanted) => {
    try {
      const stream = await askBrowser(wanted);
      refusal = null;
      return stream;
    } catch (error) {
      refused.add(error);
      refusal = reasons[error.name] ?? `The camera cannot be used: ${error.message}`;
      look();
      throw error;
    }
  };
  devices.getUserMedia = async (wanted) => {
    const stream = await ask(wanted);
    cameras.set(stream, { wanted, since: performance.now() });
    look();
    return stream;
  };
  // Gradio catches no refusal: the console would call it a fault of the page.
  window.addEventListener("unhandledrejection", (event) => {
    if (refused.has(event.reason)) event.preventDefault();
  });

  const isOn = (stream) => stream.getTracks().some((track) => track.readyState === "live");
  const screens = (stream) =>
    [...document.querySelectorAll("video")].filter((video) => video.srcObject === stream);
  const isShown = (stream) => screens(stream).some((video) => video.checkVisibility());
  const turnOff = (stream) => {
    for (const track of stream.getTracks().filter((track) => track.readyState === "live")) {
      track.stop();
      track.dispatchEvent(new Event("ended")); // as if unplugged: `stop` alone tells nobody
    }
  };
  // Into the same stream: whoever shows it, or records from it, need not know.
  const turnOn = async (stream) => {
    const fresh = await ask(cameras.get(stream).wanted);
    fresh.getTracks().forEach((track) => stream.addTrack(track));
    look();
  };
  const look = () => {
    for (const [stream, camera] of cameras) {
      camera.seen ||= isShown(stream);
      const starting = !camera.seen && performance.now() - camera.since < UNSHOWN_MS;
      if (document.hidden || !(isShown(stream) || starting)) turnOff(stream);
      // An empty stream has no size: a snapshot would be black, and Gradio takes none without size.
      if (!isOn(stream)) stream.getTracks().forEach((track) => stream.removeTrack(track));
      if (!isOn(stream) && !screens(stream).length) cameras.delete(stream);
    }
    tell();
  };
  setInterval(look, LOOK_MS);
  document.addEventListener("visibilitychange", look);
  window.addEventListener("pagehide", () => [...cameras.keys()].forEach(turnOff));

  // One line in a corner, whichever tab the camera is on.
  const line = document.body.appendChild(document.createElement("div"));
  line.id = "camera";
  line.setAttribute("role", "status");
  const text = line.appendChild(document.createElement("span"));
  const button = line.appendChild(document.createElement("button"));
  const state = () => {
    const on = [...cameras.keys()].filter(isOn);
    const off = [...cameras.keys()].find((stream) => !isOn(stream) && isShown(stream));
    if (on.length) return ["on", "Camera is on", "Turn off", () => on.forEach(turnOff)];
    if (refusal) return ["refused", refusal, "Close", () => (refusal = null)];
    if (off) return ["off", "Camera is off", "Turn on", () => turnOn(off)];
    return ["", "", "", null];
  };
  const tell = () => {
    const [kind, words, action, act] = state();
    button.onclick = async () => {
      await act();
      look();
    };
    if (text.textContent === words) return; // or a screen reader would repeat it
    [line.className, text.textContent, button.textContent] = [kind, words, action];
  };
};
