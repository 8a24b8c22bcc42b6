// Only where the site is read from a folder: no server is there to turn `guide/` into its page.
for (const link of document.querySelectorAll("a[href]"))
  if (link.protocol === "file:" && link.pathname.endsWith("/")) link.pathname += "index.html"

// Nor may a page start a worker there. The theme gets one that lives in a hidden frame instead.
window.Worker = class extends EventTarget {
  constructor(address) {
    super()
    const frame = document.createElement("iframe")
    frame.hidden = true
    this.inside = new Promise((resolve) => {
      frame.onload = () => {
        const inside = frame.contentWindow
        inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
        const script = inside.document.createElement("script")
        script.src = address
        script.onload = () => resolve(inside)
        inside.document.body.append(script)
      }
    })
    document.body.append(frame)
  }

  async postMessage(data) {
    const inside = await this.inside
    inside.dispatchEvent(new inside.MessageEvent("message", { data }))
  }
}
