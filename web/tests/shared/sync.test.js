import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Sync } from '../../shared/sync.js';

/** A browser whose buffers hold at least what the link needs, and at least what they are told. */
function browser(audioMs, videoMs) {
  const made = { needs: { audio: audioMs, video: videoMs }, audio: { jitterBufferTarget: null }, video: { jitterBufferTarget: null } };
  const held = (kind) => Math.max(made.needs[kind], made[kind].jitterBufferTarget ?? 0);
  made.offset = () => held('video') - held('audio');
  made.figures = () => ({ avOffsetHereMs: made.offset(), audioBufferMs: held('audio'), videoBufferMs: held('video') });
  return made;
}

function watch(sync, page, seconds) {
  for (let second = 0; second < seconds; second += 1) sync.correct(page.figures(), page);
}

test('sound waits for a picture that comes late, and no longer than it does', () => {
  const page = browser(40, 95);
  const sync = new Sync();
  watch(sync, page, 15);
  assert.ok(Math.abs(page.offset()) <= 8, `${page.offset()}`);
  assert.equal(page.video.jitterBufferTarget, null);
  page.needs.video = 20;
  watch(sync, page, 30);
  assert.ok(Math.abs(page.offset()) <= 20, `${page.offset()}`);
  assert.equal(page.audio.jitterBufferTarget, null);
});

test('a picture waits for sound that comes late', () => {
  const page = browser(60, 20);
  watch(new Sync(), page, 15);
  assert.ok(Math.abs(page.offset()) <= 8, `${page.offset()}`);
  assert.equal(page.audio.jitterBufferTarget, null);
});

test('what is close is left alone', () => {
  const page = browser(40, 46);
  watch(new Sync(), page, 15);
  assert.equal(page.audio.jitterBufferTarget, null);
  assert.equal(page.video.jitterBufferTarget, null);
});

test('one odd reading changes nothing', () => {
  const page = browser(40, 40);
  const sync = new Sync();
  for (const avOffsetHereMs of [2, 300, -1, 0, -250, 3]) sync.correct({ ...page.figures(), avOffsetHereMs }, page);
  assert.equal(page.audio.jitterBufferTarget, null);
  assert.equal(page.video.jitterBufferTarget, null);
});

test('a browser that does not say changes nothing', () => {
  const page = browser(40, 95);
  const sync = new Sync();
  for (let second = 0; second < 9; second += 1) sync.correct({ ...page.figures(), avOffsetHereMs: null }, page);
  assert.equal(page.audio.jitterBufferTarget, null);
});

test('nothing is held back for ever longer', () => {
  const page = browser(40, 40);
  const sync = new Sync();
  for (let second = 0; second < 200; second += 1) sync.correct({ ...page.figures(), avOffsetHereMs: 500 }, page);
  assert.equal(page.audio.jitterBufferTarget, 250);
});
