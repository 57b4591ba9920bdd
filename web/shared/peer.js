/**
 * One RTCPeerConnection to one session: made, connected, watched, closed.
 *
 * Every reconnection makes a new one. The server takes no trickled candidates, so the offer waits
 * until the browser has gathered its own.
 *
 * @typedef {(offer: RTCSessionDescriptionInit) => Promise<RTCSessionDescriptionInit>} Exchange sends an offer, returns the answer
 * @typedef {{
 *   configuration: RTCConfiguration, track: MediaStreamTrack | null, exchange: Exchange,
 *   onLost: (peer: Peer) => void, signal: AbortSignal,
 * }} PeerOptions
 */

const GATHERING_MS = 2000;
const CONNECTING_MS = 10000;
/** Chrome calls a hiccup `disconnected`; most are over by then. */
const DISCONNECTED_MS = 1500;

/** The exchange went well, but no path carries media: a firewall, or TURN is missing. */
export class BlockedError extends Error {
  constructor() {
    super('No connection for sound and picture came about.');
    this.name = 'BlockedError';
  }
}

/**
 * Resolve once a condition on a connection holds.
 *
 * @param {RTCPeerConnection} connection
 * @param {string} event
 * @param {() => boolean} holds
 * @param {number} timeoutMs
 * @param {AbortSignal} signal
 * @returns {Promise<boolean>} false: the time is over or the call was ended
 */
function until(connection, event, holds, timeoutMs, signal) {
  return new Promise((resolve) => {
    const check = () => { if (holds()) finish(true); };
    const giveUp = () => finish(false);
    const timer = setTimeout(giveUp, timeoutMs);
    /** @param {boolean} result */
    function finish(result) {
      clearTimeout(timer);
      connection.removeEventListener(event, check);
      signal.removeEventListener('abort', giveUp);
      resolve(result);
    }
    connection.addEventListener(event, check);
    signal.addEventListener('abort', giveUp);
    if (signal.aborted) giveUp();
    check();
  });
}

/** Fires `message` (detail: a message of the control channel) and `stream` (the picture's stream is there). */
export class Peer extends /** @type {import('../types.js').EventsClass<{message: import('../types.js').ControlMessage, stream: null}>} */ (EventTarget) {
  /** @type {MediaStream | null} */
  stream = null;
  #closed = false;

  /** @param {RTCConfiguration} configuration @param {MediaStreamTrack | null} track null: perhaps later @param {(peer: Peer) => void} onLost */
  constructor(configuration, track, onLost) {
    super();
    const connection = new RTCPeerConnection(configuration);
    this.connection = connection;
    this.microphone = connection.addTransceiver(track ?? 'audio', { direction: 'sendrecv' });
    const picture = connection.addTransceiver('video', { direction: 'recvonly' });
    this.receivers = { audio: this.microphone.receiver, video: picture.receiver };
    this.control = connection.createDataChannel('control');
    this.control.onmessage = (event) => this.#heard(event.data);
    connection.ontrack = (event) => {
      // The server's own stream, not one made here: Chrome keeps sound and picture in step only
      // for tracks that share the sender's stream.
      this.stream = event.streams[0] ?? this.stream ?? new MediaStream([event.track]);
      this.dispatchEvent(new CustomEvent('stream'));
    };
    this.onLost = onLost;
  }

  /**
   * @param {Exchange} exchange
   * @param {AbortSignal} signal
   */
  async connect(exchange, signal) {
    const { connection } = this;
    await connection.setLocalDescription();
    await until(connection, 'icegatheringstatechange',
      () => connection.iceGatheringState === 'complete', GATHERING_MS, signal);
    if (signal.aborted) return;
    const answer = await exchange(/** @type {RTCSessionDescription} */ (connection.localDescription));
    if (signal.aborted) return;
    await connection.setRemoteDescription(answer);
    const settled = () => ['connected', 'failed', 'closed'].includes(connection.connectionState);
    await until(connection, 'connectionstatechange', settled, CONNECTING_MS, signal);
    if (signal.aborted) return;
    if (connection.connectionState !== 'connected') throw new BlockedError();
    this.#watch();
  }

  /** Report a loss as soon as it is one: the browser's own verdict takes up to half a minute. */
  #watch() {
    const { connection } = this;
    let timer = 0;
    const lost = () => { if (!this.#closed) this.onLost(this); };
    connection.addEventListener('connectionstatechange', () => {
      clearTimeout(timer);
      if (connection.connectionState === 'failed') lost();
      if (connection.connectionState === 'disconnected') timer = setTimeout(lost, DISCONNECTED_MS);
    });
    // A server that goes in order closes the channel on its way out.
    this.control.addEventListener('close', lost);
  }

  /** @param {unknown} data */
  #heard(data) {
    if (typeof data !== 'string') return;
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (typeof message?.type === 'string') this.dispatchEvent(new CustomEvent('message', { detail: message }));
  }

  /** @param {MediaStreamTrack | null} track null: silence */
  async replaceTrack(track) {
    await this.microphone.sender.replaceTrack(track);
  }

  /** @returns {Promise<number>} video frames that have arrived so far */
  async framesReceived() {
    const report = await this.connection.getStats().catch(() => new Map());
    for (const entry of report.values()) {
      if (entry.type === 'inbound-rtp' && entry.kind === 'video') return entry.framesReceived ?? 0;
    }
    return 0;
  }

  close() {
    this.#closed = true;
    this.connection.close();
  }
}

/**
 * @param {PeerOptions} options
 * @returns {Promise<Peer>} connected, unless the signal ended the wait
 * @throws {BlockedError} and whatever the exchange throws
 */
export async function openPeer({ configuration, track, exchange, onLost, signal }) {
  const peer = new Peer(configuration, track, onLost);
  try {
    await peer.connect(exchange, signal);
  } catch (error) {
    peer.close();
    throw error;
  }
  return peer;
}
