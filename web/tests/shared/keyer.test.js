import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cutOut } from '../../shared/keyer.js';

const cut = (...rgb) => {
  const pixel = Uint8ClampedArray.of(...rgb, 255);
  cutOut(pixel);
  return [...pixel];
};

test('the green of a backdrop goes', () => {
  for (const green of [[0, 175, 63], [0, 255, 0], [10, 160, 60]]) assert.equal(cut(...green)[3], 0);
});

test('skin, lips, hair, eyes and the mark stay as they are', () => {
  for (const colour of [[224, 172, 145], [150, 60, 60], [30, 24, 20], [90, 120, 100], [255, 255, 255], [0, 0, 0]]) {
    assert.deepEqual(cut(...colour), [...colour, 255]);
  }
});

test('an edge is soft, and takes no green along', () => {
  const alphas = Array.from({ length: 11 }, (_, step) => {
    const share = step / 10;
    const [r, g, b, a] = cut(150 * share, 110 * share + 175 * (1 - share), 90 * share + 63 * (1 - share));
    assert.ok(a === 255 || g <= Math.max(r, b) + 24);
    return a;
  });
  assert.deepEqual(alphas, [...alphas].sort((a, b) => a - b));
  assert.ok(alphas.some((alpha) => alpha > 0 && alpha < 255));
});
