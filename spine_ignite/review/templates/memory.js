"use strict";
// What was decided, by the file's name: kept in this browser under a digest of the sheet, and shared by its windows.
const memory = (() => {
  let key = "";
  let kept = {};
  let works = true;

  const read = () => {
    try {
      const found = JSON.parse(localStorage.getItem(key) ?? "{}");
      kept = found !== null && typeof found === "object" ? found : {};
    } catch {
      works = false;
    }
  };
  const open = (digest, changed) => {
    key = `spine-ignite-review:${digest}`;
    read();
    addEventListener("storage", (event) => {
      if (event.key === key || event.key === null) {
        read();
        changed();
      }
    });
  };
  const get = (file) => (Object.hasOwn(kept, file) ? kept[file] : {});
  const set = (file, entry) => {
    read(); // another window may have written
    Object.defineProperty(kept, file, { value: entry, enumerable: true, configurable: true, writable: true });
    try {
      localStorage.setItem(key, JSON.stringify(kept));
      works = true;
    } catch {
      works = false;
    }
    return works;
  };
  return { open, get, set, works: () => works };
})();
