/**
 * What a kiosk shows beside the face: who speaks, what is said, and what invites when nobody does. Pure: the time is
 * handed in, and what to show comes out.
 *
 * @typedef {'attract' | 'quiet' | 'listening' | 'thinking' | 'speaking'} Mood
 * @typedef {{mood: Mood, line: string, visitor: string}} View
 */

/** A sentence stays to be read for a while after it was heard. */
const READ_MS = 2500;
const INVITATION_MS = 7000;
/** A thought that takes so long has been lost. */
const THOUGHT_MS = 45_000;
const VISITOR_MS = 8000;

export class Scene {
  /** @type {Mood} */
  #mood = 'quiet';
  #line = { text: '', untilMs: 0 };
  #visitor = { text: '', untilMs: 0 };
  #livelyMs;
  #sinceMs;
  #options;

  /** @param {{idleMs: number, invitations: string[], captions: boolean}} options @param {number} nowMs */
  constructor(options, nowMs) {
    this.#options = options;
    this.#livelyMs = this.#sinceMs = nowMs;
  }

  /** Somebody is there: they touched the screen, or a conversation began. @param {number} nowMs */
  wake(nowMs) {
    this.#livelyMs = nowMs;
  }

  /**
   * Take in what the server tells.
   *
   * @param {{type: string, text?: unknown, message?: unknown}} event
   * @param {number} nowMs
   */
  hear({ type, text, message }, nowMs) {
    /** @type {Record<string, Mood>} */
    const moods = {
      listening: 'listening', heard: 'quiet', thinking: 'thinking', caption: 'speaking', speech_started: 'speaking',
      speech_ended: 'quiet', interrupted: 'quiet', no_answer: 'quiet',
    };
    const mood = moods[type];
    // The face falls silent while a visitor is still speaking: that is no end of their turn.
    const goesOn = this.#mood === 'listening' && ['speech_ended', 'interrupted'].includes(type);
    // Between two sentences of an answer, or before the first, the last sound's end says nothing.
    const thinks = this.#mood === 'thinking' && type === 'speech_ended';
    if (mood && !goesOn && !thinks) this.#become(mood, nowMs);
    if (mood || type === 'error') this.wake(nowMs);
    if (type === 'caption' && typeof text === 'string') this.#line = { text, untilMs: Infinity };
    if (type === 'transcript' && typeof text === 'string') this.#visitor = { text, untilMs: nowMs + VISITOR_MS };
    if (type === 'listening') this.#visitor = { text: '', untilMs: 0 };
    if (type === 'speech_ended' && this.#line.untilMs === Infinity) this.#line.untilMs = nowMs + READ_MS;
    if (type === 'interrupted') this.#line.untilMs = nowMs;
    if (type === 'error' && typeof message === 'string') {
      this.#become('quiet', nowMs);
      this.#line = { text: message, untilMs: nowMs + 2 * READ_MS };
    }
  }

  /** The connection was lost: nothing of what was going on is known any more. @param {number} nowMs */
  lose(nowMs) {
    this.#become('quiet', nowMs);
    this.#line.untilMs = this.#visitor.untilMs = 0;
  }

  /** @param {number} nowMs @returns {View} */
  view(nowMs) {
    if (this.#mood === 'thinking' && nowMs - this.#sinceMs > THOUGHT_MS) this.#become('quiet', nowMs);
    const { captions, idleMs, invitations } = this.#options;
    if (this.#mood === 'quiet' && nowMs - this.#livelyMs >= idleMs && this.#line.untilMs < nowMs) {
      const turn = Math.floor((nowMs - this.#livelyMs - idleMs) / INVITATION_MS);
      return { mood: 'attract', line: invitations[turn % invitations.length], visitor: '' };
    }
    const visible = (/** @type {{text: string, untilMs: number}} */ { text, untilMs }) => (captions && nowMs < untilMs ? text : '');
    return { mood: this.#mood, line: visible(this.#line), visitor: visible(this.#visitor) };
  }

  /** @param {Mood} mood @param {number} nowMs */
  #become(mood, nowMs) {
    if (mood !== this.#mood) this.#sinceMs = nowMs;
    this.#mood = mood;
  }
}
