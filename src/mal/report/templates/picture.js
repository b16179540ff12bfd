"use strict";
// Draws a mask over its crop. Masks arrive as COCO's compressed run lengths and are unpacked when they are seen.
const LAYERS = hasTruth
  ? [["difference", "Difference"], ["prediction", "Prediction"], ["truth", "Truth"], ["image", "Image"]]
  : [["prediction", "Mask"], ["image", "Image"]];
const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const COLOURS = { both: colour("--both"), extra: colour("--extra"), missed: colour("--missed") };
const unpacked = new Map();

function runLengths(text) {
  const counts = [];
  for (let at = 0; at < text.length; ) {
    let value = 0, shift = 0, bits;
    do {
      bits = text.charCodeAt(at++) - 48;
      value |= (bits & 31) << shift;
      shift += 5;
    } while (bits & 32);
    if (bits & 16) value |= -1 << shift;
    counts.push(counts.length > 2 ? value + counts[counts.length - 2] : value);
  }
  return counts;
}

function maskOf(text, width, height) {
  const mask = new Uint8Array(width * height);
  if (text === null) return mask;
  let at = 0, inside = 0;
  for (const count of runLengths(text)) {
    if (inside) for (let i = at; i < at + count; i++) mask[(i % height) * width + Math.floor(i / height)] = 1;
    at += count;
    inside ^= 1;
  }
  return mask;
}

// The image and the masks of a row; the promise is kept, so that each is unpacked once.
function unpack(row) {
  if (!unpacked.has(row)) {
    const { jpeg, width, height, box, predicted, truth } = data.pictures[row];
    const image = new Image();
    image.src = `data:image/jpeg;base64,${jpeg}`;
    const whole = { image, width, height, box, predicted: maskOf(predicted, width, height), truth: maskOf(truth, width, height) };
    unpacked.set(row, image.decode().then(() => whole));
  }
  return unpacked.get(row);
}

async function drawPicture(canvas, row, layer) {
  canvas.dataset.wanted = `${row} ${layer}`;
  const picture = await unpack(row);
  if (canvas.dataset.wanted !== `${row} ${layer}`) return; // another one was asked for meanwhile
  const ratio = Math.min(2, devicePixelRatio || 1);
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(canvas.clientHeight * ratio);
  if (!canvas.width || !canvas.height) return;
  const pen = canvas.getContext("2d");
  const scale = Math.min(canvas.width / picture.width, canvas.height / picture.height);
  pen.translate((canvas.width - picture.width * scale) / 2, (canvas.height - picture.height * scale) / 2);
  pen.scale(scale, scale);
  pen.drawImage(picture.image, 0, 0, picture.width, picture.height);
  const stroke = ratio / scale;
  const { predicted, truth, width } = picture;
  if (layer === "difference") {
    muted(pen, picture);
    fill(pen, picture, (i) => predicted[i] && truth[i], COLOURS.both, 0.42);
    fill(pen, picture, (i) => predicted[i] && !truth[i], COLOURS.extra, 0.85);
    fill(pen, picture, (i) => !predicted[i] && truth[i], COLOURS.missed, 0.85, 6 * stroke);
    outline(pen, truth, width, "#ffffff", 1.25 * stroke);
  } else if (layer === "prediction" || layer === "truth") {
    const mask = layer === "truth" ? truth : predicted;
    const tint = layer === "truth" ? COLOURS.missed : COLOURS.extra;
    fill(pen, picture, (i) => mask[i], tint, 0.42);
    outline(pen, mask, width, tint, 1.75 * stroke);
  }
  frame(pen, picture.box, stroke);
  canvas.dataset.drawn = canvas.dataset.wanted;
}

function muted(pen, { width, height }) {
  pen.save();
  pen.globalCompositeOperation = "saturation";
  pen.fillStyle = "#808080";
  pen.fillRect(0, 0, width, height);
  pen.globalCompositeOperation = "source-over";
  pen.fillStyle = "rgba(0, 0, 0, 0.28)";
  pen.fillRect(0, 0, width, height);
  pen.restore();
}

// `stripes`: distance of diagonal lines, so that the area is known without its colour; 0 fills it evenly.
function fill(pen, { width, height }, isInside, tint, alpha, stripes = 0) {
  const layer = element("canvas", { width, height });
  const paint = layer.getContext("2d");
  const pixels = paint.createImageData(width, height);
  for (let i = 0; i < width * height; i++) if (isInside(i)) pixels.data[4 * i + 3] = 255;
  paint.putImageData(pixels, 0, 0);
  paint.globalCompositeOperation = "source-in";
  paint.fillStyle = tint;
  paint.fillRect(0, 0, width, height);
  pen.save();
  pen.imageSmoothingEnabled = false;
  pen.globalAlpha = alpha;
  if (stripes) drawStriped(pen, layer, width, height, stripes);
  else pen.drawImage(layer, 0, 0);
  pen.restore();
}

function drawStriped(pen, layer, width, height, distance) {
  pen.globalAlpha *= 0.55;
  pen.drawImage(layer, 0, 0);
  pen.globalAlpha /= 0.55;
  pen.beginPath();
  for (let x = -height; x < width; x += distance) {
    pen.moveTo(x, height);
    pen.lineTo(x + height, 0);
    pen.lineTo(x + height + distance / 2, 0);
    pen.lineTo(x + distance / 2, height);
  }
  pen.clip();
  pen.drawImage(layer, 0, 0);
}

// The border between inside and outside, along the edges of pixels.
function outline(pen, mask, width, tint, lineWidth) {
  const height = mask.length / width;
  const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : mask[y * width + x]);
  pen.beginPath();
  for (let y = 0; y <= height; y++) {
    for (let x = 0; x <= width; x++) {
      const here = at(x, y);
      if (here !== at(x - 1, y)) { pen.moveTo(x, y); pen.lineTo(x, y + 1); }
      if (here !== at(x, y - 1)) { pen.moveTo(x, y); pen.lineTo(x + 1, y); }
    }
  }
  pen.lineCap = "round";
  for (const [style, wide] of [["rgba(0, 0, 0, 0.7)", 2.2 * lineWidth], [tint, lineWidth]]) {
    pen.strokeStyle = style;
    pen.lineWidth = wide;
    pen.stroke();
  }
}

function frame(pen, [x0, y0, x1, y1], stroke) {
  pen.lineCap = "butt";
  pen.setLineDash([]);
  pen.lineWidth = 2.5 * stroke;
  pen.strokeStyle = "rgba(0, 0, 0, 0.5)";
  pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
  pen.setLineDash([5 * stroke, 4 * stroke]);
  pen.lineWidth = 1.25 * stroke;
  pen.strokeStyle = "#ffffff";
  pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
  pen.setLineDash([]);
}

function showLegend(list, layer) {
  const entries = {
    difference: [["both", "in both"], ["extra", "predicted only"], ["missed", "missed (striped)"]],
    prediction: [["extra", "predicted mask"]],
    truth: [["missed", "true mask"]],
    image: [],
  }[layer];
  const box = element("li", { className: "dashed-box" }, "box that was given");
  list.replaceChildren(...entries.map(([name, text]) => element("li", { className: name }, text)), box);
}
