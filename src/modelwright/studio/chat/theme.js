/* Runs before the page is painted, so that it never flashes in the other colours. */
"use strict";
try {
  const theme = localStorage.getItem("modelwright/theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage the system decides.
}
