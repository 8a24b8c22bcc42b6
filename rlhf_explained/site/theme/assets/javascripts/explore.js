// A press loads an explorable as scripts: a folder allows no fetch.
window.explore = { at: document.currentScript.src, files: {}, data: {}, kinds: {} }

explore.load = file => explore.files[file] ??= new Promise((loaded, fail) => {
  const script = document.createElement("script")
  script.src = new URL(`../explore/${file}`, explore.at)
  script.onload = loaded
  script.onerror = () => explore.files[file] = fail()
  document.body.append(script)
})

for (const button of document.querySelectorAll(".explore > button")) {
  const said = button.nextElementSibling
  const press = async () => {
    button.onclick = null
    said.textContent = "Loading …"
    try {
      await Promise.all(button.value.split(" ").map(explore.load))
      await explore.kinds[button.name](button.parentNode)
      said.textContent = ""
      button.remove()
    } catch {
      said.textContent = "This did not load: the recorded result stands."
      button.onclick = press
    }
  }
  button.onclick = press
  button.hidden = false
}
