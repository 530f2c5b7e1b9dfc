/**
 * What goes on of the bytes at hand, as one range, until something in them does not: a piece that holds nothing but
 * ordinary events is handed out as the very piece that came, and no object is made per event.
 */
export class EventRun {
  readonly #emit: (bytes: Uint8Array) => void;
  #bytes: Uint8Array | null = null;
  #start = 0;
  #end = 0;
  #isDropped = false;

  constructor(emit: (bytes: Uint8Array) => void) {
    this.#emit = emit;
  }

  add(bytes: Uint8Array, start: number, end: number): void {
    if (this.#bytes === bytes && this.#end === start) {
      this.#end = end;
      return;
    }
    this.flush();
    if (this.#isDropped) return;
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
  }

  addAll(bytes: Uint8Array): void {
    this.add(bytes, 0, bytes.length);
  }

  flush(): void {
    const bytes = this.#bytes;
    if (bytes === null) return;
    this.#bytes = null;
    const isAll = this.#start === 0 && this.#end === bytes.length;
    this.#emit(isAll ? bytes : bytes.subarray(this.#start, this.#end));
  }

  /** Nothing goes on any more, whatever is added. */
  drop(): void {
    this.#bytes = null;
    this.#isDropped = true;
  }
}
