/** What a caller may say in headers, and what every answer says in them: the contract's section 3. */
import type { IncomingHttpHeaders } from 'node:http';
import { traceText } from '../chain/trace-text.js';
import type { RequestSoFar } from '../chain/chain-request.js';
import type { Settings } from '../config/settings.js';
import { FAILURE_CLASSES, type FailureClass, isFailureClass } from '../policy/failure.js';
import { BadRequestError, quoted } from './http-error.js';

export interface CallHeaders {
  readonly deadlineMs?: number;
  readonly fallback?: boolean;
  readonly drills?: ReadonlyMap<string, FailureClass>;
}

const LONGEST_DEADLINE_MS = 3_600_000;

/** @throws BadRequestError that names the header and what is allowed. */
export function readCallHeaders(headers: IncomingHttpHeaders, settings: Settings): CallHeaders {
  const deadline = single(headers['x-fallback-deadline-ms']);
  const fallback = single(headers['x-fallback']);
  const drill = settings.drills ? single(headers['x-fallback-drill']) : undefined;
  return {
    ...(deadline !== undefined && { deadlineMs: readDeadline(deadline) }),
    ...(fallback !== undefined && { fallback: readSwitch(fallback) }),
    ...(drill !== undefined && { drills: readDrills(drill, settings) }),
  };
}

function readDeadline(text: string): number {
  const ms = /^\d{1,7}$/.test(text) ? Number(text) : NaN;
  if (ms >= 1 && ms <= LONGEST_DEADLINE_MS) return ms;
  throw new BadRequestError(
    `x-fallback-deadline-ms: ${shown(text)}: expected whole milliseconds from 1 to ${LONGEST_DEADLINE_MS}.`,
    'x-fallback-deadline-ms',
  );
}

function readSwitch(text: string): boolean {
  if (text === 'on' || text === 'off') return text === 'on';
  throw new BadRequestError(`x-fallback: ${shown(text)}: expected on or off.`, 'x-fallback');
}

/** `gpt-4=server_error, gpt-3.5-turbo=timeout_ttft`. */
function readDrills(text: string, settings: Settings): ReadonlyMap<string, FailureClass> {
  const drills = new Map<string, FailureClass>();
  for (const part of text.split(',')) {
    const at = part.lastIndexOf('=');
    const model = part.slice(0, Math.max(at, 0)).trim();
    const failureClass = part.slice(at + 1).trim();
    if (!settings.models.has(model)) throw badDrill(part, `a model: ${[...settings.models.keys()].join(', ')}`);
    if (!isFailureClass(failureClass) || failureClass === 'cancelled') {
      throw badDrill(part, `a failure class: ${FAILURE_CLASSES.filter((c) => c !== 'cancelled').join(', ')}`);
    }
    drills.set(model, failureClass);
  }
  return drills;
}

function badDrill(part: string, expected: string): BadRequestError {
  const message = `x-fallback-drill: ${shown(part.trim())}: expected MODEL=CLASS with ${expected}.`;
  return new BadRequestError(message, 'x-fallback-drill');
}

/** What every answer that made an attempt says of it. */
export function answerHeaders(requestId: string, soFar: RequestSoFar | undefined, simulated: boolean) {
  const headers: Record<string, string> = { 'x-request-id': requestId };
  if (simulated) headers['x-fallback-simulated'] = 'true';
  if (!soFar || soFar.attempts.length === 0) return headers;
  if (soFar.model !== undefined) headers['x-fallback-model'] = soFar.model;
  headers['x-fallback-attempts'] = String(soFar.attempts.length);
  headers['x-fallback-used'] = String(soFar.fallbackUsed);
  headers['x-fallback-trace'] = traceText(soFar.attempts);
  return headers;
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(',') : value;
}

function shown(text: string): string {
  return JSON.stringify(quoted(text));
}
