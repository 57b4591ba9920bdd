import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '../../shared/api.js';
import { examine } from '../../call/doctor.js';

/** Run an examination whose parts answer as told; return what was found and what was done. */
async function examined({ secure = true, microphone = 'granted', video = ['video/vp8'], refusal = null, blocked = false, relay = 0, servers = [] } = {}) {
  const log = [];
  const findings = [];
  const parts = {
    browser: {
      secure,
      microphone: async () => microphone,
      codecs: (kind) => (kind === 'audio' ? ['audio/opus'] : video),
      silence: () => ({ track: 'silence', close: () => log.push('silence closed') }),
      relay: async () => relay,
    },
    api: {
      createSession: async () => { if (refusal) throw refusal; return { ice_servers: servers, ice_transport_policy: 'all' }; },
      exchange: async () => ({}),
      end: async () => { log.push('ended'); },
    },
    openPeer: async () => {
      if (blocked) throw Object.assign(new Error(), { name: 'BlockedError' });
      return { close: () => log.push('peer closed') };
    },
  };
  for await (const finding of examine(/** @type {any} as much of them as is used */ (parts))) findings.push(finding);
  return { log, findings, bad: findings.filter(({ state }) => state === 'bad').map(({ step }) => step) };
}

test('what works is good, and the seat is given back', async () => {
  const { bad, log } = await examined({ servers: [{ urls: ['turn:a'] }, { urls: 'stun:b' }] });
  assert.deepEqual(bad, []);
  assert.deepEqual(log, ['peer closed', 'silence closed', 'ended']);
});

test('each fault is named by its step', async () => {
  assert.deepEqual((await examined({ secure: false })).bad, ['Microphone']);
  assert.deepEqual((await examined({ microphone: 'denied' })).bad, ['Microphone']);
  assert.deepEqual((await examined({ microphone: 'missing' })).bad, ['Microphone']);
  assert.deepEqual((await examined({ video: ['video/av1'] })).bad, ['Sound and picture formats']);
  assert.deepEqual((await examined({ refusal: new ApiError(503, { reason: 'full' }, 5) })).bad, ['Server']);
  assert.deepEqual((await examined({ blocked: true })).bad, ['Sound and picture (UDP)']);
  assert.deepEqual((await examined({ relay: 401, servers: [{ urls: 'turn:a' }] })).bad, ['Relay (TURN)']);
});

test('every fault says what to do, and a blocked check ends its session', async () => {
  const { findings, log } = await examined({ secure: false, blocked: true, relay: 701, servers: [{ urls: 'turns:a' }] });
  for (const { state, advice } of findings) assert.ok(state === 'good' || advice.length > 20);
  assert.equal(log.at(-1), 'ended');
});
