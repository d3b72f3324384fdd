"use strict";
// The page of `seq2seq serve`. Text of the model and of its user reaches the document as text only.

const at = (id) => document.getElementById(id);
let result = null;  // of the last translation
let chosen = 0;     // index of a translation
let focus = { layer: 0, head: -1 };  // head -1: the mean of all
let pointed = null;  // { row, column }: the tokens that the pointer is on; one of them may be missing
let running = null;  // AbortController of the translation under way
let view = null;     // of the attention shown: the weights of a head, and the colours of weights; null if none is shown
const kGone = "the program cannot be reached; is it still there?";
const kBusy = "the program is busy; try again";

function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  parent.append(made);
  return made;
}

const shown = (token) => token.replaceAll(" ", "␣");
const times = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

function fail(text) {
  at("error").textContent = text;
  at("error").hidden = text === "";
}

// ---- Translation

// Returns what a promise of the network gives; its error says that the program is gone.
const reached = (promise) => promise.catch((error) => {
  throw error.name === "AbortError" ? error : new Error(kGone);
});

// Returns an answer that is not an error.
async function ask(path, options) {
  const answer = await reached(fetch(path, options));
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? kBusy);
  return answer;
}

async function load() {
  const model = await reached((await ask("/model")).json());
  at("name").textContent = model.name;
  document.title = `${model.name} - seq2seq`;
  at("about").textContent = `reads ${model.source_tokens}, writes ${model.target_tokens}; ` +
    `${times(model.encoder_layers, "layer")} to read, ${model.decoder_layers} to write, ${times(model.heads, "head")}`;
  for (let n = 1; n <= model.most_beam; n *= 2) element("option", n, at("beam")).value = n;
  if (![...at("beam").options].some((o) => o.value === String(model.beam))) element("option", model.beam, at("beam"));
  at("beam").value = model.beam;
  at("go").disabled = false;
}

// Calls take(name, data) for each event of a stream.
async function readEvents(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  while (true) {
    const { done, value } = await reached(reader.read());
    if (done) return;
    rest += value;
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
      const fields = Object.fromEntries(rest.slice(0, end).split("\n").map((line) => line.split(/: (.*)/s)));
      rest = rest.slice(end + 2);
      take(fields.event, JSON.parse(fields.data));
    }
  }
}

async function translate() {
  await loaded;
  if (at("go").disabled) return;  // without a model
  if (running) running.abort();
  const mine = running = new AbortController();
  fail("");
  result = view = null;
  at("text").textContent = at("spoken").textContent = at("note").textContent = at("time").textContent = "";
  at("list").replaceChildren();
  at("attention").hidden = true;
  const beam = Number(at("beam").value);
  try {
    const answer = await ask("/translate", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({
        source: at("source").value.replace(/\s*[\r\n]+\s*/g, " ").trim(), beam, n_best: beam, attention: true, stream: true,
      }),
      signal: mine.signal,
    });
    await readEvents(answer.body, (name, data) => {
      if (mine !== running) return;
      if (name === "error") throw new Error(data.error);
      if (name === "text") {
        at("text").textContent = data.text;
        at("text").classList.toggle("draft", beam > 1);
      } else {
        result = data;
        show();
      }
    });
    if (mine === running && !result) throw new Error("the answer ended early; is the program still there?");
  } catch (error) {
    if (error.name !== "AbortError") fail(error.message);
  }
}

function show() {
  at("time").textContent = `${result.seconds.toFixed(2)} s`;
  at("text").classList.remove("draft");
  if (result.translations.length > 1) {
    result.translations.forEach((one, index) => {
      const button = element("button", "", element("li", "", at("list")));
      button.type = "button";
      button.dir = "auto";
      element("span", one.text, button);
      element("span", one.score.toFixed(3), button).title = `score; log-probability ${one.log_probability.toFixed(3)}`;
      button.addEventListener("click", () => choose(index));
    });
  }
  choose(0);
  at("spoken").textContent = result.translations[0].text;  // once, and not for each token
}

// Returns what is to be said about a translation.
function noteOn(one) {
  const unknown = result.unknown.length, notes = [];
  if (unknown > 0) notes.push(`${times(unknown, "token")} of the sentence ${unknown === 1 ? "is" : "are"} unknown to the model.`);
  if (one.text === "") notes.push("The translation is empty.");
  if (one.tokens.length > 0 && !one.attention) notes.push("The attention of so long a text is not shown.");
  return notes.join(" ");
}

function choose(index) {
  chosen = index;
  const one = result.translations[index];
  at("text").textContent = one.text;
  [...at("list").querySelectorAll("button")].forEach((button, i) => button.setAttribute("aria-pressed", i === index));
  at("attention").hidden = !one.attention;
  at("note").textContent = noteOn(one);
  view = null;
  if (!one.attention) return;
  focus.layer = Math.min(focus.layer, one.attention.length - 1);
  if (!focus.seen) focus = { layer: one.attention.length - 1, head: -1, seen: true };
  showTokens("read", result.source_tokens, "column", result.unknown);
  showTokens("written", one.tokens, "row", []);
  showHeads();
  look();
}

// ---- Attention

function weights(layer, head) {
  const heads = result.translations[chosen].attention[layer];
  if (head >= 0) return heads[head];
  return heads[0].map((row, t) => row.map((_, s) => heads.reduce((sum, one) => sum + one[t][s], 0) / heads.length));
}

const where = () => `layer ${focus.layer + 1}, ${focus.head < 0 ? "mean of the heads" : `head ${focus.head + 1}`}`;

function showTokens(id, tokens, axis, unknown) {
  at(id).replaceChildren();
  tokens.forEach((token, index) => {
    const span = element("span", shown(token), at(id));
    span.tabIndex = 0;
    if (unknown.includes(index)) {
      span.className = "unknown";
      span.title = "unknown to the model";
    }
    for (const event of ["pointerenter", "focus"]) span.addEventListener(event, () => point({ [axis]: index }));
    for (const event of ["pointerleave", "blur"]) span.addEventListener(event, () => point(null));
  });
}

// Shows the head that is in focus.
function look() {
  view = { map: weights(focus.layer, focus.head), colors: palette() };
  at("map").setAttribute("aria-label", `map of the attention, ${where()}`);
  drawMap();
  point(null);
}

// Marks what a pair of tokens, or one token, has to do with the others.
function point(to) {
  if (!view) return;
  pointed = to;
  const map = view.map, source = result.source_tokens, target = result.translations[chosen].tokens;
  const row = to?.row, column = to?.column;
  shade("read", (s) => (row === undefined ? 0 : map[row][s]), column);
  shade("written", (t) => (column === undefined || row !== undefined ? 0 : map[t][column]), row);
  let text = where();
  if (row !== undefined && column === undefined) {
    const best = map[row].indexOf(Math.max(...map[row]));
    text += `: while it wrote “${shown(target[row])}”, it looked most at “${shown(source[best])}”, ${map[row][best].toFixed(3)}`;
  } else if (column !== undefined && row === undefined) {
    const best = map.reduce((most, one, t) => (one[column] > map[most][column] ? t : most), 0);
    text += `: “${shown(source[column])}” was looked at most while it wrote “${shown(target[best])}”, ${map[best][column].toFixed(3)}`;
  } else if (row !== undefined) {
    text += `: “${shown(target[row])}” from “${shown(source[column])}”, ${map[row][column].toFixed(3)}`;
  }
  at("told").textContent = text;
  const { left, top, cell } = sheet, width = cell * source.length, height = cell * target.length;
  outline("row", row === undefined ? null : [left, top + row * cell, width, cell]);
  outline("column", column === undefined ? null : [left + column * cell, top, cell, height]);
}

function outline(id, box) {
  at(id).hidden = !box;
  if (box) ["left", "top", "width", "height"].forEach((side, i) => at(id).style.setProperty(side, `${box[i]}px`));
}

function shade(id, weight, marked) {
  [...at(id).children].forEach((span, i) => {
    const value = weight(i), color = colorOf(value, view.colors);
    span.style.backgroundColor = value > 0 ? `rgb(${color.join(",")})` : "";
    span.style.color = value > 0 ? inkOn(color) : "";
    span.classList.toggle("on", i === marked);
  });
}

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Returns the colours of the weights 0, 0.01 ... 1.
function palette() {
  const [low, high] = ["--low", "--high"].map((name) => style(name).split(",").map(Number));
  return Array.from({ length: 101 }, (_, i) => low.map((from, c) => Math.round(from + (high[c] - from) * i / 100)));
}

const colorOf = (value, colors) => colors[Math.round(Math.min(value, 1) * 100)];

// Returns black or white, whichever has the larger contrast (WCAG 2: both are equal at a luminance of 0.179).
function inkOn(color) {
  const [red, green, blue] = color.map((c) => (c <= 10 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000" : "#fff";
}

// Draws one pixel for each weight.
function drawPixels(canvas, map, colors) {
  canvas.width = map[0].length;
  canvas.height = map.length;
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  map.flat().forEach((value, i) => {
    image.data.set(colorOf(value, colors), 4 * i);
    image.data[4 * i + 3] = 255;
  });
  context.putImageData(image, 0, 0);
}

function showHeads() {
  const layers = result.translations[chosen].attention, colors = palette();
  at("heads").replaceChildren();
  const top = element("tr", "", at("heads"));
  for (const name of ["", "mean", ...layers[0].map((_, h) => `head ${h + 1}`)]) element("th", name, top);
  layers.forEach((heads, layer) => {
    const line = element("tr", "", at("heads"));
    element("th", `layer ${layer + 1}`, line);
    for (let head = -1; head < heads.length; ++head) {
      const button = element("button", "", element("td", "", line));
      button.type = "button";
      button.setAttribute("aria-label", `layer ${layer + 1}, ${head < 0 ? "mean" : `head ${head + 1}`}`);
      button.setAttribute("aria-pressed", layer === focus.layer && head === focus.head);
      const canvas = element("canvas", "", button);
      drawPixels(canvas, weights(layer, head), colors);
      button.addEventListener("click", () => {
        focus = { layer, head, seen: true };
        for (const other of at("heads").querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
        look();
      });
    }
  });
}

let sheet = { left: 0, top: 0, cell: 20 };  // pixels beside the map, above it, and of a weight

// Draws the map of a head. It is at most 4000 pixels long, or two for each token, as browsers limit a canvas.
function drawMap() {
  const map = view.map, canvas = at("map"), context = canvas.getContext("2d");
  const read = result.source_tokens.map(shown), written = result.translations[chosen].tokens.map(shown);
  const font = "13px system-ui, sans-serif", scale = window.devicePixelRatio;
  context.font = font;
  const cell = Math.max(2, Math.min(20, Math.floor(4000 / scale / Math.max(read.length, written.length))));
  const labels = cell >= 10;  // smaller ones would overlap
  const widest = (tokens) => (labels ? Math.min(120, Math.max(...tokens.map((token) => context.measureText(token).width))) : 0);
  sheet = { left: Math.ceil(widest(written)) + 8, top: Math.ceil(widest(read)) + 8, cell };
  const width = sheet.left + cell * read.length + 1, height = sheet.top + cell * written.length + 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  context.scale(scale, scale);
  context.font = font;
  if (labels) drawLabels(context, read, written);
  const pixels = document.createElement("canvas");
  drawPixels(pixels, map, view.colors);
  context.imageSmoothingEnabled = false;
  context.drawImage(pixels, sheet.left, sheet.top, cell * read.length, cell * written.length);
  context.strokeStyle = style("--line");
  context.strokeRect(sheet.left + 0.5, sheet.top + 0.5, cell * read.length - 1, cell * written.length - 1);
}

function drawLabels(context, read, written) {
  const { left, top, cell } = sheet;
  context.fillStyle = style("--ink");
  context.textBaseline = "middle";
  context.textAlign = "right";
  written.forEach((token, t) => context.fillText(token, left - 4, top + (t + 0.5) * cell, 120));
  read.forEach((token, s) => {
    context.save();
    context.translate(left + (s + 0.5) * cell, top - 4);
    if ([...token].length > 1) {
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
    } else {
      context.textAlign = "center";
      context.translate(0, -7);
    }
    context.fillText(token, 0, 0, 120);
    context.restore();
  });
}

// ---- Events

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  translate();
});
at("source").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  translate();
});
at("beam").addEventListener("change", () => {
  if (at("source").value.trim() !== "") translate();
});
at("map").addEventListener("pointermove", (event) => {
  if (!view) return;
  const column = Math.floor((event.offsetX - sheet.left) / sheet.cell), row = Math.floor((event.offsetY - sheet.top) / sheet.cell);
  const inside = row >= 0 && column >= 0 && column < result.source_tokens.length && row < result.translations[chosen].tokens.length;
  if (inside && pointed?.row === row && pointed?.column === column) return;
  if (inside || pointed) point(inside ? { row, column } : null);
});
at("map").addEventListener("pointerleave", () => point(null));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  if (!view) return;
  showHeads();
  look();
});

const loaded = load().catch((error) => fail(error.message));
