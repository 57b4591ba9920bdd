import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pcmOf, Speaker, SpeakerClosedError } from '../speaker.js';

const settle = () => new Promise((done) => { setTimeout(done, 0); });

/** The server's end, played by the test. */
class Socket extends EventTarget {
  /** @type {Socket} the one made last */
  static last;
  /** @type {string} */
  url;
  /** @type {string[]} */
  protocols;
  bufferedAmount = 0;
  /** @type {(string | Uint8Array)[]} */
  sent = [];
  constructor(url, protocols) {
    super();
    Object.assign(this, { url, protocols });
    Socket.last = this;
  }
  send(data) { this.sent.push(typeof data === 'string' ? data : data.slice()); }
  close(code) { this.end(code, ''); }
  open() { this.dispatchEvent(new Event('open')); }
  tell(event) { this.dispatchEvent(Object.assign(new Event('message'), { data: JSON.stringify(event) })); }
  end(code, reason) { this.dispatchEvent(Object.assign(new Event('close'), { code, reason })); }
  get bytes() { return this.sent.filter((data) => typeof data !== 'string').reduce((sum, data) => sum + data.length, 0); }
  get messages() { return this.sent.filter((data) => typeof data === 'string').map((data) => JSON.parse(data).type); }
}

async function connected(options = {}) {
  const connecting = Speaker.connect('https://face.example/', 'a b', { WebSocket: /** @type {any} */ (Socket), ...options });
  const socket = Socket.last;
  socket.open();
  return { speaker: await connecting, socket };
}

test('it asks as the API says, the token never in the address', async () => {
  const { socket } = await connected({ token: 'secret', rate: 24000 });
  assert.equal(socket.url, 'wss://face.example/api/sessions/a%20b/audio?rate=24000');
  assert.deepEqual(socket.protocols, ['lipstream.v1', 'bearer.secret']);
  const local = await connected();
  assert.deepEqual(local.socket.protocols, ['lipstream.v1']);
});

test('sound is sent as far as the credit goes, and goes on with it', async () => {
  const { speaker, socket } = await connected();
  const sound = Uint8Array.from({ length: 30_000 }, (_, index) => index % 251);
  let done = false;
  const saying = speaker.say(sound).then(() => { done = true; });
  await settle();
  assert.equal(socket.bytes, 0);
  socket.tell({ type: 'credit', until: 10_001 });
  await settle();
  assert.equal(socket.bytes, 10_001);
  assert.equal(done, false);
  socket.tell({ type: 'credit', until: 50_000 });
  await saying;
  const whole = Buffer.concat(socket.sent.map((data) => Buffer.from(data)));
  assert.deepEqual(new Uint8Array(whole), sound);
});

test('one sound follows the other, and the end of speech both', async () => {
  const { speaker, socket } = await connected();
  speaker.say(new Int16Array([1, 2]));
  speaker.say(new Int16Array([3]));
  speaker.endOfSpeech();
  socket.tell({ type: 'credit', until: 1000 });
  await settle();
  assert.deepEqual([...Buffer.concat(socket.sent.slice(0, 2).map((data) => Buffer.from(data)))], [1, 0, 2, 0, 3, 0]);
  assert.deepEqual(socket.messages, ['end_of_speech']);
});

test('an interruption overtakes what waits, which is never sent', async () => {
  const { speaker, socket } = await connected();
  const cut = speaker.say(new Uint8Array(20_000));
  const after = speaker.say(new Uint8Array(20_000));
  socket.tell({ type: 'credit', until: 5000 });
  await settle();
  speaker.interrupt();
  await Promise.all([cut, after]);
  assert.equal(socket.bytes, 5000);
  assert.deepEqual(socket.messages, ['interrupt']);
  socket.tell({ type: 'credit', until: 100_000 });
  await speaker.say(new Uint8Array(100));
  assert.equal(socket.bytes, 5100);
});

test('the browser\'s own buffer holds little, so that an interruption comes soon', async () => {
  const { speaker, socket } = await connected();
  socket.tell({ type: 'credit', until: 1_000_000 });
  socket.bufferedAmount = 70_000;
  const saying = speaker.say(new Uint8Array(1000));
  await settle();
  assert.equal(socket.bytes, 0);
  socket.bufferedAmount = 0;
  await saying;
  assert.equal(socket.bytes, 1000);
});

test('events are told, texts are said, and the end is an error for a program that speaks', async () => {
  const { speaker, socket } = await connected();
  const events = [];
  speaker.addEventListener('event', ({ detail }) => events.push(detail));
  socket.tell({ type: 'playout', sample: 5, heard_ms: 1 });
  socket.tell({ type: 'credit', until: 5 });
  assert.deepEqual(events, [{ type: 'playout', sample: 5, heard_ms: 1 }]);
  speaker.sayText('Hello.');
  assert.deepEqual(JSON.parse(String(socket.sent[0])), { type: 'say', text: 'Hello.' });
  const saying = speaker.say(new Uint8Array(100));
  await settle();
  socket.end(4409, '');
  await assert.rejects(saying, (error) => error instanceof SpeakerClosedError && error.code === 4409);
  await assert.rejects(speaker.say(new Uint8Array(1)), SpeakerClosedError);
  assert.throws(() => speaker.interrupt(), SpeakerClosedError);
  assert.ok(speaker.isClosed);
});

test('a server that refuses is an error of connect', async () => {
  const connecting = Speaker.connect('http://127.0.0.1:1', 'x', { WebSocket: /** @type {any} */ (Socket) });
  Socket.last.end(1006, '');
  await assert.rejects(connecting, SpeakerClosedError);
});

test('samples become s16le whatever they are', () => {
  assert.deepEqual([...pcmOf(new Int16Array([1, -2, 32767]))], [1, 0, 254, 255, 255, 127]);
  assert.deepEqual([...pcmOf(new Float32Array([0, 1, -1, 2, NaN]))], [0, 0, 255, 127, 1, 128, 255, 127, 0, 0]);
});
