import { expect, it } from 'vitest';
import { Callers } from './callers.js';
import { Drain } from './drain.js';
import { createHttpServer } from './http-server.js';

it('headers have thirty seconds, looked at every few seconds; a body has five minutes, however it comes', async () => {
  const adapter = createHttpServer({
    callers: new Callers({ apiKeys: [], host: '127.0.0.1' }),
    drain: new Drain(),
  });
  const { server } = adapter.getInstance();
  expect(server).toMatchObject({ headersTimeout: 30_000, requestTimeout: 300_000 });
  await adapter.getInstance().close();
});
