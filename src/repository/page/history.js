// What was backed up: every path that there ever was, with what happened to it in which backup.
// The scripts of the increments tell it (`bkm.list`, `bkm.run`); nothing here touches the page.
"use strict";

/** What happened to a path in a backup. */
const VERSION = 1; // It was new or changed.
const FOLDER = 2; // It was there as a folder.
const DELETED = 3; // It was gone; this was its last version.
const GONE = 4; // It was gone, and no version of it is told.
const ENDED = 5; // From then on the mirror alone has it.

/** A file or folder. Its name is spelled as the scripts spell it: see `shown` and `encoded`. */
class Node {
  constructor(name, above) {
    this.name = name;
    this.above = above;
    this.below = null;
    /** In the order of backups: { run, kind, size, time, more }. */
    this.events = [];
    // As of the backup that `tally` was asked for: what it was then, and what was below it.
    this.state = undefined;
    this.living = 0;
    this.count = 0;
    this.size = 0;
    // Whether the page shows what is in it.
    this.open = false;
  }

  get path() {
    const names = [];
    for (let node = this; node.above; node = node.above) {
      names.push(node.name);
    }
    return names.reverse().join("/");
  }

  get isFile() {
    return this.state?.kind === VERSION;
  }

  get lives() {
    return this.isFile || this.state?.kind === FOLDER || this.living > 0;
  }

  child(name) {
    this.below ??= new Map();
    return this.below.get(name);
  }
}

class History {
  constructor() {
    this.keeping = "hardlink";
    this.runs = [];
    this.root = new Node("", null);
    /** Every node behind the folder it lies in. */
    this.nodes = [this.root];
  }

  /** Takes what an increment brought. They must come in their order. */
  take(told) {
    const run = this.runs.length;
    const summary = { name: told.name, time: told.time, complete: told.complete, changed: 0, removed: 0 };
    this.runs.push(summary);
    const happened = (path, kind) => this.find(path).events.push({ run, kind, size: 0, time: 0, more: null });
    const rows = (folders, kind) => {
      let count = 0;
      for (const [path, ...files] of folders) {
        const folder = this.find(path);
        for (const [name, size, time, more] of files) {
          this.below(folder, name).events.push({ run, kind, size, time, more: more ?? null });
        }
        count += files.length;
      }
      return count;
    };
    // What leaves comes first, so that a folder that took a file's place stays.
    summary.removed = rows(told.deleted, DELETED);
    told.gone.forEach((path) => happened(path, GONE));
    told.ended.forEach((path) => happened(path, ENDED));
    told.folders.forEach((path) => happened(path, FOLDER));
    summary.changed = rows(told.files, VERSION);
  }

  find(path) {
    let node = this.root;
    if (path !== "") {
      for (const name of path.split("/")) {
        node = this.below(node, name);
      }
    }
    return node;
  }

  below(folder, name) {
    let node = folder.child(name);
    if (!node) {
      node = new Node(name, folder);
      folder.below.set(name, node);
      this.nodes.push(node);
    }
    return node;
  }

  /** Finds for every node what it was after the backup `run`, and what was below it. */
  tally(run) {
    for (const node of this.nodes) {
      let at = node.events.length - 1;
      while (at >= 0 && node.events[at].run > run) {
        at -= 1;
      }
      node.state = node.events[at];
      node.living = 0;
      node.count = 0;
      node.size = 0;
    }
    for (let at = this.nodes.length - 1; at > 0; at -= 1) {
      const node = this.nodes[at];
      const { above } = node;
      above.living += node.lives ? 1 : 0;
      above.count += node.isFile ? 1 : node.count;
      above.size += node.isFile ? node.state.size : node.size;
    }
  }

  /** Versions and deletions of a file, the newest first; `opens` says which lead to a file of their own. */
  versions(node) {
    const listed = [];
    let before;
    for (const event of node.events) {
      if (event.kind !== VERSION && event.kind !== DELETED) {
        continue;
      }
      // The last version is listed by the backup that brought it, unless that one is gone.
      const known = event.kind === DELETED && before?.size === event.size && before.time === event.time;
      listed.push({ event, opens: !known && event.more?.link === undefined });
      before = event;
    }
    return listed.reverse();
  }

  /** The increment that brought the content of a version. */
  #content(event) {
    return event.more?.from ?? this.runs[event.run].name;
  }

  /**
   * Where a version lies, as addresses relative to the page; the first is where it should be. Without hard
   * links the current version is in the mirror alone, and goes to the increment that brought it when another
   * one takes its place.
   */
  addresses(node, event) {
    const place = (event.more?.place ?? node.path).split("/").map(encoded).join("/");
    const brought = encoded(this.#content(event));
    if (event.kind === DELETED) {
      return [event.more?.from ? `${brought}/track/${place}` : `${brought}/deleted/${place}`];
    }
    const kept = `${brought}/track/${place}`;
    if (this.keeping !== "displace") {
      return [kept];
    }
    const newest = node.events.findLast((e) => e.kind !== ENDED);
    if (newest.kind !== VERSION || this.#content(newest) !== this.#content(event)) {
      return [kept];
    }
    const mirror = `mirror/${place}`;
    // What the rules no longer track may have been replaced in the mirror without a word.
    return node.events.at(-1).kind === ENDED ? [mirror, kept] : [mirror];
  }

  /** Nodes whose name matches, in the order of the tree, `most` at most. */
  search(query, most) {
    const matches = matcher(query);
    const found = [];
    for (const node of this.nodes) {
      if (node.above && matches(node)) {
        found.push(node);
        if (found.length === most) {
          break;
        }
      }
    }
    return found;
  }
}

/** Whether a node matches: part of the name; with * or ? all of it; with / the path. Case does not count. */
function matcher(query) {
  const wanted = query.toLowerCase();
  const of = wanted.includes("/") ? (node) => node.path : (node) => node.name;
  if (!/[*?]/.test(wanted)) {
    return (node) => of(node).toLowerCase().includes(wanted);
  }
  const pattern = wanted
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  const whole = new RegExp(`^${pattern}$`, "su");
  return (node) => whole.test(of(node).toLowerCase());
}

/** A name as part of an address. One that is not UTF-8 comes as NUL and is encoded already. */
function encoded(name) {
  return name.startsWith("\0") ? name.slice(1) : encodeURIComponent(name);
}

/** A name for people: what they would not see, but what would change what they see, is spelled out. */
function shown(name) {
  const text = name.startsWith("\0") ? decoded(name.slice(1)) : name;
  return text.replace(
    /[\p{Cc}\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu,
    (c) => `\\u{${c.codePointAt(0).toString(16)}}`,
  );
}

function decoded(address) {
  const bytes = [];
  for (let at = 0; at < address.length; at += 1) {
    if (address[at] === "%") {
      bytes.push(parseInt(address.slice(at + 1, at + 3), 16));
      at += 2;
    } else {
      bytes.push(address.charCodeAt(at));
    }
  }
  return new TextDecoder().decode(new Uint8Array(bytes));
}

const bkm = {
  history: new History(),
  listed: null,
  list(told) {
    bkm.history.keeping = told.keeping;
    bkm.listed = told.runs;
  },
  run(told) {
    bkm.history.take(told);
  },
};
