/** One viewer's connection by WHEP: made, watched, closed. */
import { ApiError, UnreachableError } from './api.js';

const GATHERING_MS = 2000;
const CONNECTING_MS = 10000;
const LOOK_MS = 1000;
/** Looks in a row that find no new picture. */
const STILL_LOOKS = 3;

/** @param {EventTarget} target @param {string} event @param {() => boolean} holds @param {number} timeoutMs */
function until(target, event, holds, timeoutMs) {
  return new Promise((resolve) => {
    const finish = () => { clearTimeout(timer); target.removeEventListener(event, check); resolve(holds()); };
    const check = () => { if (holds()) finish(); };
    const timer = setTimeout(finish, timeoutMs);
    target.addEventListener(event, check);
    check();
  });
}

/** @param {string} token '' where none is asked for @returns {Record<string, string>} headers */
export function authorization(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/**
 * @param {string} whep where the session is watched
 * @param {string} token '' where none is asked for
 * @param {RTCConfiguration} [configuration]
 * @returns {Promise<{stream: MediaStream, lost: Promise<void>, close: () => void}>}
 * @throws {ApiError | UnreachableError} if nothing can be watched there now
 */
export async function watch(whep, token, configuration = {}) {
  const peer = new RTCPeerConnection(configuration);
  try {
    return await open(peer, whep, token);
  } catch (error) {
    peer.close();
    throw error;
  }
}

/** @param {RTCPeerConnection} peer @param {string} whep @param {string} token */
async function open(peer, whep, token) {
  for (const kind of ['audio', 'video']) peer.addTransceiver(kind, { direction: 'recvonly' });
  /** @type {MediaStream | null} */
  let stream = null;
  // The server's own stream: sound and picture are kept in step only within one.
  peer.ontrack = (event) => { stream ??= event.streams[0] ?? new MediaStream([event.track]); };
  await peer.setLocalDescription();
  await until(peer, 'icegatheringstatechange', () => peer.iceGatheringState === 'complete', GATHERING_MS);
  const headers = { 'Content-Type': 'application/sdp', ...authorization(token) };
  const answer = await fetch(whep, { method: 'POST', headers, body: peer.localDescription?.sdp })
    .catch(() => { throw new UnreachableError(); });
  if (!answer.ok) throw new ApiError(answer.status, (await answer.json().catch(() => null))?.error ?? {}, null);
  await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  const resource = new URL(answer.headers.get('Location') ?? '', new URL(whep, location.href));
  const settled = () => ['connected', 'failed', 'closed'].includes(peer.connectionState);
  await until(peer, 'connectionstatechange', settled, CONNECTING_MS);
  if (peer.connectionState !== 'connected' || !stream) throw new UnreachableError();
  const close = () => {
    peer.close();
    fetch(resource, { method: 'DELETE', headers: authorization(token), keepalive: true }).catch(() => {});
  };
  return { stream, lost: lossOf(peer), close };
}

/** Resolve once no pictures come any more, whatever the connection says about itself. @param {RTCPeerConnection} peer */
function lossOf(peer) {
  return /** @type {Promise<void>} */ (new Promise((resolve) => {
    let seen = -1;
    let still = 0;
    const timer = setInterval(async () => {
      const frames = await framesReceived(peer);
      still = frames === seen ? still + 1 : 0;
      seen = frames;
      if (still < STILL_LOOKS && !['failed', 'closed'].includes(peer.connectionState)) return;
      clearInterval(timer);
      resolve();
    }, LOOK_MS);
  }));
}

/** @param {RTCPeerConnection} peer */
async function framesReceived(peer) {
  const report = await peer.getStats().catch(() => new Map());
  for (const entry of report.values()) {
    if (entry.type === 'inbound-rtp' && entry.kind === 'video') return entry.framesReceived ?? 0;
  }
  return 0;
}
