/**
 * The page's elements by their id; a missing one is a mistake in its HTML and says so.
 *
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} children strings become text, never markup
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * What the page remembers between visits; it works as well where storage is forbidden.
 *
 * @param {Storage | null} storage
 * @param {string} key
 * @returns {{get(): string | null, set(value: string): void}}
 */
export function remembered(storage, key) {
  return {
    get() {
      try { return storage.getItem(`lipstream.${key}`); } catch { return null; }
    },
    set(value) {
      try { storage.setItem(`lipstream.${key}`, value); } catch { /* private window: forget it */ }
    },
  };
}

/** @param {'localStorage' | 'sessionStorage'} name */
export function storageNamed(name) {
  try { return window[name]; } catch { return null; }
}
