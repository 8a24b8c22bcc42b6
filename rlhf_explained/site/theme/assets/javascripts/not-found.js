// For the page that a host shows at addresses where nothing is: takes the words of the address that
// was asked for, gives them to the site's search and shows what it finds. Without a script the page
// offers the chapters.
{
  const [asked, found] = ["asked", "found"].map((id) => document.getElementById(id));
  const [input, results] = ["query", "result"].map((name) =>
    document.querySelector(`[data-md-component="search-${name}"]`),
  );

  /** The address as a person writes it; it may be no valid UTF-8. */
  const readable = (path) => {
    try {
      return decodeURIComponent(path);
    } catch {
      return path;
    }
  };

  /** The words of the last part of an address that has any. */
  const wordsOf = (path) => {
    const parts = path.replace(/(index)?\.html?$/, "").split("/");
    const last = parts.reverse().find((part) => /\p{L}/u.test(part)) ?? "";
    return (last.match(/[\p{L}\p{N}]+/gu) ?? []).join(" ");
  };

  /** Ask the search, which takes what stands in its field when it is ready and when a key goes up. */
  const ask = (words) => {
    input.value = words;
    input.dispatchEvent(new Event("keyup"));
  };

  /** Show the first results, one link a page, or say that there are none. */
  const show = (_, observer) => {
    observer.disconnect(); // what is searched for from here on, the reader typed
    const links = [...results.querySelectorAll(".md-search-result__item > a:first-child")].slice(0, 5);
    found.querySelector("ol").replaceChildren(
      ...links.map((result) => {
        const [item, link] = ["li", "a"].map((name) => document.createElement(name));
        link.href = result.href.replace(/[?#].*/, ""); // without the words to be marked there
        link.textContent = result.querySelector("h1, h2").textContent;
        item.append(link);
        return item;
      }),
    );
    found.firstElementChild.textContent = links.length
      ? `The search looked for “${words}”, or nearly so, and found:`
      : `The search looked for “${words}” and found nothing like that either.`;
  };

  const path = readable(location.pathname);
  const words = wordsOf(path);
  asked.textContent = `at ${path}`;
  if (words && input && results) {
    // the search writes how much it has found into the first element of its results
    new MutationObserver(show).observe(results.firstElementChild, { childList: true });
    ask(words.replace(/\S{4,}/g, "$&~1")); // in the language of the search: one letter may be wrong
    // the theme's scripts wait for a sign of the reader; the address was one
    addEventListener("DOMContentLoaded", () => dispatchEvent(new Event("scroll")));
  }
}
