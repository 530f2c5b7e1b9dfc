import { describe, expect, it } from 'vitest';
import { traceText } from './trace-text.js';

describe('the trace of a request', () => {
  it('names model, class and time of every attempt, in the order they were made', () => {
    const failed = { model: 'gpt-4', class: 'server_error', status: 500, ms: 143 } as const;
    const answered = { model: 'gpt-3.5-turbo', class: 'ok', status: 200, ms: 412 } as const;

    expect(traceText([failed, answered])).toBe('gpt-4;server_error;143ms, gpt-3.5-turbo;ok;412ms');
    expect(traceText([answered])).toBe('gpt-3.5-turbo;ok;412ms');
  });

  it('is empty where no attempt was made', () => {
    expect(traceText([])).toBe('');
  });
});
