/* Making nodes. No text ever becomes markup here: there is no innerHTML in this page. */

export const $ = (id) => document.getElementById(id);

/** An element with a class and children; texts become text nodes. */
export function element(tag, className = "", ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/** One of the symbols of index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A button with a text. */
export function button(text, className, onClick) {
  const node = element("button", className, text);
  node.type = "button";
  node.addEventListener("click", onClick);
  return node;
}

/** A button with an icon, which says in words what it does. */
export function iconButton(name, label, onClick) {
  const node = button(icon(name), "icon", onClick);
  node.setAttribute("aria-label", label);
  node.title = label;
  return node;
}

/** Let a field grow with its text. */
export function fit(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + 2}px`;
}

let toastTimer = 0;

/** Say something in passing; `action` may be [label, function]. */
export function toast(text, action) {
  const node = $("toast");
  node.replaceChildren(text);
  if (action) {
    node.append(button(action[0], "link", () => { node.replaceChildren(); action[1](); }));
  }
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => node.replaceChildren(), action ? 9000 : 4000);
}

/** Put a text on the clipboard; returns whether the browser allowed it. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without https, browsers have only the old way.
  }
  const area = element("textarea", "unseen");
  area.value = text;
  const host = document.querySelector("dialog[open]") ?? document.body;
  const focused = document.activeElement;
  host.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return done;
}

/** Copy, and say so on the button that was pressed. */
export async function copyFrom(pressed, text) {
  if (!(await copy(text))) {
    toast("The browser does not allow to copy; select the text instead.");
    return;
  }
  toast("Copied.");
  const use = pressed?.querySelector("use");
  if (!use) return;
  use.setAttribute("href", "#i-check");
  setTimeout(() => use.setAttribute("href", "#i-copy"), 1500);
}
