import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kioskOptions } from '../../kiosk/options.js';

test('an address says what the kiosk is to be, and nonsense in it counts as not said', () => {
  const plain = kioskOptions('');
  assert.deepEqual([plain.avatar, plain.talk, plain.mirror, plain.captions, plain.idleMs, plain.devices],
    [null, 'open', false, true, 20_000, 'browser']);
  assert.ok(plain.invitations.length > 1);
  const asked = kioskOptions('?avatar=ada&talk=push&captions=off&idle=5&invite=One&invite=+&invite=Two&mirror');
  assert.deepEqual([asked.avatar, asked.talk, asked.mirror, asked.captions, asked.idleMs, asked.devices, asked.invitations],
    ['ada', 'push', true, false, 5000, 'browser', ['One', 'Two']]);
  const local = kioskOptions('?devices=server&talk=push');
  assert.deepEqual([local.devices, local.talk], ['server', 'open']);
  const odd = kioskOptions('?talk=shout&idle=-3&mirror=off&invite=');
  assert.deepEqual([odd.talk, odd.idleMs, odd.mirror, odd.invitations], ['open', 20_000, false, plain.invitations]);
  assert.equal(kioskOptions(`?${'invite=x&'.repeat(100)}`).invitations.length, 20);
});

test('an address says how the face fills the screen and what lies behind it', () => {
  /** @param {string} search */
  const look = (search) => { const { fit, background, cut } = kioskOptions(search); return [fit, background, cut]; };
  assert.deepEqual(look(''), ['contain', '', false]);
  assert.deepEqual(look('?fit=cover&background=FFaa00&cut'), ['cover', '#ffaa00', true]);
  assert.deepEqual(look('?fit=fill&background=picture&cut=off'), ['contain', 'picture', false]);
  assert.deepEqual(look('?background=url(x)'), ['contain', '', false]);
});
