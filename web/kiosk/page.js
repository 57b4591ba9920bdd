/** The kiosk page: connects its modules, starts by itself, and retries without end. */
import { Api } from '../shared/api.js';
import { fillScreen, hidePointer, keepAwake } from './awake.js';
import { paintBackdrop } from './backdrop.js';
import { Call } from '../shared/call.js';
import { drawCutOut } from '../shared/cut_out.js';
import { byId, remembered, storageNamed } from '../shared/dom.js';
import { OptionalMicrophone } from './optional_microphone.js';
import { Invitation } from '../shared/invitation.js';
import { kioskOptions } from './options.js';
import { Microphone } from '../shared/microphone.js';
import { Monitor } from '../shared/monitor.js';
import { openPeer } from '../shared/peer.js';
import { connectPushToTalk } from './push_to_talk.js';
import { Scene } from './scene.js';
import { ResumableSession } from '../shared/resume.js';
import { watch } from './watch.js';
import { endingOf, wordsFor } from '../shared/words.js';

const AGAIN_MS = 5000;
const SHOW_MS = 100;
const root = document.documentElement;
const options = kioskOptions(location.search);
const video = byId('face');
/** 'true' once the microphone was granted in this browser: the kiosk then starts without a touch. */
const granted = remembered(storageNamed('localStorage'), 'kiosk');

const api = new Api();
api.conversation = !options.mirror;
api.localAudio = options.devices === 'server';
new Invitation(api, storageNamed('localStorage')).take();
const hasMicrophone = options.talk !== 'off' && options.devices === 'browser';
const microphone = new OptionalMicrophone(hasMicrophone && navigator.mediaDevices ? new Microphone(navigator.mediaDevices) : null);
const resumable = new ResumableSession();
const call = new Call({ api, microphone, openPeer, left: resumable.take() });
const monitor = new Monitor(call, api);
const scene = new Scene(options, performance.now());

/** @param {string} text '' hides it */
function announce(text) {
  byId('banner').hidden = !text;
  byId('banner').textContent = text;
}

/** @param {boolean} recorded */
function tellRecording(recorded) {
  byId('recorded').hidden = !recorded;
}

function play() {
  video.muted = call.session?.local_audio?.includes('output') ?? false;
  video.play().catch(() => {
    // Some browsers play sound only after a touch: play it silently then.
    video.muted = true;
    byId('sound').hidden = false;
    video.play().catch(() => {});
  });
}

function hint() {
  const { mood } = root.dataset;
  if (options.talk === 'off' || mood === 'attract') return '';
  if (hasMicrophone && !microphone.track) return 'The microphone is missing.';
  if (mood === 'speaking') return options.talk === 'push' || options.mirror ? '' : hasMicrophone ? 'Speak or touch to interrupt' : 'Touch to interrupt';
  if (options.talk === 'push' || (options.mirror && mood !== 'quiet')) return '';
  return mood === 'listening' ? 'Listening' : mood === 'thinking' ? 'One moment' : 'Just start talking';
}

/** Show a text; an empty one fades the former out in its place. @param {HTMLElement} element @param {string} text */
function write(element, text) {
  element.classList.toggle('leaving', !text);
  if (!text || element.textContent === text) return;
  element.textContent = text;
  // Restart the animation for each line.
  element.style.animation = 'none';
  element.getBoundingClientRect();
  element.style.animation = '';
}

function show() {
  const { mood, line, visitor } = scene.view(performance.now());
  root.dataset.mood = mood;
  root.dataset.microphone = microphone.isOpen ? 'open' : 'closed';
  write(byId('line'), call.state === 'live' ? line : '');
  byId('visitor').hidden = !visitor;
  byId('visitor').textContent = visitor;
  byId('hint').textContent = hint();
  byId('level').style.setProperty('--level', microphone.level().toFixed(3));
}

/** @param {string} type of a control message */
function control(type) {
  const channel = call.peer?.control;
  if (channel?.readyState === 'open') channel.send(JSON.stringify({ type }));
}

function connectTalking() {
  if (options.talk === 'push') {
    microphone.mute(true);
    byId('push').hidden = false;
    connectPushToTalk(byId('push'), {
      press() { control('interrupt'); microphone.mute(false); byId('push-words').textContent = 'Let go to send'; },
      release() { microphone.mute(true); control('end_of_turn'); byId('push-words').textContent = 'Hold to talk'; },
    });
  }
  addEventListener('pointerdown', (event) => {
    scene.wake(performance.now());
    if (video.muted && !byId('sound').hidden) {
      video.muted = false;
      byId('sound').hidden = true;
    }
    if (root.dataset.mood === 'speaking' && event.target !== byId('push')) control('interrupt');
  });
}

function connectCall() {
  let again = 0;
  call.addEventListener('state', ({ detail }) => {
    const { state, reason = '', retryInMs = 0 } = detail;
    root.dataset.state = state;
    clearTimeout(again);
    if (state === 'live') {
      monitor.start();
      announce('');
      if (microphone.track) granted.set('true');
    } else {
      monitor.stop();
      scene.lose(performance.now());
    }
    if (state === 'reconnecting') announce('One moment: coming back …');
    if (state !== 'failed') return;
    announce(`${wordsFor(reason).title}. Trying again …`);
    if (!retryInMs) again = setTimeout(() => call.start(options.avatar), AGAIN_MS);
  });
  call.addEventListener('peer', ({ detail: peer }) => {
    const take = () => { video.srcObject = peer.stream; play(); };
    if (peer.stream) take();
    peer.addEventListener('stream', take);
    peer.addEventListener('message', ({ detail }) => {
      scene.hear(detail, performance.now());
      if (detail.type === 'recording_started') tellRecording(true);
      if (detail.type === 'recording_ended') tellRecording(false);
      if (detail.type !== 'ending') return;
      const { reason, seconds } = endingOf(detail);
      if (seconds > 0) announce(`The time for this conversation is over in ${Math.round(seconds)} seconds.`);
      else call.fail(reason);
    });
  });
  // Also of a recording that began before this page was there.
  monitor.addEventListener('figures', ({ detail: { server } }) => { if (server) tellRecording(server.recorded); });
  microphone.addEventListener('track', ({ detail: track }) => call.peer?.replaceTrack(track));
  addEventListener('online', () => call.hurry());
  addEventListener('pagehide', () => resumable.leave(call.leave()));
}

/** Show the face as the address asks, and behind it what it asks for. */
function dress() {
  const { fit, background, cut } = options;
  root.dataset.fit = fit;
  if (background) root.dataset.background = background === 'picture' ? 'picture' : 'colour';
  if (background.startsWith('#')) root.style.setProperty('--behind', background);
  if (!background) paintBackdrop(byId('backdrop'), video);
  if (!cut) return;
  root.dataset.cut = '';
  drawCutOut(video, byId('cut-out'));
}

/** Whether the microphone can be opened without a touch. */
async function isGranted() {
  if (!microphone.exists || granted.get() === 'true') return true;
  const permission = await navigator.permissions.query({ name: /** @type {PermissionName} */ ('microphone') }).catch(() => null);
  return permission !== null && permission.state !== 'prompt';
}

async function begin() {
  connectCall();
  connectTalking();
  byId('hears').textContent = hasMicrophone || options.devices === 'server' ? 'It hears you.' : '';
  setInterval(show, SHOW_MS);
  keepAwake();
  fillScreen();
  hidePointer();
  dress();
  if (!(await isGranted())) {
    byId('welcome').hidden = false;
    await new Promise((touched) => { byId('welcome').addEventListener('click', touched, { once: true }); });
    byId('welcome').hidden = true;
  }
  watch({ video, isLive: () => call.state === 'live', isIdle: () => root.dataset.mood === 'attract' });
  await call.start(options.avatar);
}

begin();
