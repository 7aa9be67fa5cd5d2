/* Conversations in the browser's own storage: nothing of them leaves this machine. */

import { Conversation, newId } from "./conversation.js";

const PREFIX = "modelwright/conversation/";
const FORM = "modelwright-conversations";
const VERSION = 1;

export class History {
  /** `onProblem` is called with words for what the storage cannot do. */
  constructor(onProblem) {
    this.onProblem = onProblem;
    this.all = new Map();
    this.removed = new Set();  // ids, so that an answer that still comes brings nothing back
    let damaged = 0;
    for (const key of this.keys()) {
      const read = parsed(localStorage.getItem(key));
      if (read) this.all.set(read.id, read);
      else damaged += 1;
    }
    if (damaged) onProblem(`${damaged} stored ${damaged === 1 ? "conversation" : "conversations"} cannot be read.`);
  }

  keys() {
    try {
      return Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
    } catch {
      this.onProblem("The browser keeps nothing for this page: conversations are lost when it is closed.");
      return [];
    }
  }

  /** Newest first, those with all the words. */
  list(words = "") {
    const found = [...this.all.values()].filter((one) => one.messages.size);
    return found.filter((one) => !words.trim() || one.contains(words.trim()))
      .sort((a, b) => b.updated.localeCompare(a.updated));
  }

  save(conversation) {
    if (!conversation.messages.size || this.removed.has(conversation.id)) return;
    this.all.set(conversation.id, conversation);
    try {
      localStorage.setItem(PREFIX + conversation.id, JSON.stringify(conversation));
    } catch (error) {
      this.onProblem(error.name === "QuotaExceededError"
        ? "The browser's storage is full: export conversations and delete some, or this one is lost when the page is closed."
        : "The browser keeps nothing for this page: conversations are lost when it is closed.");
    }
  }

  restore(conversation) {
    this.removed.delete(conversation.id);
    this.save(conversation);
  }

  remove(conversation) {
    this.removed.add(conversation.id);
    this.all.delete(conversation.id);
    try {
      localStorage.removeItem(PREFIX + conversation.id);
    } catch {
      // Then it was not stored, either.
    }
  }

  /** What another tab did to the key of a conversation; returns its id, or null if it is another's key. */
  refresh(key, value) {
    if (!key?.startsWith(PREFIX)) return null;
    const id = key.slice(PREFIX.length);
    const read = value === null ? null : parsed(value);
    if (read) this.all.set(id, read);
    else this.all.delete(id);
    return id;
  }

  exported(conversations = this.list()) {
    return JSON.stringify({ form: FORM, version: VERSION, conversations }, null, 1);
  }

  /** Take in a file's text; returns how many conversations were in it. Throws words. */
  take(text) {
    let file;
    try {
      file = JSON.parse(text);
    } catch {
      throw new Error("This file is no JSON.");
    }
    if (file?.form !== FORM || !Array.isArray(file.conversations)) {
      throw new Error("This file holds no conversations that were exported here.");
    }
    if (file.version !== VERSION) throw new Error(`This file is of version ${file.version}, which is not known here.`);
    let read;
    try {
      read = file.conversations.map((one) => Conversation.from(one));
    } catch (error) {
      throw new Error(`This file is damaged: it has ${error.message}.`);
    }
    for (const one of read) {
      if (this.all.has(one.id)) one.id = newId();  // beside what is there already
      this.save(one);
    }
    return read.length;
  }
}

function parsed(text) {
  try {
    return Conversation.from(JSON.parse(text));
  } catch {
    return null;
  }
}
