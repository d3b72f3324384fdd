"use strict";
// The page of `seq2seq serve`. Text of the model and of its user reaches the document as text only.

const at = (id) => document.getElementById(id);
let result = null;  // of the last translation
let chosen = 0;     // index of a translation
let focus = { layer: 0, head: -1 };  // head -1: the mean of all
let pointed = null;  // { row, column }: the tokens that the pointer is on; one of them may be missing
let running = null;  // AbortController of the translation under way

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

async function load() {
  const model = await (await fetch("/model")).json();
  at("name").textContent = model.name;
  document.title = `${model.name} - seq2seq`;
  at("about").textContent = `reads ${model.source_tokens}, writes ${model.target_tokens}; ` +
    `${times(model.encoder_layers, "layer")} to read, ${model.decoder_layers} to write, ${times(model.heads, "head")}`;
  for (let n = 1; n <= model.most_beam; n *= 2) element("option", n, at("beam")).value = n;
  if (![...at("beam").options].some((o) => o.value === String(model.beam))) element("option", model.beam, at("beam"));
  at("beam").value = model.beam;
}

// Calls take(name, data) for each event of a stream.
async function readEvents(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  while (true) {
    const { done, value } = await reader.read();
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
  if (running) running.abort();
  const mine = running = new AbortController();
  fail("");
  result = null;
  at("text").textContent = at("note").textContent = at("time").textContent = "";
  at("list").replaceChildren();
  at("attention").hidden = true;
  const beam = Number(at("beam").value);
  try {
    const answer = await fetch("/translate", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({
        source: at("source").value.replace(/\s*[\r\n]+\s*/g, " ").trim(), beam, n_best: beam, attention: true, stream: true,
      }),
      signal: mine.signal,
    });
    if (!answer.ok) throw new Error((await answer.json()).error);
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
  const unknown = result.unknown.length;
  at("note").textContent = unknown === 0 ? "" : `${times(unknown, "token")} of the sentence ${unknown === 1 ? "is" : "are"} unknown to the model`;
  at("time").textContent = `${result.seconds.toFixed(2)} s`;
  at("text").classList.remove("draft");
  if (result.translations.length > 1) {
    result.translations.forEach((one, index) => {
      const button = element("button", "", element("li", "", at("list")));
      button.type = "button";
      element("span", one.text, button);
      element("span", one.score.toFixed(3), button).title = `score; log-probability ${one.log_probability.toFixed(3)}`;
      button.addEventListener("click", () => choose(index));
    });
  }
  choose(0);
}

function choose(index) {
  chosen = index;
  const one = result.translations[index];
  at("text").textContent = one.text;
  [...at("list").querySelectorAll("button")].forEach((button, i) => button.setAttribute("aria-pressed", i === index));
  at("attention").hidden = !one.attention;
  if (one.tokens.length > 0 && !one.attention) at("note").textContent = "The attention of so long a text is not shown.";
  if (!one.attention) return;
  focus.layer = Math.min(focus.layer, one.attention.length - 1);
  if (!focus.seen) focus = { layer: one.attention.length - 1, head: -1, seen: true };
  showTokens("read", result.source_tokens, "column", result.unknown);
  showTokens("written", one.tokens, "row", []);
  showHeads();
  point(null);
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

// Marks what a pair of tokens, or one token, has to do with the others.
function point(to) {
  pointed = to;
  const map = weights(focus.layer, focus.head), source = result.source_tokens, target = result.translations[chosen].tokens;
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
  drawMap();
}

function shade(id, weight, marked) {
  [...at(id).children].forEach((span, i) => {
    const value = weight(i), [red, green, blue] = color(value);
    span.style.backgroundColor = value > 0 ? `rgb(${red},${green},${blue})` : "";
    span.style.color = value > 0 ? (0.3 * red + 0.6 * green + 0.1 * blue > 130 ? "#000" : "#fff") : "";
    span.classList.toggle("on", i === marked);
  });
}

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function color(value) {
  const [low, high] = ["--low", "--high"].map((name) => style(name).split(",").map(Number));
  return low.map((from, i) => Math.round(from + (high[i] - from) * value));
}

// Draws one pixel for each weight.
function drawPixels(canvas, map) {
  canvas.width = map[0].length;
  canvas.height = map.length;
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  const palette = Array.from({ length: 101 }, (_, i) => color(i / 100));
  map.flat().forEach((value, i) => image.data.set([...palette[Math.round(Math.min(value, 1) * 100)], 255], 4 * i));
  context.putImageData(image, 0, 0);
}

function showHeads() {
  const layers = result.translations[chosen].attention;
  at("heads").replaceChildren();
  const top = element("tr", "", at("heads"));
  for (const name of ["", "mean", ...layers[0].map((_, h) => `head ${h + 1}`)]) element("th", name, top);
  layers.forEach((heads, layer) => {
    const line = element("tr", "", at("heads"));
    element("th", `layer ${layer + 1}`, line);
    for (let head = -1; head < heads.length; ++head) {
      const button = element("button", "", element("td", "", line));
      button.type = "button";
      button.ariaLabel = `layer ${layer + 1}, ${head < 0 ? "mean" : `head ${head + 1}`}`;
      button.ariaPressed = String(layer === focus.layer && head === focus.head);
      const canvas = element("canvas", "", button);
      drawPixels(canvas, weights(layer, head));
      button.addEventListener("click", () => {
        focus = { layer, head, seen: true };
        for (const other of at("heads").querySelectorAll("button")) other.ariaPressed = String(other === button);
        point(null);
      });
    }
  });
}

const kCell = 20;  // pixels of a weight
let margin = { left: 0, top: 0 };

function drawMap() {
  const map = weights(focus.layer, focus.head), canvas = at("map"), context = canvas.getContext("2d");
  const read = result.source_tokens.map(shown), written = result.translations[chosen].tokens.map(shown);
  const font = "13px system-ui, sans-serif", scale = window.devicePixelRatio;
  context.font = font;
  const widest = (tokens) => Math.min(120, Math.max(...tokens.map((token) => context.measureText(token).width)));
  margin = { left: Math.ceil(widest(written)) + 8, top: Math.ceil(widest(read)) + 8 };
  const width = margin.left + kCell * read.length + 1, height = margin.top + kCell * written.length + 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  context.scale(scale, scale);
  context.font = font;
  context.fillStyle = style("--ink");
  context.textBaseline = "middle";
  context.textAlign = "right";
  written.forEach((token, t) => context.fillText(token, margin.left - 4, margin.top + (t + 0.5) * kCell, 120));
  read.forEach((token, s) => {
    context.save();
    context.translate(margin.left + (s + 0.5) * kCell, margin.top - 4);
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
  map.forEach((row, t) => row.forEach((value, s) => {
    context.fillStyle = `rgb(${color(value).join(",")})`;
    context.fillRect(margin.left + s * kCell, margin.top + t * kCell, kCell, kCell);
  }));
  context.strokeStyle = style("--line");
  context.strokeRect(margin.left + 0.5, margin.top + 0.5, kCell * read.length - 1, kCell * written.length - 1);
  context.strokeStyle = style("--accent");
  context.lineWidth = 2;
  if (pointed?.row !== undefined) context.strokeRect(margin.left, margin.top + pointed.row * kCell, kCell * read.length, kCell);
  if (pointed?.column !== undefined) context.strokeRect(margin.left + pointed.column * kCell, margin.top, kCell, kCell * written.length);
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
  const column = Math.floor((event.offsetX - margin.left) / kCell), row = Math.floor((event.offsetY - margin.top) / kCell);
  const inside = row >= 0 && column >= 0 && column < result.source_tokens.length && row < result.translations[chosen].tokens.length;
  if (inside && pointed?.row === row && pointed?.column === column) return;
  if (inside || pointed) point(inside ? { row, column } : null);
});
at("map").addEventListener("pointerleave", () => point(null));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  if (!result || at("attention").hidden) return;
  showHeads();
  point(null);
});

load().catch(() => fail("the model cannot be reached; is the program still there?"));
