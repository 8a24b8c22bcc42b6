// Only where the site is read from a folder: no server is there to turn `guide/` into its page.
for (const link of document.querySelectorAll("a[href]"))
  if (link.protocol === "file:" && link.pathname.endsWith("/")) link.pathname += "index.html"
