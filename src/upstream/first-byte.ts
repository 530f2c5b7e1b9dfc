/**
 * What a 200 to a streamed request turns out to be: some upstreams answer with one JSON body all the same, under either
 * content-type, and some streams call themselves JSON. The first byte that is no blank tells.
 */
const BLANKS = new Set([0x20, 0x09, 0x0d, 0x0a]);
/** `d`ata, `e`vent, `i`d, `r`etry, a comment, a byte order mark: what an event stream can begin with. */
const STREAM_STARTS = new Set([0x64, 0x65, 0x69, 0x72, 0x3a, 0xef]);
/** `{` and `[`: what no event stream begins with. */
const JSON_STARTS = new Set([0x7b, 0x5b]);

/** @returns `undecided` where there are only blanks; `answer` is also what is neither, since its check says what it is. */
export function kindOfBody(bytes: Uint8Array, isEventStream: boolean): 'stream' | 'answer' | 'undecided' {
  const first = bytes.find((byte) => !BLANKS.has(byte));
  if (first === undefined) return 'undecided';
  return STREAM_STARTS.has(first) || (isEventStream && !JSON_STARTS.has(first)) ? 'stream' : 'answer';
}
