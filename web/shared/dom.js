/**
 * Return an element of the page by its id. A missing one is a mistake in the page's HTML.
 *
 * @template {keyof import('../types.js').Elements} Id
 * @param {Id} id
 * @returns {import('../types.js').Elements[Id]}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return /** @type {import('../types.js').Elements[Id]} */ (element);
}

/**
 * Return a canvas's drawing context. A canvas of the page has one; null is for a canvas used for something else.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {CanvasRenderingContext2DSettings} [settings]
 * @returns {CanvasRenderingContext2D}
 */
export function contextOf(canvas, settings) {
  const context = canvas.getContext('2d', settings);
  if (!context) throw new Error('the canvas has no 2d context');
  return context;
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} children strings become text, never markup
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * What the page remembers between visits. Where storage is forbidden it remembers nothing.
 *
 * @param {Storage | null} storage
 * @param {string} key
 * @returns {{get(): string | null, set(value: string): void}}
 */
export function remembered(storage, key) {
  return {
    get() {
      try { return storage?.getItem(`lipstream.${key}`) ?? null; } catch { return null; }
    },
    set(value) {
      try { storage?.setItem(`lipstream.${key}`, value); } catch { /* private window: forget it */ }
    },
  };
}

/** @param {'localStorage' | 'sessionStorage'} name */
export function storageNamed(name) {
  try { return window[name]; } catch { return null; }
}
