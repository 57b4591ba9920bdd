/** The dialog of the connection check. */
import { examine } from './doctor.js';
import { byId, make } from '../shared/dom.js';

/** @param {Parameters<typeof examine>[0] & {busy: () => boolean}} parts `busy`: whether a call is running; a check needs a session of its own */
export function connectCheckup({ busy, ...parts }) {
  const list = byId('checkup-list');
  const line = byId('checkup-line');
  byId('check').addEventListener('click', async () => {
    if (byId('checkup').open) return;
    list.replaceChildren();
    byId('checkup').showModal();
    if (busy()) {
      line.textContent = 'A call is up, so the connection works. Stop it to check every step.';
      return;
    }
    line.textContent = 'Checking …';
    let blocked = false;
    for await (const { step, state, says, advice } of examine(parts)) {
      blocked ||= state === 'bad';
      const words = [make('b', {}, `${step}: `), says, ...(advice ? [make('small', {}, advice)] : [])];
      list.append(make('li', { 'data-state': state }, ...words));
    }
    line.textContent = blocked ? 'What is marked stands in the way.' : 'A call can come about.';
  });
}
