"use strict";
// The table that is downloaded: as the program itself writes tables, so that it reads back what was written.
const table = (() => {
  const hidden = /[^ \P{C}]|[^ \P{Z}]/gu; // control characters, and what reorders or hides text
  const formula = /^[' ]*[=+\-@\uff1d\uff0b\uff0d\uff20]/u;
  const escape = (character) => {
    const code = character.codePointAt(0);
    const known = { 9: "\\t", 10: "\\n", 13: "\\r" }[code];
    if (known) return known;
    const [mark, digits] = code < 0x100 ? ["\\x", 2] : code < 0x10000 ? ["\\u", 4] : ["\\U", 8];
    return mark + code.toString(16).padStart(digits, "0");
  };

  // A cell is text that a spreadsheet does not compute, or a figure.
  const cell = (value) => {
    if (typeof value === "number") return String(value);
    let text = String(value ?? "").replace(hidden, escape);
    if (formula.test(text)) text = `'${text}`;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const write = (columns, rows) => [columns, ...rows].map((row) => `${row.map(cell).join(",")}\n`).join("");
  return { write };
})();
