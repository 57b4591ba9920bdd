import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError, UnreachableError } from '../../shared/api.js';
import { Call } from '../../shared/call.js';

const settle = () => new Promise((done) => { setImmediate(done); });

/** A call whose parts answer from scripts; an Error in a script is thrown, an empty script goes well. */
function callWith({ sessions = [], peers = [], microphone = [], probes = [], left = null } = {}) {
  const log = [];
  const states = [];
  const waits = [];
  const configurations = [];
  let made = 0;
  const next = (script, otherwise) => {
    const step = script.shift();
    if (step instanceof Error) throw step;
    return step ?? otherwise();
  };
  const call = new Call(/** @type {any} the parts are as much as a call uses */ ({
    api: {
      createSession: async (avatar, former) => next(sessions, () => { made += 1; log.push(`create ${avatar}${former ? ` after ${former.id}` : ''}`); return { id: `s${made}`, ice_servers: [] }; }),
      exchange: async () => ({ type: 'answer' }),
      connectivity: async () => next(probes, () => ({ ice_servers: ['fresh'], ice_transport_policy: 'all' })),
      switchAvatar: async (session, avatar) => { log.push(`switch ${session.id} ${avatar}`); },
      end: async (session) => { log.push(`end ${session.id}`); },
    },
    microphone: { open: async () => next(microphone, () => 'track'), close: () => log.push('microphone closed') },
    left,
    openPeer: async ({ onLost, configuration }) => next(peers, () => {
      configurations.push(configuration);
      const peer = { frames: 0, framesReceived: async () => peer.frames, close: () => log.push('peer closed'), lose: () => onLost(peer) };
      return peer;
    }),
    sleep: async (ms) => { waits.push(ms); await settle(); },
  }));
  call.addEventListener('state', ({ detail }) => states.push(detail));
  return { call, log, states, waits, configurations, names: () => states.map(({ state }) => state) };
}

/**
 * @param {Call} call
 * @returns {{frames: number, lose(): void}} the scripted peer in use
 */
const peerOf = (call) => /** @type {any} */ (call.peer);

/** @param {Call} call @param {string} state */
async function until(call, state) {
  for (let turn = 0; turn < 500 && call.state !== state; turn += 1) await settle();
  assert.equal(call.state, state);
}

const refused = new ApiError(404, { code: 'not_found' }, null);
const full = new ApiError(503, { code: 'unavailable', reason: 'full' }, 7);

test('a call asks, connects, lives, and ends its session', async () => {
  const { call, log, names } = callWith();
  await call.start('ada');
  await call.stop();
  assert.deepEqual(names(), ['asking', 'connecting', 'live', 'idle']);
  assert.deepEqual(log, ['create ada', 'microphone closed', 'peer closed', 'end s1']);
});

test('a full server is tried again after the time it asks for', async () => {
  const { call, states, waits } = callWith({ sessions: [full] });
  await call.start('ada');
  assert.deepEqual(waits, [7000]);
  assert.equal(states.find(({ state }) => state === 'failed').reason, 'full');
  assert.equal(call.state, 'live');
});

test('a refused microphone makes no session', async () => {
  const error = Object.assign(new Error('no', { cause: { name: 'NotAllowedError' } }), { name: 'MicrophoneError' });
  const { call, log, states } = callWith({ microphone: [error] });
  await call.start(null);
  assert.equal(states.at(-1).reason, 'microphone-refused');
  assert.deepEqual(log, ['microphone closed']);
});

test('a blocked connection gives the seat back', async () => {
  const { call, log, states } = callWith({ peers: [Object.assign(new Error(), { name: 'BlockedError' })] });
  await call.start('ada');
  assert.equal(states.at(-1).reason, 'blocked');
  assert.equal(log.at(-1), 'end s1');
});

test('a lost connection comes back to the same session', async () => {
  const { call, log } = callWith({ peers: [undefined, new UnreachableError(), new UnreachableError()] });
  await call.start('ada');
  peerOf(call).lose();
  peerOf(call).lose();
  await until(call, 'live');
  assert.deepEqual(log, ['create ada', 'peer closed']);
});

test('a new connection uses fresh credentials', async () => {
  const { call, configurations } = callWith();
  await call.start('ada');
  peerOf(call).lose();
  await until(call, 'live');
  assert.deepEqual(configurations.map(({ iceServers }) => iceServers), [[], ['fresh']]);
});

test('nothing is exchanged before the server answers again', async () => {
  const { call, log, configurations } = callWith({ probes: [new UnreachableError(), new UnreachableError()] });
  await call.start('ada');
  peerOf(call).lose();
  await until(call, 'live');
  assert.equal(configurations.length, 2);
  assert.deepEqual(log, ['create ada', 'peer closed']);
});

test('a refreshed page comes back to its session, with the face chosen since', async () => {
  const { call, log } = callWith({ left: { id: 'before', ice_servers: [] } });
  await call.start('ben');
  assert.equal(call.session.id, 'before');
  assert.deepEqual(log, ['switch before ben']);
  await call.stop();
  await call.start('ben');
  assert.equal(call.session.id, 's1');
});

test('a refreshed page whose session is gone makes a new one', async () => {
  const { call, log, names } = callWith({ left: { id: 'before', ice_servers: [] }, probes: [refused] });
  await call.start('ada');
  assert.deepEqual(log, ['create ada after before']);
  assert.deepEqual(names(), ['asking', 'connecting', 'live']);
});

test('leaving ends the connection and hands the session over', async () => {
  const { call, log } = callWith();
  await call.start('ada');
  assert.equal(call.leave().id, 's1');
  assert.equal(call.leave(), null);
  assert.deepEqual(log, ['create ada', 'microphone closed', 'peer closed', 'microphone closed']);
});

test('a session that is gone is replaced by a new one', async () => {
  const { call, log, states } = callWith({ probes: [refused] });
  await call.start('ada');
  peerOf(call).lose();
  await until(call, 'live');
  assert.deepEqual(log, ['create ada', 'create ada after s1', 'peer closed']);
  assert.ok(states.some(({ reason }) => reason === 'session-gone'));
});

test('an outage that heals by itself keeps the old connection', async () => {
  const { call, log } = callWith();
  await call.start('ada');
  const peer = peerOf(call);
  peer.lose();
  await settle();
  peer.frames = 9;
  await until(call, 'live');
  assert.equal(peerOf(call), peer);
  assert.deepEqual(log, ['create ada']);
});

test('reconnecting goes on until stop', async () => {
  const { call, states } = callWith({ peers: [undefined, ...Array(1000).fill(new UnreachableError())] });
  await call.start('ada');
  peerOf(call).lose();
  for (let turn = 0; turn < 300; turn += 1) await settle();
  assert.equal(call.state, 'reconnecting');
  assert.ok(states.at(-1).attempt > 20);
  await call.stop();
  const count = states.length;
  for (let turn = 0; turn < 20; turn += 1) await settle();
  assert.equal(states.length, count);
});

test('stop while the session is being made ends that session', async () => {
  const { call, log } = callWith();
  const started = call.start('ada');
  await Promise.resolve();
  await call.stop();
  await started;
  await settle();
  assert.equal(call.state, 'idle');
  assert.equal(call.session, null);
  assert.equal(log.filter((entry) => entry.startsWith('create')).length, log.filter((entry) => entry.startsWith('end')).length);
});
