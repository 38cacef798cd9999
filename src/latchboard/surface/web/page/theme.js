// Theme: the colours that were chosen, before anything is painted in others. Not a module: those come too late for it.

try {
  document.documentElement.dataset.theme = localStorage.getItem("latchboard.theme") ?? "auto";
} catch {
  // a browser that keeps nothing: as the system
}
