/* What Gradio leaves unsaid: why there is no camera, and what the example pictures show. */
() => {
  const describe = (image) => {
    const name = image.src.split("/").pop().split(".")[0]; // one_face
    image.alt = "Example: " + name.replaceAll("_", " ");
  };
  const examples = "#examples img"; // come before or after this script
  document.querySelectorAll(examples).forEach(describe);
  const describeNew = ({ target }) => target.matches?.(examples) && describe(target);
  document.addEventListener("load", describeNew, true);

  // Gradio asks for the camera in a promise whose failure nobody catches: a click on "Click to
  // Access Webcam" would seem to do nothing. The reason takes the place of these words, in every
  // tab, as all cameras share one permission; a click on it tries again.
  const reasons = {
    NotAllowedError:
      "The camera is blocked. Allow it beside the browser's address bar, then click here again.",
    NotFoundError: "No camera was found. Connect one, then click here again.",
    NotReadableError: "Another program is using the camera. Close it, then click here again.",
  };
  const insecure =
    "This browser gives no camera to pages without https. Choose a file instead, " +
    "or open this page with https.";
  // A clipboard that is refused gives the same error as a camera.
  const refused = new WeakSet();
  const ask = navigator.mediaDevices?.getUserMedia?.bind(navigator.mediaDevices);
  if (ask)
    navigator.mediaDevices.getUserMedia = (wanted) =>
      ask(wanted).catch((error) => {
        refused.add(error);
        throw error;
      });
  window.addEventListener("unhandledrejection", (event) => {
    const asked = /mediaDevices|getUserMedia/.test(event.reason?.message);
    const reason = !navigator.mediaDevices && asked ? insecure
      : refused.has(event.reason) ? reasons[event.reason.name] : null;
    if (!reason) return;
    event.preventDefault();
    for (const place of document.querySelectorAll("[title='grant webcam access'] .wrap")) {
      place.setAttribute("role", "alert");
      place.lastChild.textContent = reason;
    }
  });
};
