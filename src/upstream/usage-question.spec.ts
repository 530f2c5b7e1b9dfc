import { afterEach, describe, expect, it } from 'vitest';
import { attempt, chunk, httpServer, realClock, requestTo } from '../../test/servers/upstream-stage.js';
import { HttpUpstream } from './http-upstream.js';
import type { UpstreamRequest } from './upstream.js';

const cleanUps: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

const ASKING = '{"messages":[],"stream_options":{"include_usage":true}}';
const PLAIN = '{"messages":[]}';

/** A provider that answers this to whoever asks for usage, and streams to all others; to its end, or not. */
async function providerRefusing(status: number, error: unknown, ends = true) {
  const bodies: string[] = [];
  const server = await httpServer((request, response) => {
    bodies.push(request.body);
    if (request.body === ASKING) {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(error));
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(chunk({ content: 'Hello' }));
    if (ends) response.end(`${chunk({}, 'stop')}data: [DONE]\n\n`);
  });
  const upstream = new HttpUpstream(realClock());
  cleanUps.push(
    () => server.close(),
    () => upstream.close(),
  );
  const request: UpstreamRequest = requestTo(server.url, {
    streaming: true,
    body: Buffer.from(ASKING),
    bodyWithoutUsage: () => Buffer.from(PLAIN),
    wantsUsage: true,
  });
  return { bodies, server, upstream, request };
}

const MISTRAL = {
  object: 'error',
  message: { detail: [{ type: 'extra_forbidden', loc: ['body', 'stream_options', 'include_usage'], msg: 'Extra' }] },
  type: 'invalid_request_error',
  param: null,
  code: null,
};

describe('a provider that refuses to be asked for usage', () => {
  it.each([
    { why: 'Mistral', status: 422, error: MISTRAL },
    {
      why: 'OpenAI’s shape',
      status: 400,
      error: {
        error: {
          message: 'Unknown parameter',
          type: 'invalid_request_error',
          param: 'stream_options',
          code: 'unknown_parameter',
        },
      },
    },
    { why: 'a text', status: 400, error: { error: 'stream_options is not supported' } },
  ])('is asked again without, within the same attempt, and from then on: $why', async ({ status, error }) => {
    const { bodies, upstream, request } = await providerRefusing(status, error);
    const { end, calls, text } = attempt(upstream, request);
    expect(await end).toMatchObject({ type: 'completed', status: 200, usage: { reported: false } });
    expect(calls).toEqual(['first token', 'bytes', 'end']);
    expect(text()).toContain('"usage":{"prompt_tokens"');
    expect(bodies).toEqual([ASKING, PLAIN]);
    await attempt(upstream, request).end;
    expect(bodies).toEqual([ASKING, PLAIN, PLAIN]);
  });

  it('fails where it is the caller who asked', async () => {
    const { upstream, request, bodies } = await providerRefusing(422, MISTRAL);
    const { bodyWithoutUsage: _, ...asked } = request;
    expect(await attempt(upstream, asked).end).toMatchObject({ type: 'failed', failure: { status: 422 } });
    expect(bodies).toEqual([ASKING]);
  });

  it('is asked once only where it refuses something else', async () => {
    const error = {
      error: { message: 'Bad temperature', type: 'invalid_request_error', param: 'temperature', code: null },
    };
    const { upstream, request, bodies } = await providerRefusing(400, error);
    expect(await attempt(upstream, request).end).toMatchObject({ failure: { class: 'invalid_request' } });
    expect(bodies).toEqual([ASKING]);
  });

  it('is let go of where the caller leaves in the second asking', async () => {
    const { upstream, request, server } = await providerRefusing(422, MISTRAL, false);
    const { running, calls, heard } = attempt(upstream, request);
    await heard('Hello');
    running.cancel();
    await server.closed(server.sockets.length - 1);
    expect(calls).toEqual(['first token', 'bytes']);
  });
});
