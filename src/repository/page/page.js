// The page: the timeline, the tree as of one backup, and what a search finds.
// Names and everything else from the drive become text nodes, and addresses that begin with a folder of ours.
"use strict";

(() => {
  /** Most rows of a folder, and hits of a search, that are shown at once. */
  const ROWS = 300;
  const HITS = 200;
  /** Most versions of a hit that are shown at once. */
  const VERSIONS = 5;

  const { history } = bkm;
  const byName = new Intl.Collator(words.locale, { numeric: true });
  const part = (id) => document.getElementById(id);
  /** The backups that went through: numbers in `history.runs`. */
  let points = [];
  /** Which of them is shown. */
  let point = 0;

  /** An element with a class, and what is in it: elements, or texts that stay texts. */
  function make(tag, className, ...inside) {
    const element = document.createElement(tag);
    if (className) {
      element.className = className;
    }
    element.append(...inside);
    return element;
  }

  function button(text, act) {
    const element = make("button", "", text);
    element.type = "button";
    element.addEventListener("click", act);
    return element;
  }

  function icon(name) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", `icon ${name}`);
    svg.setAttribute("aria-hidden", "true");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", `#${name}`);
    svg.append(use);
    return svg;
  }

  /** A name whose direction of writing stays its own. */
  function named(text) {
    return make("bdi", "name", shown(text));
  }

  function anchor(address, ...inside) {
    const a = make("a", "", ...inside);
    a.href = address;
    a.target = "_blank";
    a.rel = "noopener noreferrer";
    return a;
  }

  /** Rows in portions, so that a folder of a hundred thousand files is shown as soon as a small one. */
  function fill(list, items, row, most) {
    const show = (from) => {
      list.append(...items.slice(from, from + most).map(row));
      const left = items.length - from - most;
      if (left > 0) {
        const more = make("li", "more");
        const next = button(words.say("more", { n: words.count(Math.min(left, most)) }), () => {
          more.remove();
          show(from + most);
          list.children[from + most]?.querySelector("a, summary, button")?.focus();
        });
        more.append(next);
        list.append(more);
      }
    };
    show(0);
    return list;
  }

  // ---- The tree ----

  function isRemovedNow(node) {
    return node.state?.kind === DELETED && node.state.run === points[point] && node.living === 0;
  }

  function listOf(folder) {
    const inside = [...(folder.below?.values() ?? [])].filter((node) => node.lives || isRemovedNow(node));
    const isFolder = (node) => (node.isFile || isRemovedNow(node) ? 1 : 0);
    inside.sort((a, b) => isFolder(a) - isFolder(b) || byName.compare(a.name, b.name));
    if (inside.length === 0) {
      return make("p", "muted empty", words.say("empty"));
    }
    return fill(make("ul", "list"), inside, (node) => (isFolder(node) ? fileRow(node) : folderRow(node)), ROWS);
  }

  function folderRow(node) {
    const details = make("details", "");
    const figures = make("span", "size", words.size(node.size));
    const count = make("span", "time", words.say("files", {}, node.count));
    details.append(make("summary", "row", icon("folder"), named(node.name), make("span", "notes"), figures, count));
    const open = () => {
      node.open = details.open;
      if (details.open && details.childElementCount === 1) {
        details.append(listOf(node));
      }
    };
    details.open = node.open;
    open();
    details.addEventListener("toggle", open);
    return make("li", "", details);
  }

  function fileRow(node) {
    const { state } = node;
    const removed = !node.isFile;
    const item = make("li", removed ? "removed" : "");
    const notes = make("span", "notes");
    const target = state.more?.link;
    const row = make("div", "row", icon(target === undefined ? "file" : "link"));
    if (target !== undefined) {
      row.append(make("span", "named", named(node.name), " ", make("span", "muted", words.say("leads_to", { target: shown(target) }))));
    } else {
      row.append(make("span", "named", anchor(history.addresses(node, state)[0], named(node.name))));
    }
    if (removed) {
      notes.append(make("span", "tag", words.say("deleted")));
    } else if (state.run === points[point]) {
      const dot = make("span", "dot");
      dot.title = words.say("new");
      notes.append(dot, make("span", "unseen", words.say("new")));
    }
    const versions = history.versions(node);
    const count = versions.filter(({ opens }) => opens).length;
    if (count > 1 || versions.length > 1) {
      const toggle = button(words.say("versions", {}, count), () => {
        const isOpen = item.childElementCount > 1;
        toggle.setAttribute("aria-expanded", String(!isOpen));
        if (isOpen) {
          item.lastElementChild.remove();
        } else {
          item.append(versionList(node, versions, ROWS));
        }
      });
      toggle.className = "versions";
      toggle.setAttribute("aria-expanded", "false");
      notes.append(toggle);
    }
    row.append(notes, make("span", "size", words.size(state.size)), make("time", "time", words.time(state.time)));
    item.append(row);
    return item;
  }

  function versionList(node, versions, most) {
    return fill(make("ul", "history"), versions, (version) => versionRow(node, version), most);
  }

  function versionRow(node, { event, opens }) {
    const run = history.runs[event.run];
    const when = words.backup(run.time);
    const row = make("li", event.run === points[point] ? "version now" : "version");
    const notes = make("span", "notes muted");
    if (event.kind === DELETED) {
      notes.append(make("span", "tag", words.say("deleted")));
    }
    if (!opens) {
      row.append(make("span", "named", when), notes);
      if (event.more?.link !== undefined) {
        notes.append(words.say("leads_to", { target: shown(event.more.link) }));
      }
      return row;
    }
    const [address, also] = history.addresses(node, event);
    row.append(make("span", "named", anchor(address, when)), notes);
    if (event.kind === DELETED) {
      notes.append(words.say("last_version"));
    }
    if (!run.complete) {
      notes.append(words.say("interrupted"));
    }
    if (also) {
      notes.append(anchor(also, words.say("also")));
    }
    row.append(make("span", "size", words.size(event.size)));
    row.append(make("time", "time", words.say("modified", { time: words.time(event.time) })));
    return row;
  }

  function showTree() {
    part("tree").replaceChildren(listOf(history.root));
  }

  // ---- The timeline ----

  function drawBars() {
    const most = Math.max(1, ...points.map((run) => Math.log1p(changesOf(run))));
    // A bar is as wide as its place, but for a gap where there is room for one.
    const width = points.length > 200 ? 1 : 0.8;
    const bars = points.map((run, at) => {
      const height = Math.max(2, (36 * Math.log1p(changesOf(run))) / most).toFixed(1);
      return `M${at + (1 - width) / 2} 40h${width}v-${height}h-${width}z`;
    });
    part("bars").setAttribute("viewBox", `0 0 ${points.length} 40`);
    part("bars").firstElementChild.setAttribute("d", bars.join(""));
    // The handle goes from the middle of the first bar to that of the last.
    part("timeline").style.setProperty("--half", `${50 / points.length}%`);
  }

  function changesOf(run) {
    return history.runs[run].changed + history.runs[run].removed;
  }

  function goTo(to) {
    point = Math.min(Math.max(to, 0), points.length - 1);
    const run = history.runs[points[point]];
    const when = words.backup(run.time);
    const changes = [];
    if (run.changed > 0) {
      changes.push(words.say("changed", {}, run.changed));
    }
    if (run.removed > 0) {
      changes.push(words.say("removed", {}, run.removed));
    }
    part("at").textContent = when;
    part("changes").textContent = changes.join(", ") || words.say("unchanged");
    part("when").value = String(point);
    part("when").setAttribute("aria-valuetext", when);
    part("earlier").disabled = point === 0;
    part("later").disabled = point === points.length - 1;
    part("day").value = run.time.slice(0, 10);
    history.tally(points[point]);
    showTree();
  }

  /** The last backup that is not later than a day. */
  function goToDay(day) {
    const later = points.findIndex((run) => history.runs[run].time.slice(0, 10) > day);
    goTo(later === -1 ? points.length - 1 : later - 1);
  }

  // ---- Search ----

  function search() {
    const query = part("query").value.trim();
    part("tree").hidden = query !== "";
    part("timeline").hidden = query !== "";
    part("found").hidden = query === "";
    if (query === "") {
      part("found").replaceChildren();
      return;
    }
    const found = history.search(query, HITS + 1);
    const shownHits = found.slice(0, HITS);
    let count = words.say("hits", {}, found.length);
    if (found.length > HITS) {
      count = words.say("first_hits", {}, HITS);
    } else if (found.length === 0) {
      count = words.say("no_hits");
    }
    part("found").replaceChildren(make("p", "muted", count), make("ul", "list", ...shownHits.map(hitRow)));
  }

  function hitRow(node) {
    const versions = history.versions(node);
    const kind = versions.length === 0 ? "folder" : "file";
    const folder = node.above.above ? node.above.path.split("/").map(shown).join("/") : words.say("top");
    const head = make("div", "row", icon(kind), make("span", "named", named(node.name)));
    head.append(make("bdi", "where muted", words.say("in", { folder })));
    const item = make("li", "hit", head);
    if (kind === "folder") {
      head.append(button(words.say("show"), () => reveal(node)));
    } else {
      item.append(versionList(node, versions, VERSIONS));
    }
    return item;
  }

  /** Shows a folder in the tree, as of the last backup that has it. */
  function reveal(node) {
    part("query").value = "";
    for (let folder = node; folder.above; folder = folder.above) {
      folder.open = true;
    }
    for (let at = points.length - 1; at >= 0; at -= 1) {
      history.tally(points[at]);
      if (node.lives) {
        goTo(at);
        break;
      }
    }
    search();
    // Its row is where the open folders above it lead.
    let list = part("tree").firstElementChild;
    let row;
    for (const name of node.path.split("/")) {
      row = [...(list?.children ?? [])].find((item) => item.querySelector(":scope > details > summary > .name")?.textContent === shown(name));
      list = row?.querySelector(":scope > details > ul");
    }
    row?.querySelector("summary").focus();
    row?.scrollIntoView({ block: "start" });
  }

  // ---- Begin ----

  function translate() {
    document.documentElement.lang = words.code;
    for (const element of document.querySelectorAll("[data-say]")) {
      element.textContent = words.say(element.dataset.say);
    }
    for (const element of document.querySelectorAll("[data-label]")) {
      const key = element.dataset.label === "files" ? "files_here" : element.dataset.label;
      element.setAttribute("aria-label", words.say(key));
    }
    part("query").placeholder = words.say("search");
    const title = words.say("backup", { name: folderName() });
    part("title").textContent = title;
    document.title = title;
  }

  /** What the folder is called that the page lies in. */
  function folderName() {
    const name = location.pathname.split("/").at(-2) ?? "";
    try {
      return shown(decodeURIComponent(name));
    } catch {
      return shown(name);
    }
  }

  /** Loads a script of the page's folder; those that are asked for one after another run in that order. */
  function load(name) {
    return new Promise((resolve) => {
      const script = document.createElement("script");
      script.src = `browse/${name}`;
      script.async = false;
      script.onload = () => resolve(true);
      script.onerror = () => resolve(false);
      document.head.append(script);
    });
  }

  function listen() {
    part("when").addEventListener("input", (e) => goTo(Number(e.target.value)));
    part("earlier").addEventListener("click", () => goTo(point - 1));
    part("later").addEventListener("click", () => goTo(point + 1));
    part("day").addEventListener("change", (e) => e.target.value && goToDay(e.target.value));
    let soon;
    part("query").addEventListener("input", () => {
      clearTimeout(soon);
      soon = setTimeout(search, 120);
    });
  }

  function begin(lacking) {
    points = history.runs.map((run, at) => (run.complete ? at : -1)).filter((at) => at !== -1);
    listen();
    if (points.length === 0) {
      part("summary").textContent = words.say("no_backup");
      return;
    }
    part("when").max = String(points.length - 1);
    for (const id of ["when", "day"]) {
      part(id).disabled = false;
    }
    part("day").min = history.runs[points[0]].time.slice(0, 10);
    part("day").max = history.runs[points.at(-1)].time.slice(0, 10);
    part("first").textContent = words.day(history.runs[points[0]].time);
    part("last").textContent = words.day(history.runs[points.at(-1)].time);
    drawBars();
    goTo(points.length - 1);
    const { root } = history;
    let summary = words.say("summary", {
      files: words.say("files", {}, root.count),
      size: words.size(root.size),
      backups: words.say("backups", {}, points.length),
    });
    if (lacking > 0) {
      summary += `. ${words.say("lacking", {}, lacking)}`;
    }
    part("summary").textContent = summary;
    if (part("query").value) {
      search();
    }
    performance.mark("bkm-ready");
  }

  async function readAll() {
    if (!(await load("list.js")) || !bkm.listed) {
      part("summary").textContent = words.say("no_list");
      return;
    }
    const names = bkm.listed.flatMap(([first, last, revision]) =>
      Array.from({ length: last - first + 1 }, (_, at) => `${first + at}-${revision}.js`),
    );
    let read = 0;
    const loads = names.map(async (name) => {
      const isThere = await load(name);
      read += 1;
      if (read % 100 === 0) {
        part("summary").textContent = words.say("progress", { n: words.count(read), all: words.count(names.length) });
      }
      return isThere;
    });
    begin((await Promise.all(loads)).filter((isThere) => !isThere).length);
  }

  translate();
  readAll();
})();
