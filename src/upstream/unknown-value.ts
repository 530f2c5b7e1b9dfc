/**
 * Looks into values of unknown shape: parsed JSON that an upstream wrote, and errors that other SDKs throw, whose
 * getters and proxies may throw themselves. Nothing here does.
 */

/** More entries than any error has; a hostile list is not walked to its end. */
const MOST_ITEMS = 32;

/** An object that is no list. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  try {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false; // a revoked proxy
  }
}

/** The property's value; undefined where there is none or it cannot be read. */
export function property(value: unknown, key: string): unknown {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return undefined;
  try {
    return Reflect.get(value, key);
  } catch {
    return undefined;
  }
}

/** The first items of a list; none where the value is no list. */
export function itemsOf(value: unknown): readonly unknown[] {
  try {
    return Array.isArray(value) ? Array.prototype.slice.call(value, 0, MOST_ITEMS) : [];
  } catch {
    return [];
  }
}

/** Google wraps its errors in a list: the first item of a list, else the value itself. */
export function firstOf(value: unknown): unknown {
  const items = itemsOf(value);
  return items.length > 0 ? items[0] : value;
}

/** The property where it is a string with something in it. */
export function textProperty(value: unknown, key: string): string | undefined {
  const text = property(value, key);
  return typeof text === 'string' && text.trim() !== '' ? text : undefined;
}

/** The first of these properties that is a string with something in it. */
export function firstTextProperty(value: unknown, keys: readonly string[]): string | undefined {
  for (const key of keys) {
    const text = textProperty(value, key);
    if (text !== undefined) return text;
  }
  return undefined;
}

/** JSON's value; undefined where the text is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
