// Runs before the first paint, so that a chosen theme does not flash.
try {
  const chosen = JSON.parse(localStorage.getItem("paddler.theme") ?? '"system"');
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is off or holds something else: the system's theme it is.
}
