// Tree: names of locks as folders and files, and the rows of it that are open. Nothing here touches the page.

const OPEN_ROWS = 300;

/** Everything that is held, over or waited for, by the folders of its names. */
export function build(known, wanted = () => true) {
  const root = node("", "", "folder");
  const entry = (name) => (place(root, name).entry ??= { name, locks: [], ended: [], waiters: [] });
  for (const lock of known.locks.values()) if (wanted(lock.name, lock.agent)) entry(lock.name).locks.push(lock);
  for (const lock of known.ended.values()) if (wanted(lock.name, lock.agent)) entry(lock.name).ended.push(lock);
  for (const waiter of known.waiters.values()) {
    for (const name of waiter.names) if (wanted(name, waiter.agent)) entry(name).waiters.push(waiter);
  }
  finish(root);
  return root;
}

function node(id, label, kind) {
  return { id, label, kind, children: null, entry: null, count: 0, waits: 0, holders: new Map() };
}

function child(of, id, label, kind) {
  of.children ??= new Map();
  let found = of.children.get(id);
  if (!found) of.children.set(id, (found = node(id, label, kind)));
  return found;
}

function place(root, name) {
  if (name === "./") return child(root, "./", "whole project", "folder");
  if (name.startsWith("glob:")) {
    return child(child(root, "glob:", "patterns", "group"), name, name.slice(5), "glob");
  }
  if (name.startsWith("hardlink:") && !name.endsWith("/")) {
    return child(child(root, "hardlink:", "hard links", "group"), name, name.slice(9), "link");
  }
  let at = root;
  let from = 0;
  if (name.startsWith("/")) {
    at = child(root, "/", "outside the project", "group");
    from = 1;
    if (name === "/") return at;
  }
  for (;;) {
    const slash = name.indexOf("/", from);
    if (slash < 0) return child(at, name, name.slice(from), "file");
    at = child(at, name.slice(0, slash + 1), name.slice(from, slash + 1), "folder");
    from = slash + 1;
    if (from === name.length) return at;
  }
}

/** Counts upwards, order, and one row for a chain of folders with nothing else in them. */
function finish(at) {
  if (at.entry) {
    at.count = at.entry.locks.length;
    at.waits = at.entry.waiters.length;
    for (const lock of at.entry.locks) at.holders.set(lock.agent, (at.holders.get(lock.agent) ?? 0) + 1);
  }
  if (!at.children) return;
  let children = [...at.children.values()];
  for (const one of children) finish(one);
  children = children.map((one) => {
    while (one.kind === "folder" && !one.entry && one.children?.length === 1 && one.children[0].kind === "folder") {
      one.children[0].label = one.label + one.children[0].label;
      one = one.children[0];
    }
    return one;
  });
  for (const one of children) {
    at.count += one.count;
    at.waits += one.waits;
    for (const [agent, n] of one.holders) at.holders.set(agent, (at.holders.get(agent) ?? 0) + n);
  }
  children.sort((a, b) => rank(a) - rank(b) || (a.label < b.label ? -1 : a.label > b.label ? 1 : 0));
  at.children = children;
}

const RANKS = { folder: 0, file: 1, glob: 2, link: 3, group: 4 };

function rank(one) {
  return one.id === "./" ? -1 : RANKS[one.kind];
}

/**
 * The rows that are open: all of them while there are few, else as many levels as fit; but for the folders that
 * `opened` (a Map of ids) says, and for `opened.everything`, where somebody wanted all of them open, or closed.
 */
export function rows(root, opened) {
  const isOpen = opened.everything === undefined ? openByDefault(root) : () => opened.everything;
  const found = [];
  const walk = (at, level) => {
    const children = at.children ?? [];
    children.forEach((one, i) => {
      const has = Boolean(one.children?.length);
      const open = has && (opened.get(one.id) ?? isOpen(one));
      found.push({ id: one.id, node: one, level, open, has, place: i + 1, of: children.length });
      if (open) walk(one, level + 1);
    });
  };
  walk(root, 1);
  return found;
}

function openByDefault(root) {
  const open = new Set();
  let level = root.children ?? [];
  let total = level.length;
  while (level.length) {
    const next = [];
    for (const one of level) {
      const size = one.children?.length ?? 0;
      if (size && total + size <= OPEN_ROWS) {
        open.add(one);
        total += size;
        next.push(...one.children);
      }
    }
    level = next;
  }
  return (one) => open.has(one);
}
