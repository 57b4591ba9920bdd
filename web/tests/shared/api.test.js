import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinTokenFrom } from '../../shared/api.js';

test('an invitation is found in a link, a fragment, or by itself', () => {
  assert.equal(joinTokenFrom('https://face.example/#join=abc'), 'abc');
  assert.equal(joinTokenFrom('#join=a%2Bb'), 'a+b');
  assert.equal(joinTokenFrom('  abc '), 'abc');
  assert.equal(joinTokenFrom('#other=1'), '');
  assert.equal(joinTokenFrom(''), '');
});
