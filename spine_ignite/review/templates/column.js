"use strict";
// Names along a column: what the other vertebrae are called if one of them is another level.
const column = (() => {
  const order = ["L6", "L5", "L4", "L3", "L2", "L1", "T13"];
  for (let n = 12; n > 0; n -= 1) order.push(`T${n}`);
  for (let n = 7; n > 0; n -= 1) order.push(`C${n}`);

  // Names are those from the lowest up; the one at `place` becomes `level`. Without a T13 and an L6 that are asked for
  // there are none, but where the vertebrae below need an L6. What would lie below the lowest level has no name.
  const renamed = (names, place, level) => {
    if (names[place] === level || !order.includes(level)) return names.map((name, n) => (n === place ? level : name));
    const plain = order.filter((name) => name === level || !["L6", "T13"].includes(name));
    const lacking = plain.indexOf(level) < place && level !== "L6";
    const used = lacking && !plain.includes("L6") ? ["L6", ...plain] : plain;
    const start = used.indexOf(level) - place;
    return names.map((_, n) => used[start + n] ?? "?");
  };
  return { renamed };
})();

// RAS+ mm of a point (x, y) of a picture, in its pixels: along the left edge by knots, and then across.
const inMillimetres = (svg, x, y) => {
  const knots = svg.dataset.knots.split(";").map((knot) => knot.split(",").map(Number));
  const across = svg.dataset.across.split(",").map(Number);
  const height = Math.min(Math.max(y / Number(svg.dataset.step), 0), knots.length - 1);
  const below = Math.min(Math.floor(height), knots.length - 2);
  return [0, 1, 2].map((axis) => {
    const edge = knots[below][axis] + (height - below) * (knots[below + 1][axis] - knots[below][axis]);
    return Math.round(10 * (edge + x * across[axis])) / 10;
  });
};
