// Escape puts away the definition of a term, pointed at or focused; turning to another brings back.
addEventListener("keydown", event => {
  if (event.key == "Escape") document.documentElement.classList.add("undefined")
})
for (const turn of ["focusin", "pointerover"])
  addEventListener(turn, event => {
    if (event.target.closest(".term > a")) document.documentElement.classList.remove("undefined")
  })
