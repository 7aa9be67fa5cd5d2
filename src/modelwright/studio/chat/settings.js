/* How to answer: two sets of settings, the second for answers side by side. */

import { element } from "./dom.js";

const STORED = "modelwright/settings";

const FIELDS = [
  { name: "temperature", label: "Temperature", usual: 0.3, min: 0, max: 2, step: 0.05, hint: "how freely words are chosen; 0 takes the likeliest" },
  { name: "top_p", label: "Top p", usual: 1, min: 0.01, max: 1, step: 0.01, hint: "only the likeliest tokens that together reach this" },
  { name: "top_k", label: "Top k", usual: 0, min: 0, max: 200, step: 1, hint: "only this many likeliest tokens; 0 for all" },
  { name: "min_p", label: "Min p", usual: 0, min: 0, max: 1, step: 0.01, hint: "only tokens this many times as likely as the likeliest" },
  { name: "presence_penalty", label: "Presence penalty", usual: 0, min: -2, max: 2, step: 0.1, hint: "against tokens that were said" },
  { name: "frequency_penalty", label: "Frequency penalty", usual: 0, min: -2, max: 2, step: 0.1, hint: "against tokens, each time that they were said" },
  { name: "repetition_penalty", label: "Repetition penalty", usual: 1, min: 0.5, max: 2, step: 0.05, hint: "against tokens of the prompt and the answer; 1 for none" },
];

const USUAL = {
  ...Object.fromEntries(FIELDS.map(({ name, usual }) => [name, usual])),
  max_tokens: 256, seed: "", stop: "",
};
const ALWAYS_SENT = ["temperature", "max_tokens"];
const MOST_STOPS = 16;

export class Settings {
  constructor() {
    this.sides = [{ ...USUAL, model: "" }, { ...USUAL, model: "" }];
    this.side = 0;
    Object.assign(this, { isBeside: false, withTokens: false, colour: "probability", person: "" });
    let stored = {};
    try { stored = JSON.parse(localStorage.getItem(STORED)) ?? {}; } catch { /* As on the first day. */ }
    for (const name of ["isBeside", "withTokens", "colour", "person"]) {
      if (typeof stored[name] === typeof this[name]) this[name] = stored[name];
    }
    this.sides.forEach((side, at) => {
      for (const name of Object.keys(side)) {
        const value = stored.sides?.[at]?.[name];
        if (typeof value === typeof side[name]) side[name] = value;
      }
    });
  }

  save() {
    const { sides, isBeside, withTokens, colour, person } = this;
    try {
      localStorage.setItem(STORED, JSON.stringify({ sides, isBeside, withTokens, colour, person }));
    } catch { /* They hold until the page is closed. */ }
  }

  /** The sets that answer the next question. */
  get used() { return this.isBeside ? this.sides : this.sides.slice(0, 1); }

  /** Take another list of models; what is chosen stays, if it is still there. */
  offer(models) {
    this.sides.forEach((side, at) => {
      if (!models.includes(side.model)) side.model = models[Math.min(at, models.length - 1)] ?? "";
    });
  }

  resetSide() { Object.assign(this.sides[this.side], USUAL); }
}

/** The fields of a request: those that always are, and those that are not as usual. */
export function optionsOf(side) {
  const options = { model: side.model };
  for (const { name } of FIELDS) {
    if (ALWAYS_SENT.includes(name) || side[name] !== USUAL[name]) options[name] = side[name];
  }
  options.max_tokens = side.max_tokens;
  if (String(side.seed).trim() !== "") options.seed = Number(side.seed);
  const stop = side.stop.split("\n").filter(Boolean).map((one) => one.replaceAll("\\n", "\n")).slice(0, MOST_STOPS);
  if (stop.length) options.stop = stop;
  return options;
}

/** The rows of the panel, for the side that is being looked at. */
export function samplingRows(settings, onChange) {
  const side = settings.sides[settings.side];
  const set = (name, value) => {
    side[name] = value;
    onChange();
  };
  return [
    ...FIELDS.map((field) => sliderRow(field, side[field.name], (value) => set(field.name, value))),
    plainRow("max_tokens", "Longest answer, in tokens", side.max_tokens, { type: "number", min: 1, step: 1 },
      (text) => set("max_tokens", Math.max(1, Math.floor(Number(text)) || USUAL.max_tokens))),
    plainRow("seed", "Seed, for answers that can be repeated", side.seed, { type: "number", min: 0, step: 1, placeholder: "another each time" },
      (text) => set("seed", /^\d+$/.test(text) && Number.isSafeInteger(Number(text)) ? text : "")),
    stopRow(side, (text) => set("stop", text)),
  ];
}

function sliderRow({ name, label, min, max, step, usual, hint }, value, onValue) {
  const [range, number] = ["range", "number"].map((type) => {
    const input = element("input");
    Object.assign(input, { type, min, max, step, value });
    return input;
  });
  Object.assign(range, { id: name });
  number.setAttribute("aria-label", label);
  const title = element("label", "", label);
  title.htmlFor = name;
  const row = element("div", "slider", title, number, range, element("small", "", hint));
  const take = (text) => {
    const taken = text.trim() === "" ? usual : Math.min(max, Math.max(min, Number(text)));
    range.value = taken;
    row.classList.toggle("changed", taken !== usual);
    onValue(taken);
    return taken;
  };
  range.addEventListener("input", () => { number.value = take(range.value); });
  number.addEventListener("input", () => take(number.value));
  number.addEventListener("change", () => { number.value = take(number.value); });
  row.classList.toggle("changed", value !== usual);
  return row;
}

function plainRow(id, label, value, attributes, onText) {
  const input = element("input");
  Object.assign(input, { id, value, ...attributes });
  input.addEventListener("input", () => onText(input.value));
  return element("label", "field", element("span", "", label), input);
}

function stopRow(side, onText) {
  const area = element("textarea");
  Object.assign(area, { id: "stop-texts", rows: 2, value: side.stop, placeholder: "one a line; \\n stands for a new line" });
  area.addEventListener("input", () => onText(area.value));
  return element("label", "field", element("span", "", "Stop before"), area);
}

/** Fill a list of models. */
export function fillModels(select, models, chosen) {
  select.replaceChildren(...models.map((name) => {
    const option = element("option", "", name);
    option.value = name;
    return option;
  }));
  select.value = chosen;
  select.disabled = models.length === 0;
}
