import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adviceIn, joinTokenFrom } from '../../shared/api.js';

test('an invitation is found in a link, a fragment, or by itself', () => {
  assert.equal(joinTokenFrom('https://face.example/#join=abc'), 'abc');
  assert.equal(joinTokenFrom('#join=a%2Bb'), 'a+b');
  assert.equal(joinTokenFrom('  abc '), 'abc');
  assert.equal(joinTokenFrom('#other=1'), '');
  assert.equal(joinTokenFrom(''), '');
});

test('advice is given on what is poor alone', () => {
  const lines = [
    { name: 'face', verdict: /** @type {const} */ ('fair'), advice: 'film closer' },
    { name: 'mouth covered', verdict: /** @type {const} */ ('poor'), advice: 'something seems to cover mouth or chin' },
    { name: 'doubt', verdict: /** @type {const} */ ('good'), advice: '' },
  ];
  assert.deepEqual(adviceIn({ lines }), ['something seems to cover mouth or chin']);
  assert.deepEqual(adviceIn({ lines: [] }), []);
  assert.deepEqual(adviceIn(null), []);
});
