// Weights of Sphinx's search (its own), and one rule more: a page whose title begins with what was asked for comes first,
// so that "Theorem 4.2" finds the page of Theorem 4.2 and not every page that holds a theorem, a 4 and a 2.
var Scorer = {
  score: ([, title, , , score]) => {
    const asked = (new URLSearchParams(window.location.search).get("q") || "").trim().toLowerCase();
    const found = title.toLowerCase();
    return score + (asked && found.startsWith(asked) ? (found.startsWith(asked + ":") ? 200 : 100) : 0);
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
