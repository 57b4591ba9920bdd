import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kioskOptions } from '../../kiosk/options.js';
import { Scene } from '../../kiosk/scene.js';
import { OLD_MS, STILL_MS, STRANDED_MS, Watchdog } from '../../kiosk/watchdog.js';

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

/** @param {Partial<import('../../kiosk/options.js').KioskOptions>} [more] */
const scene = (more) => new Scene({ ...kioskOptions('?idle=10&invite=Hello&invite=Come'), ...more }, 0);

test('a conversation is shown as it goes: heard, thought about, answered, read', () => {
  const shown = scene();
  shown.hear({ type: 'listening' }, 100);
  assert.equal(shown.view(150).mood, 'listening');
  shown.hear({ type: 'heard' }, 1000);
  shown.hear({ type: 'thinking' }, 1000);
  shown.hear({ type: 'transcript', text: 'What time is it?' }, 1200);
  assert.deepEqual(shown.view(1300), { mood: 'thinking', line: '', visitor: 'What time is it?' });
  shown.hear({ type: 'caption', text: 'It is noon.' }, 1500);
  shown.hear({ type: 'speech_started' }, 1520);
  assert.deepEqual(shown.view(1600), { mood: 'speaking', line: 'It is noon.', visitor: 'What time is it?' });
  shown.hear({ type: 'speech_ended' }, 3000);
  assert.equal(shown.view(4000).line, 'It is noon.', 'it can still be read');
  assert.deepEqual(shown.view(6000), { mood: 'quiet', line: '', visitor: 'What time is it?' });
  assert.equal(shown.view(9300).visitor, '');
});

test('an interruption takes the words away at once, and the visitor keeps the turn', () => {
  const shown = scene();
  shown.hear({ type: 'caption', text: 'It is' }, 0);
  shown.hear({ type: 'listening' }, 500);
  shown.hear({ type: 'interrupted' }, 510);
  assert.deepEqual(shown.view(520), { mood: 'listening', line: '', visitor: '' });
  shown.hear({ type: 'speech_ended' }, 700);
  assert.equal(shown.view(710).mood, 'listening');
});

test('invitations come by turns when nobody is there, and go when somebody is', () => {
  const shown = scene();
  assert.equal(shown.view(9_000).mood, 'quiet');
  assert.deepEqual(shown.view(10_000), { mood: 'attract', line: 'Hello', visitor: '' });
  assert.equal(shown.view(17_000).line, 'Come');
  assert.equal(shown.view(24_000).line, 'Hello');
  shown.wake(25_000);
  assert.equal(shown.view(25_000).mood, 'quiet');
  shown.hear({ type: 'caption', text: 'A long story.' }, 26_000);
  assert.equal(shown.view(60_000).mood, 'speaking');
});

test('no answer, a failed one and a lost one leave nobody waiting', () => {
  for (const event of [{ type: 'no_answer' }, { type: 'error', message: 'The agent failed.' }]) {
    const shown = scene();
    shown.hear({ type: 'thinking' }, 0);
    shown.hear(event, 1000);
    assert.equal(shown.view(1001).mood, 'quiet');
    assert.equal(shown.view(1001).line, event.message ?? '');
    assert.equal(shown.view(9000).line, '');
  }
  const lost = scene();
  lost.hear({ type: 'thinking' }, 0);
  assert.equal(lost.view(44_000).mood, 'thinking');
  assert.notEqual(lost.view(46_000).mood, 'thinking');
  const cut = scene();
  cut.hear({ type: 'caption', text: 'It is' }, 0);
  cut.lose(10);
  assert.deepEqual(cut.view(20), { mood: 'quiet', line: '', visitor: '' });
});

test('without captions nothing is shown of what is said, and invitations are', () => {
  const shown = scene({ captions: false });
  shown.hear({ type: 'caption', text: 'It is noon.' }, 0);
  assert.equal(shown.view(10).line, '');
  shown.hear({ type: 'speech_ended' }, 1000);
  assert.equal(shown.view(12_000).line, 'Hello');
});

const healthy = { live: true, visible: true };

test('the watchdog leaves a page that works alone', () => {
  const watchdog = new Watchdog(0);
  for (let second = 0; second < 7200; second += 1) {
    watchdog.note({ ...healthy, frames: 25 * second }, 1000 * second);
    assert.equal(watchdog.verdict(1000 * second, { idle: true }), '');
  }
});

test('it loads anew what is stranded, still, faulty, or old and idle', () => {
  const stranded = new Watchdog(0);
  stranded.note({ ...healthy, live: false, frames: 0 }, STRANDED_MS - 1);
  assert.equal(stranded.verdict(STRANDED_MS - 1, { idle: false }), '');
  assert.equal(stranded.verdict(STRANDED_MS, { idle: false }), 'stranded');

  const still = new Watchdog(0);
  still.note({ ...healthy, frames: 7 }, 1000);
  still.note({ ...healthy, frames: 7 }, 1000 + STILL_MS);
  assert.equal(still.verdict(1000 + STILL_MS, { idle: false }), 'still');
  const hidden = new Watchdog(0);
  hidden.note({ ...healthy, visible: false, frames: 7 }, 1000 + STILL_MS);
  assert.equal(hidden.verdict(1000 + STILL_MS, { idle: false }), '');

  const faulty = new Watchdog(0);
  for (const atMs of [0, 40_000, 90_000]) faulty.fault(atMs);
  assert.equal(faulty.verdict(90_000, { idle: false }) === 'faults', false, 'three in a minute, not in an hour');
  for (const atMs of [90_001, 90_002]) faulty.fault(atMs);
  assert.equal(faulty.verdict(90_003, { idle: false }), 'faults');

  const old = new Watchdog(0);
  old.note({ ...healthy, frames: 1 }, OLD_MS);
  assert.equal(old.verdict(OLD_MS, { idle: false }), '');
  assert.equal(old.verdict(OLD_MS, { idle: true }), 'old');
});

test('a page that helps nobody is loaded ever more seldom, and trusted again after an hour', () => {
  let nowMs = 0;
  /** @type {number[]} */
  let reloads = [];
  const waits = [];
  for (let count = 0; count < 8; count += 1) {
    const watchdog = new Watchdog(nowMs, reloads);
    const bornMs = nowMs;
    for (let fault = 0; fault < 3; fault += 1) watchdog.fault(nowMs);
    while (!watchdog.verdict(nowMs, { idle: false })) nowMs += 1000;
    waits.push((nowMs - bornMs) / 1000);
    reloads = watchdog.reloading(nowMs);
  }
  assert.deepEqual(waits, [0, 60, 120, 240, 480, 960, 960, 960]);
  const trusted = new Watchdog(nowMs + 3600_000, reloads);
  for (let fault = 0; fault < 3; fault += 1) trusted.fault(nowMs + 3600_000);
  assert.equal(trusted.verdict(nowMs + 3600_001, { idle: false }), 'faults');
});
