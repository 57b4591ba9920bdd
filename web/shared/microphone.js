/**
 * The microphone: which one, how it is processed, how loud it is.
 *
 * @typedef {{echoCancellation: boolean, noiseSuppression: boolean, autoGainControl: boolean}} Processing
 */
import { levelOf } from './verdicts.js';

/** The browser's refusal is the cause; its name tells what happened. */
export class MicrophoneError extends Error {
  /** @param {unknown} cause */
  constructor(cause) {
    super('The microphone could not be opened.', { cause });
    this.name = 'MicrophoneError';
  }
}

/** Fires `track` (detail: the MediaStreamTrack now in use) and `devices`. */
export class Microphone extends /** @type {import('../types.js').EventsClass<{track: MediaStreamTrack, devices: null}>} */ (EventTarget) {
  deviceId = '';
  /** @type {Processing} */
  processing = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  muted = false;
  /** @type {MediaStream | null} */
  #stream = null;
  /** @type {{context: AudioContext, source: MediaStreamAudioSourceNode, analyser: AnalyserNode, samples: Float32Array<ArrayBuffer>} | null} */
  #meter = null;
  /** Counts openings and closings, so that a slow answer to an old question is thrown away. */
  #generation = 0;

  /** @param {MediaDevices} devices */
  constructor(devices) {
    super();
    this.devices = devices;
    devices.addEventListener('devicechange', () => this.dispatchEvent(new CustomEvent('devices')));
  }

  /** @returns {MediaStreamTrack | null} */
  get track() {
    return this.#stream?.getAudioTracks()[0] ?? null;
  }

  /**
   * @returns {Promise<MediaStreamTrack>} the open track, opened now if need be
   * @throws {MicrophoneError}
   */
  async open() {
    if (this.track?.readyState !== 'live') await this.#acquire();
    return /** @type {MediaStreamTrack} */ (this.track);
  }

  /** @returns {Promise<MediaDeviceInfo[]>} without names before the first permission */
  async list() {
    return (await this.devices.enumerateDevices()).filter((device) => device.kind === 'audioinput');
  }

  /** Use another device, at once if one is open. @param {string} deviceId '' for the system's choice */
  async choose(deviceId) {
    this.deviceId = deviceId;
    if (this.#stream) await this.#acquire();
  }

  /** Change the processing, at once if the microphone is open. @param {Partial<Processing>} change */
  async process(change) {
    Object.assign(this.processing, change);
    const { track } = this;
    if (!track) return;
    await track.applyConstraints({ ...track.getConstraints(), ...this.processing }).catch(() => {});
    // Chrome accepts the wish and keeps the old processing, and so does a second track beside the
    // first: only one opened after the old was stopped has the new processing.
    const settings = /** @type {Record<string, unknown>} */ (track.getSettings());
    const unheard = Object.entries(change).some(([name, wanted]) => name in settings && Boolean(settings[name]) !== wanted);
    if (!unheard) return;
    track.stop();
    await this.#acquire();
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.muted = muted;
    if (this.track) this.track.enabled = !muted;
  }

  /** @returns {{level: number, clipped: boolean}} of the last 20 ms or so; 0..1 */
  level() {
    if (!this.#meter) return { level: 0, clipped: false };
    this.#meter.analyser.getFloatTimeDomainData(this.#meter.samples);
    return levelOf(this.#meter.samples);
  }

  close() {
    this.#generation += 1;
    this.#drop(this.#stream);
    this.#stream = null;
    this.#meter?.context.close();
    this.#meter = null;
  }

  async #acquire() {
    this.#generation += 1;
    const generation = this.#generation;
    const stream = await this.#ask();
    if (generation !== this.#generation) {
      this.#drop(stream);
      throw new MicrophoneError(new DOMException('Closed while opening.', 'AbortError'));
    }
    const former = this.#stream;
    this.#stream = stream;
    this.#drop(former);
    const track = /** @type {MediaStreamTrack} */ (this.track);
    track.enabled = !this.muted;
    // Unplugged: go on with what the system has, rather than with silence.
    track.addEventListener('ended', () => { if (track === this.track) this.choose('').catch(() => {}); });
    this.#listen(stream);
    this.dispatchEvent(new CustomEvent('track', { detail: track }));
    this.dispatchEvent(new CustomEvent('devices'));
  }

  /** @returns {Promise<MediaStream>} */
  async #ask() {
    const audio = { ...this.processing, channelCount: { ideal: 1 } };
    const exact = this.deviceId ? { deviceId: { exact: this.deviceId } } : {};
    try {
      return await this.devices.getUserMedia({ audio: { ...audio, ...exact } });
    } catch (error) {
      const refusal = error instanceof DOMException ? error.name : '';
      const chosenIsGone = this.deviceId && ['OverconstrainedError', 'NotFoundError'].includes(refusal);
      if (!chosenIsGone) throw new MicrophoneError(error);
      this.deviceId = '';
      return this.#ask();
    }
  }

  /** @param {MediaStream} stream */
  #listen(stream) {
    if (!this.#meter) {
      const context = new AudioContext();
      const analyser = new AnalyserNode(context, { fftSize: 1024 });
      this.#meter = { context, analyser, samples: new Float32Array(1024), source: context.createMediaStreamSource(stream) };
    } else {
      this.#meter.source.disconnect();
      this.#meter.source = this.#meter.context.createMediaStreamSource(stream);
    }
    this.#meter.source.connect(this.#meter.analyser);
    this.#meter.context.resume().catch(() => {});
  }

  /** @param {MediaStream | null} stream */
  #drop(stream) {
    for (const track of stream?.getTracks() ?? []) track.stop();
  }
}
