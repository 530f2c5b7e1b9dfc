/**
 * Deep freezing, maps included: settings are shared by every request, and a change in one place must not reach them.
 */

/** A map that refuses to be changed; `Object.freeze` alone leaves a map's content open. */
export function frozenMap<K, V>(entries: Iterable<readonly [K, V]>): ReadonlyMap<K, V> {
  return new FrozenMap(entries);
}

const REFUSAL = 'settings are frozen';

class FrozenMap<K, V> extends Map<K, V> {
  constructor(entries: Iterable<readonly [K, V]>) {
    super();
    for (const [key, value] of entries) super.set(key, value);
  }

  override set(): never {
    throw new TypeError(REFUSAL);
  }
  override delete(): never {
    throw new TypeError(REFUSAL);
  }
  override clear(): never {
    throw new TypeError(REFUSAL);
  }
}

/** @returns the same object; plain objects, lists and maps inside it are frozen too. */
export function freezeDeep<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  const inner: Iterable<unknown> = value instanceof Map ? value.values() : Object.values(value);
  for (const each of inner) freezeDeep(each);
  return value;
}
