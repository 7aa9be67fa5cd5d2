/* The list of conversations: searched, renamed, deleted, exported and imported. */

import { $, button, element, iconButton, toast } from "./dom.js";

const DAY = 24 * 60 * 60 * 1000;

export class Sidebar {
  /** `open(conversation)` shows one; `isWriting(conversation)` says whether it is being answered. */
  constructor(history, { open, isWriting, removed }) {
    Object.assign(this, { history, open, isWriting, removed });
    this.current = null;
    $("search").addEventListener("input", () => this.draw());
    $("search").addEventListener("keydown", (event) => {
      if (event.key === "Enter") $("history").querySelector(".open")?.click();
      if (event.key === "ArrowDown") $("history").querySelector(".open")?.focus();
    });
    $("history").addEventListener("keydown", (event) => this.#step(event));
    $("export").addEventListener("click", () => this.#export());
    $("import").addEventListener("click", () => $("import-file").click());
    $("import-file").addEventListener("change", () => this.#import());
  }

  draw(current = this.current) {
    this.current = current;
    const words = $("search").value;
    const found = this.history.list(words);
    const groups = new Map();
    for (const one of found) {
      const label = dayOf(one.updated);
      groups.set(label, [...(groups.get(label) ?? []), one]);
    }
    const nodes = [...groups].map(([label, group]) => element("section", "",
      element("h2", "", label), element("ul", "", ...group.map((one) => this.#row(one)))));
    if (!found.length) nodes.push(element("p", "nothing", words.trim() ? "No conversation has these words." : "Conversations are kept in this browser only."));
    $("history").replaceChildren(...nodes);
    $("export").disabled = this.history.list().length === 0;
  }

  #row(conversation) {
    const opening = button(conversation.name, "open", () => this.open(conversation));
    opening.title = conversation.name;
    if (conversation === this.current) opening.setAttribute("aria-current", "true");
    if (this.isWriting(conversation)) opening.classList.add("writing");
    const row = element("li", "", opening,
      iconButton("pencil", `Rename “${conversation.name}”`, () => this.#rename(conversation, row)),
      iconButton("trash", `Delete “${conversation.name}”`, () => this.#remove(conversation)));
    return row;
  }

  #rename(conversation, row) {
    const field = element("input");
    field.value = conversation.name;
    field.setAttribute("aria-label", "New name");
    const done = (keep) => {
      field.onblur = null;
      if (keep && field.value.trim() && field.value.trim() !== conversation.name) {
        conversation.title = field.value.trim();
        this.history.save(conversation);
      }
      this.draw();
      $("history").querySelector("[aria-current]")?.focus();
    };
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") done(true);
      if (event.key === "Escape") { event.stopPropagation(); done(false); }
    });
    field.onblur = () => done(true);
    row.replaceChildren(field);
    field.focus();
    field.select();
  }

  #remove(conversation) {
    this.history.remove(conversation);
    this.removed(conversation);
    this.draw();
    toast(`“${conversation.name}” is deleted. `, ["Undo", () => {
      this.history.restore(conversation);
      this.open(conversation);
    }]);
  }

  #step(event) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const all = [...$("history").querySelectorAll(".open")];
    const at = all.indexOf(document.activeElement);
    if (!by || at === -1) return;
    event.preventDefault();
    (all[at + by] ?? $("search")).focus();
  }

  #export() {
    const file = new Blob([this.history.exported()], { type: "application/json" });
    const link = element("a");
    link.href = URL.createObjectURL(file);
    link.download = `conversations-${new Date().toISOString().slice(0, 10)}.json`;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  async #import() {
    const [file] = $("import-file").files;
    $("import-file").value = "";
    if (!file) return;
    try {
      const count = this.history.take(await file.text());
      toast(`${count} ${count === 1 ? "conversation" : "conversations"} imported.`);
    } catch (error) {
      toast(error.message);
    }
    this.draw();
  }
}

function dayOf(time) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const at = Date.parse(time);
  if (at >= midnight) return "Today";
  if (at >= midnight - DAY) return "Yesterday";
  return at >= midnight - 7 * DAY ? "Last seven days" : "Earlier";
}
