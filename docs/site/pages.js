// Debian's Furo leaves out the rule that makes pages dark where the system is.
document.addEventListener("DOMContentLoaded", () => {
  if (document.body.dataset.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches) {
    document.body.dataset.theme = "dark";
  }
});
