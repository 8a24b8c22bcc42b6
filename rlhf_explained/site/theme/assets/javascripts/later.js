// Loads the theme's scripts when a reader first does something, or after a while. A page reads whole
// without them, so nobody waits for them; a key pressed before they came is pressed again for them.
const signs = ["pointermove", "pointerdown", "touchstart", "keydown", "focusin", "scroll"]
let begun = false

const add = (source) => {
  const script = document.createElement("script")
  script.async = false
  script.src = source
  document.body.append(script)
  return script
}

const load = (sign) => {
  if (begun) return
  begun = true
  for (const later of document.querySelectorAll("script[data-src]")) {
    add(later.dataset.src).onload = () => {
      if (!later.dataset.src.includes("/bundle.")) return
      document.dispatchEvent(new Event("DOMContentLoaded")) // the theme waits for it, and it is over
      for (const bar of document.querySelectorAll(".md-code__nav")) bar.role = "none" // no landmark
      for (const wide of document.querySelectorAll(".md-typeset__scrollwrap")) wide.tabIndex = 0
      if (sign.type === "keydown") sign.target.dispatchEvent(new KeyboardEvent("keydown", sign))
      if (document.getElementById("__search").checked) document.forms.search.query.focus()
    }
  }
}

// What helps a page in a folder stands beside this script, and comes before the theme.
if (location.protocol === "file:") add(new URL("folder.js", document.currentScript.src))
for (const name of signs) addEventListener(name, load, { capture: true, passive: true })
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", load)
setTimeout(load, 8000, {})
