import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '../../shared/api.js';
import { endingOf, reasonOf, wordsFor } from '../../shared/words.js';

test('every reason has words', () => {
  assert.equal(reasonOf(new ApiError(503, { code: 'unavailable', reason: 'full' }, 7)), 'full');
  assert.equal(reasonOf(new ApiError(503, { reason: 'constructor' }, null)), 'unavailable');
  assert.equal(reasonOf(new ApiError(422, { message: 'No.' }, null)), 'refused');
  assert.equal(wordsFor('refused', 'No.').text, 'No.');
  assert.equal(reasonOf(new ApiError(429, { code: 'rate_limited' }, 3)), 'unavailable');
  assert.equal(reasonOf(new ApiError(503, { reason: 'invitation_in_use' }, 5)), 'invitation_in_use');
  assert.equal(reasonOf(new TypeError('x')), 'failed');
});

test('each limit that ends a call is said in its own words', () => {
  const titles = ['longest_call', 'idle', 'revoked'].map((reason) => {
    assert.deepEqual(endingOf({ type: 'ending', reason, seconds: 0 }), { reason, seconds: 0 });
    return wordsFor(reason).title;
  });
  assert.equal(new Set([...titles, wordsFor('failed').title]).size, 4);
  assert.deepEqual(endingOf({ type: 'ending', reason: 'constructor', seconds: '9' }), { reason: 'longest_call', seconds: 0 });
});
