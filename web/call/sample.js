/** A recorded sentence that the face says, so that it can be seen and heard without a microphone. */
import { Speaker } from '../speaker.js';

const RATE_HZ = 24000;
const SENTENCE = '/static/call/sample.mp3';

export class Sample {
  /** @type {Promise<Float32Array> | null} */
  #samples = null;

  /** @param {import('../shared/api.js').Api} api */
  constructor(api) {
    this.api = api;
  }

  /**
   * Say the sentence in place of whatever the session says now.
   *
   * @param {import('../shared/api.js').Session} session
   * @throws {Error} if the sentence cannot be fetched or the server does not take it
   */
  async play(session) {
    this.#samples ??= this.#load();
    const samples = await this.#samples.catch((error) => { this.#samples = null; throw error; });
    await this.api.interrupt(session);
    const speaker = await Speaker.connect(location.origin, session.id, { token: session.token, rate: RATE_HZ });
    await speaker.say(samples);
    speaker.close(); // what was sent is still said
  }

  /** @returns {Promise<Float32Array>} mono, at RATE_HZ */
  async #load() {
    const file = await (await this.api.request(SENTENCE, { cache: 'default' })).arrayBuffer();
    const decoder = new OfflineAudioContext(1, 1, RATE_HZ);
    return (await decoder.decodeAudioData(file)).getChannelData(0);
  }
}
