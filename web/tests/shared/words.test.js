import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '../../shared/api.js';
import { reasonOf, wordsFor } from '../../shared/words.js';

test('every reason has words', () => {
  assert.equal(reasonOf(new ApiError(503, { code: 'unavailable', reason: 'full' }, 7)), 'full');
  assert.equal(reasonOf(new ApiError(503, { reason: 'constructor' }, null)), 'unavailable');
  assert.equal(reasonOf(new ApiError(422, { message: 'No.' }, null)), 'refused');
  assert.equal(wordsFor('refused', 'No.').text, 'No.');
  assert.equal(reasonOf(new TypeError('x')), 'failed');
});
