/** The public names, one per line. */
export type { FailureClass } from './policy/failure.js';
