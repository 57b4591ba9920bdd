/** Makes a green background transparent: RGBA pixels, changed in place. Pure. */

/** How far green lies above red and blue: below the first a pixel stays, above the second it goes. */
const STAYS = 24;
const GOES = 96;

/**
 * Make a picture's green background transparent, softly at its edge, and take the green light off what stays.
 *
 * @param {Uint8ClampedArray} rgba written to
 */
export function cutOut(rgba) {
  for (let at = 0; at < rgba.length; at += 4) {
    const other = Math.max(rgba[at], rgba[at + 2]);
    const green = rgba[at + 1] - other;
    if (green <= STAYS) continue;
    rgba[at + 1] = other + STAYS;
    rgba[at + 3] = green >= GOES ? 0 : Math.round((255 * (GOES - green)) / (GOES - STAYS));
  }
}
