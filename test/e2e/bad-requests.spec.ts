/** What the gateway says to requests that no model could answer: always a status that fits, always OpenAI's shape. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type RunningGateway, startGateway } from '../app/start-gateway.js';

// Processes are started, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

let gateway: RunningGateway;

beforeAll(async () => {
  gateway = await startGateway();
});

afterAll(async () => {
  await gateway.stop();
});

interface BadRequest {
  readonly why: string;
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly status: number;
  readonly code: string;
  readonly param?: string;
  readonly says?: RegExp;
}

const JSON_TYPE = { 'content-type': 'application/json' };
const CHAT = JSON.stringify({ message: 'hello' });
const COMPLETION = { model: 'gpt-4', messages: [{ role: 'user', content: 'hello' }] };
const COMPLETIONS = '/v1/chat/completions';

const chat = (body: unknown): Pick<BadRequest, 'path' | 'body'> => ({ path: '/chat', body: JSON.stringify(body) });
const completion = (body: object): Pick<BadRequest, 'path' | 'body'> => ({
  path: COMPLETIONS,
  body: JSON.stringify({ ...COMPLETION, ...body }),
});

const ROWS: readonly BadRequest[] = [
  // Content types: nothing that a form on a web page could send.
  { why: 'no content type', headers: {}, body: CHAT, status: 415, code: 'unsupported_media_type' },
  {
    why: 'plain text',
    headers: { 'content-type': 'text/plain' },
    body: CHAT,
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    why: 'a form',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: 'message=hello',
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    why: 'a form with files',
    headers: { 'content-type': 'multipart/form-data; boundary=x' },
    body: '--x--',
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    why: 'a type that only begins like JSON',
    headers: { 'content-type': 'application/jsonx' },
    body: CHAT,
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    why: 'two types',
    headers: { 'content-type': 'application/json, text/plain' },
    body: CHAT,
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    why: 'a type that is none',
    headers: { 'content-type': '///' },
    body: CHAT,
    status: 415,
    code: 'unsupported_media_type',
  },
  // Bodies that are no JSON object.
  { why: 'an empty body', body: '', status: 400, code: 'invalid_value' },
  { why: 'half a body', body: '{"message":"hel', status: 400, code: 'invalid_json' },
  { why: 'single quotes', body: "{'message':'hello'}", status: 400, code: 'invalid_json' },
  { why: 'two documents', body: `${CHAT}${CHAT}`, status: 400, code: 'invalid_json' },
  { why: 'bytes that are no text', body: new Uint8Array([0xff, 0xfe, 0x00]), status: 400, code: 'invalid_json' },
  { why: 'a list', body: '[1]', status: 400, code: 'invalid_value' },
  { why: 'null', body: 'null', status: 400, code: 'invalid_value' },
  { why: 'a text', body: '"hello"', status: 400, code: 'invalid_value' },
  { why: 'a number', body: '42', status: 400, code: 'invalid_value' },
  { why: 'a hundred thousand open brackets', body: '['.repeat(100_000), status: 400, code: 'invalid_json' },
  { why: 'more than 20 MB', body: `{"message":"${'x'.repeat(21_000_000)}"}`, status: 413, code: 'request_too_large' },
  // POST /chat.
  { why: 'no message', ...chat({}), status: 400, code: 'invalid_value', param: 'message' },
  { why: 'an empty message', ...chat({ message: '' }), status: 400, code: 'invalid_value', param: 'message' },
  { why: 'a message that is no text', ...chat({ message: 7 }), status: 400, code: 'invalid_value', param: 'message' },
  {
    why: 'an unknown key',
    ...chat({ mesage: 'hello' }),
    status: 400,
    code: 'invalid_value',
    param: 'mesage',
    says: /did you mean message/,
  },
  {
    why: 'a userId that is no text',
    ...chat({ message: 'hello', userId: 7 }),
    status: 400,
    code: 'invalid_value',
    param: 'userId',
  },
  {
    why: 'an empty userId',
    ...chat({ message: 'hello', userId: '' }),
    status: 400,
    code: 'invalid_value',
    param: 'userId',
  },
  {
    why: 'a userId of 257 characters',
    ...chat({ message: 'hello', userId: 'u'.repeat(257) }),
    status: 400,
    code: 'invalid_value',
    param: 'userId',
  },
  {
    why: 'fallback as a text',
    ...chat({ message: 'hello', fallback: 'false' }),
    status: 400,
    code: 'invalid_value',
    param: 'fallback',
  },
  {
    why: 'stream as a number',
    ...chat({ message: 'hello', stream: 1 }),
    status: 400,
    code: 'invalid_value',
    param: 'stream',
  },
  {
    why: 'a chain that nobody has',
    ...chat({ message: 'hello', chain: 'fast' }),
    status: 404,
    code: 'model_not_found',
    says: /"fast" does not exist/,
  },
  // POST /v1/chat/completions.
  {
    why: 'a model that nobody has',
    ...completion({ model: 'gpt-9' }),
    status: 404,
    code: 'model_not_found',
    param: 'model',
  },
  { why: 'a model that is no text', ...completion({ model: 4 }), status: 400, code: 'invalid_value', param: 'model' },
  { why: 'no messages', ...completion({ messages: undefined }), status: 400, code: 'invalid_value', param: 'messages' },
  {
    why: 'an empty list of messages',
    ...completion({ messages: [] }),
    status: 400,
    code: 'invalid_value',
    param: 'messages',
  },
  {
    why: 'messages that are no list',
    ...completion({ messages: 'hello' }),
    status: 400,
    code: 'invalid_value',
    param: 'messages',
  },
  { why: 'stream as a text', ...completion({ stream: 'yes' }), status: 400, code: 'invalid_value', param: 'stream' },
  {
    why: 'models that are no list',
    ...completion({ models: 'gpt-4' }),
    status: 400,
    code: 'invalid_value',
    param: 'models',
  },
  { why: 'no models', ...completion({ models: [] }), status: 400, code: 'invalid_value', param: 'models' },
  {
    why: '33 models',
    ...completion({ models: Array.from({ length: 33 }, () => 'gpt-4') }),
    status: 400,
    code: 'invalid_value',
    param: 'models',
  },
  {
    why: 'models of which one is unknown',
    ...completion({ models: ['gpt-4', 'gpt-9'] }),
    status: 404,
    code: 'model_not_found',
  },
  // Headers.
  {
    why: 'a deadline that is no number',
    headers: { ...JSON_TYPE, 'x-fallback-deadline-ms': 'soon' },
    body: CHAT,
    status: 400,
    code: 'invalid_value',
    param: 'x-fallback-deadline-ms',
  },
  {
    why: 'a deadline of 0',
    headers: { ...JSON_TYPE, 'x-fallback-deadline-ms': '0' },
    body: CHAT,
    status: 400,
    code: 'invalid_value',
    param: 'x-fallback-deadline-ms',
  },
  {
    why: 'a deadline below 0',
    headers: { ...JSON_TYPE, 'x-fallback-deadline-ms': '-5' },
    body: CHAT,
    status: 400,
    code: 'invalid_value',
    param: 'x-fallback-deadline-ms',
  },
  {
    why: 'a deadline with a fraction',
    headers: { ...JSON_TYPE, 'x-fallback-deadline-ms': '1.5' },
    body: CHAT,
    status: 400,
    code: 'invalid_value',
    param: 'x-fallback-deadline-ms',
  },
  {
    why: 'a switch that is neither on nor off',
    headers: { ...JSON_TYPE, 'x-fallback': 'maybe' },
    body: CHAT,
    status: 400,
    code: 'invalid_value',
    param: 'x-fallback',
  },
  {
    why: 'a drill of an unknown model',
    headers: { ...JSON_TYPE, 'x-fallback-drill': 'gpt-9=server_error' },
    body: CHAT,
    status: 400,
    code: 'invalid_value',
    param: 'x-fallback-drill',
    says: /gpt-4, gpt-3\.5-turbo/,
  },
  {
    why: 'a drill of an unknown class',
    headers: { ...JSON_TYPE, 'x-fallback-drill': 'gpt-4=broken' },
    body: CHAT,
    status: 400,
    code: 'invalid_value',
    param: 'x-fallback-drill',
    says: /server_error/,
  },
  {
    why: 'a drill without a class',
    headers: { ...JSON_TYPE, 'x-fallback-drill': 'gpt-4' },
    body: CHAT,
    status: 400,
    code: 'invalid_value',
    param: 'x-fallback-drill',
  },
  // Addresses.
  { why: 'a path that leads nowhere', path: '/v2/chat', status: 404, code: 'not_found', says: /POST \/v2\/chat/ },
  { why: 'the root', method: 'GET', path: '/', status: 404, code: 'not_found' },
  { why: 'the wrong method', method: 'GET', path: '/chat', status: 404, code: 'not_found' },
  {
    why: 'a method that nobody knows here',
    method: 'PATCH',
    path: '/chat',
    body: CHAT,
    status: 404,
    code: 'not_found',
  },
  { why: 'a slash too many', path: `${COMPLETIONS}/`, status: 404, code: 'not_found' },
  { why: 'an address that is none', path: '/chat/%', method: 'DELETE', headers: {}, status: 400, code: 'bad_request' },
  {
    why: 'a userId of 257 characters to forget',
    method: 'DELETE',
    headers: {},
    path: `/chat/${'u'.repeat(257)}`,
    status: 400,
    code: 'invalid_value',
    param: 'userId',
  },
  {
    why: 'a userId of 4000 characters to forget',
    method: 'DELETE',
    headers: {},
    path: `/chat/${'u'.repeat(4_000)}`,
    status: 414,
    code: 'address_too_long',
  },
];

describe('a request with', () => {
  it.each(ROWS)('$why is refused with $status $code', async (row) => {
    const { method = 'POST', path = '/chat', headers = JSON_TYPE, body } = row;
    const response = await fetch(`${gateway.url}${path}`, {
      method,
      headers,
      // A typed body without a name of its type: fetch would name one for a string.
      ...(body !== undefined && { body: typeof body === 'string' ? new TextEncoder().encode(body) : body }),
    });
    expect(response.status).toBe(row.status);
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(response.headers.get('x-request-id')).toMatch(/^[\x21-\x7e]{1,128}$/);
    expect(response.headers.get('x-should-retry')).toBe('false');
    expect(await response.json()).toEqual({
      error: {
        message: row.says ? expect.stringMatching(row.says) : expect.any(String),
        type: 'invalid_request_error',
        code: row.code,
        param: row.param ?? (row.code === 'model_not_found' ? 'model' : null),
      },
    });
  });

  it('a body that is no JSON quotes nothing of it', async () => {
    const response = await fetch(`${gateway.url}/chat`, {
      method: 'POST',
      headers: JSON_TYPE,
      body: '{"message":sesame}',
    });
    expect(await response.text()).not.toContain('sesame');
  });

  it('a query shows nothing of it', async () => {
    const response = await fetch(`${gateway.url}/nowhere?key=sesame`);
    expect(await response.text()).not.toContain('sesame');
  });
});

describe('what is no HTTP request', () => {
  it.each([
    { why: 'noise', bytes: 'hello\r\n\r\n', status: 400 },
    { why: 'a request without a Host header', bytes: 'GET /health HTTP/1.1\r\n\r\n', status: 400 },
    {
      why: 'headers of 20 KB',
      bytes: `GET /health HTTP/1.1\r\nhost: localhost\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`,
      status: 431,
    },
    {
      why: 'two lengths',
      bytes: 'POST /chat HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n',
      status: 400,
    },
  ])('$why: $status, then the end of the connection', async ({ bytes, status }) => {
    const { hostname, port } = new URL(gateway.url);
    const socket = connect(Number(port), hostname);
    socket.write(bytes);
    let answer = '';
    socket.on('data', (piece) => (answer += piece.toString()));
    await once(socket, 'end');
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  });

  it('headers that are too large are said to be so in OpenAI’s shape', async () => {
    const { hostname, port } = new URL(gateway.url);
    const socket = connect(Number(port), hostname);
    socket.write(`GET /health HTTP/1.1\r\nhost: localhost\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`);
    let answer = '';
    socket.on('data', (piece) => (answer += piece.toString()));
    await once(socket, 'end');
    expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toMatchObject({ error: { code: 'headers_too_large' } });
  });
});

it('all of it has made no attempt on any model', async () => {
  const response = await fetch(`${gateway.url}/metrics/models`);
  expect(await response.json()).toMatchObject([
    { model: 'gpt-4', requests: 0 },
    { model: 'gpt-3.5-turbo', requests: 0 },
  ]);
});
