// Loads the theme's scripts when a reader first does something, or after a while. A page reads whole
// without them, so nobody waits for them; a key pressed before they came is pressed again for them.
const signs = ["pointermove", "pointerdown", "touchstart", "keydown", "focusin", "scroll"]
let begun = false

const load = sign => {
  if (begun) return
  begun = true
  for (const later of document.querySelectorAll("script[data-src]")) {
    const script = document.createElement("script")
    script.async = false
    script.src = later.dataset.src
    script.onload = () => {
      if (sign.type === "keydown") sign.target.dispatchEvent(new KeyboardEvent("keydown", sign))
      if (document.getElementById("__search").checked) document.forms.search.query.focus()
    }
    later.replaceWith(script)
  }
}

for (const name of signs) addEventListener(name, load, { capture: true, passive: true })
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", load)
setTimeout(load, 8000, {})
