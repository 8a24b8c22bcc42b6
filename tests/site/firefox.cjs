// Opens pages in Firefox, over WebDriver BiDi, and prints what was seen in each, as JSON.
//   node firefox.cjs PATH_OF_FIREFOX ADDRESS …

const { launch } = require("puppeteer-core")

// What is drawn has an area; a font that is missing draws nothing.
const LOOK = () => {
  const drawn = e => { const { width, height } = e.getBoundingClientRect(); return width * height > 0 }
  const all = selector => [...document.querySelectorAll(selector)]
  return {
    title: document.querySelector("h1").textContent,
    figures: all("article figure svg, .cell-output svg").map(svg => drawn(svg) && all("svg text").some(drawn)),
    formulas: all("article math").filter(math => math.checkVisibility()).map(drawn),
    fonts: [...document.fonts].filter(font => font.status == "error").map(font => font.family),
    sideways: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  }
}

// Presses the button of each explorable; true for each whose live part has come.
const explored = async page => {
  const come = []
  for (const figure of await page.$$(".explore:has(> button)")) {
    await (await figure.$("button")).click()
    const gone = page.waitForFunction(e => !e.querySelector(":scope > button"), { timeout: 20000 }, figure)
    come.push(await gone.then(() => true, () => false))
  }
  return come
}

// Where answers can be chosen: eight choices and a training, by keyboard; what was said and shown.
const taught = async page => {
  if (!await page.$(".live .choice")) return null
  const text = selector => page.$eval(selector, e => e.textContent)
  await page.waitForSelector(".live .choice:focus")
  for (const key of "12341234") await page.keyboard.press(key)
  const chosen = await text(".live [role=status]")
  await page.focus(".live .md-button--primary")
  await page.keyboard.press("Enter")
  await page.waitForSelector(".live .numbers", { timeout: 300000 })
  return {
    chosen, trained: await text(".live [role=status]"),
    shares: await page.$$eval(".live .numbers:first-of-type tbody tr", rows => rows.map(row => [...row.cells].map(cell => cell.textContent))),
    curves: await page.$$eval(".live .chart polyline", all => all.map(e => e.getAttribute("points").split(" ").length)),
  }
}

// Where a press has begun a training: its end, what was said and drawn, and whether the focus is there.
const unleashed = async page => {
  const progress = await page.$(".live progress[aria-label='Rounds of practice']")
  if (!progress) return null
  await page.waitForFunction(e => e.hidden, { timeout: 600000 }, progress)
  return page.evaluate(e => {
    const live = e.closest(".live"), lines = [...live.querySelectorAll(".chart polyline:not([stroke-dasharray])")]
    return {
      said: live.querySelector("[role=status]").textContent,
      curves: lines.map(line => line.getAttribute("points").split(" ").length),
      focused: live.contains(document.activeElement),
    }
  }, progress)
}

const main = async (executablePath, addresses) => {
  const browser = await launch({ browser: "firefox", executablePath, headless: true })
  const seen = []
  for (const address of addresses) {
    const page = await browser.newPage()
    const wrong = []
    // Firefox also says so of a formula of which half has come yet: test_html.py counts the parts.
    const add = text => text.includes("Incorrect number of children") || wrong.push(text)
    page.on("console", message => ["error", "warn"].includes(message.type()) && add(message.text()))
    page.on("pageerror", error => add(String(error)))
    page.on("requestfailed", request => wrong.push(`failed: ${request.url()}`))
    page.on("response", response => response.ok() || wrong.push(`${response.status()}: ${response.url()}`))
    await page.goto(address, { waitUntil: "networkidle0" })
    await page.mouse.move(9, 9)
    await page.waitForSelector("html.js")
    const found = await page.evaluate(LOOK)
    seen.push({ address, wrong, ...found, explorables: await explored(page), lesson: await taught(page), leash: await unleashed(page) })
    await page.close()
  }
  await browser.close()
  console.log(JSON.stringify(seen))
}

main(process.argv[2], process.argv.slice(3))
