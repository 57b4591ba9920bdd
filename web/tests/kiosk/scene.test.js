import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kioskOptions } from '../../kiosk/options.js';
import { Scene } from '../../kiosk/scene.js';

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
