/** Wakes someone later without keeping the process alive for it. Tests bring one that they turn by hand. */
export interface IdleTimer {
  /** @returns what cancels it; harmless after it has fired. */
  (delayMs: number, fire: () => void): () => void;
}
export const IdleTimer = Symbol('IdleTimer');

export const systemIdleTimer: IdleTimer = (delayMs, fire) => {
  const timer = setTimeout(fire, delayMs).unref();
  return () => clearTimeout(timer);
};
