/* A picture to share: one face, its six bars, how often such an answer is right, the model's name.
   Drawn in the browser, in the size that link previews show whole; ed.card returns a PNG. */
ed.card = async ({ picture, box, color, verdict, bars, often, model }) => {
  const [WIDTH, HEIGHT, MARGIN, PHOTO, RIGHT] = [1200, 630, 40, 460, 1160];
  const LEFT = MARGIN + PHOTO + 44;
  const canvas = ed.make("canvas", { width: WIDTH, height: HEIGHT });
  const pen = canvas.getContext("2d");
  const rectangle = (x, y, width, height, radius) => {
    pen.beginPath();
    if (pen.roundRect) pen.roundRect(x, y, width, height, radius); // not before Safari 16
    else pen.rect(x, y, width, height);
  };
  const write = (text, x, y, px, fill, weight = 400, align = "left") => {
    Object.assign(pen, { font: `${weight} ${px}px system-ui, sans-serif`, fillStyle: fill,
      textAlign: align });
    pen.fillText(text, x, y);
  };
  const wrap = (text, y, px, fill, weight, most) => {
    pen.font = `${weight} ${px}px system-ui, sans-serif`;
    const lines = [];
    for (const word of text.split(" ")) {
      const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
      if (lines.length && pen.measureText(longer).width <= RIGHT - LEFT) lines[lines.length - 1] = longer;
      else lines.push(word);
    }
    lines.slice(0, most).forEach((line, i) => write(line, LEFT, y + i * px * 1.3, px, fill, weight));
    return y + Math.min(lines.length, most) * px * 1.3;
  };
  pen.fillStyle = "#eef1f8";
  pen.fillRect(0, 0, WIDTH, HEIGHT);

  // The part around the face, in the photo's proportions and inside the picture if it fits.
  const [w, h, high] = [picture.naturalWidth, picture.naturalHeight, HEIGHT - 2 * MARGIN];
  const face = { x: box[0] * w, y: box[1] * h, width: box[2] * w, height: box[3] * h };
  const wide = Math.min(1.9 * Math.max(face.width, (face.height * PHOTO) / high), w, (h * PHOTO) / high);
  const tall = (wide * high) / PHOTO;
  const inside = (middle, side, all) => Math.min(Math.max(middle - side / 2, 0), all - side);
  const [x, y] = [inside(face.x + face.width / 2, wide, w), inside(face.y + face.height / 2, tall, h)];
  pen.save();
  rectangle(MARGIN, MARGIN, PHOTO, high, 24);
  pen.clip();
  pen.imageSmoothingQuality = "high";
  pen.drawImage(picture, x, y, wide, tall, MARGIN, MARGIN, PHOTO, high);
  const scale = PHOTO / wide;
  rectangle(MARGIN + (face.x - x) * scale, MARGIN + (face.y - y) * scale, face.width * scale,
    face.height * scale, 14);
  for (const [line, width] of [["#111", 9], [color, 5]]) {
    Object.assign(pen, { strokeStyle: line, lineWidth: width });
    pen.stroke();
  }
  pen.restore();

  let top = wrap(verdict, MARGIN + 44, 46, "#131a2b", 750, 2) - 10;
  for (const { label, share, percent, color: fill } of bars) {
    write(label, LEFT, top + 22, 25, "#131a2b");
    for (const [width, paint] of [[1, "#dfe4ee"], [share, fill]]) {
      rectangle(LEFT + 128, top, (RIGHT - LEFT - 202) * width, 26, 8);
      pen.fillStyle = paint;
      if (width > 0.005) pen.fill();
    }
    write(percent, RIGHT, top + 22, 25, "#131a2b", 600, "right");
    top += 42;
  }
  wrap(often, top + 30, 21, "#515b70", 400, 3);
  write("Emotion Detective", LEFT, HEIGHT - MARGIN - 32, 21, "#4338ca", 700);
  const name = model.length > 40 ? `${model.slice(0, 39)}…` : model;
  write(`${name} · reads expressions, not feelings`, LEFT, HEIGHT - MARGIN, 19, "#515b70");
  return new Promise((done) => canvas.toBlob(done, "image/png"));
};
