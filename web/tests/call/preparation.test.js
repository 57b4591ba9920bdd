import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Preparation } from '../../call/preparation.js';

/** @param {import('../../types.js').AvatarBuild[]} builds */
function told(builds) {
  /** @type {string[]} */
  const lines = [];
  /** @type {string[]} */
  const asked = [];
  const api = {
    /** @type {import('../../shared/api.js').Api['followAvatar']} */
    async followAvatar(id, onChange) {
      asked.push(id);
      builds.forEach(onChange);
    },
  };
  return { lines, asked, preparation: new Preparation(api, (line) => lines.push(line), 1) };
}

test('who waits for a face is told how far it is', async () => {
  const { lines, preparation } = told([
    { state: 'building', progress: 0.256, message: null },
    { state: 'ready', progress: 1, message: null },
  ]);
  await preparation.watch('ben');
  assert.deepEqual(lines, ['Preparing this face for its first call: 26 %']);
});

test('a face that came soon is not asked about', async () => {
  const { asked, preparation } = told([]);
  const watched = preparation.watch('ben');
  preparation.stop();
  await watched;
  await preparation.watch(null);
  assert.deepEqual(asked, []);
});
