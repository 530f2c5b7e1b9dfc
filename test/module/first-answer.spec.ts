import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { afterEach, describe, expect, it } from 'vitest';
import { FallbackModule, ModelManagerService } from '../../src/index.js';
import { reply, startScriptedModel } from '../../src/testing.js';

describe('an app of one’s own', () => {
  const before = { ...process.env };
  afterEach(() => {
    process.env = { ...before };
  });

  it('has its first answer in ten lines, from the second model where the first fails', async () => {
    await using openai = await startScriptedModel((call) => (call.model === 'gpt-4' ? reply.error(500) : 'Hello back'));
    process.env['OPENAI_API_KEY'] = 'sk-test-0123456789';
    process.env['OPENAI_BASE_URL'] = openai.baseUrl;

    @Injectable()
    class Greeter {
      constructor(private readonly models: ModelManagerService) {}

      greet() {
        return this.models.chat('Hello');
      }
    }
    @Module({ imports: [FallbackModule.forRoot()], providers: [Greeter] })
    class AppModule {}
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
    const { content, model, fallbackUsed, attempts, latencyMs, usage, finishReason } = await app.get(Greeter).greet();
    await app.close();

    expect({ content, model, fallbackUsed, finishReason }).toEqual({
      content: 'Hello back',
      model: 'gpt-3.5-turbo',
      fallbackUsed: true,
      finishReason: 'stop',
    });
    expect(attempts.map((attempt) => [attempt.model, attempt.class])).toEqual([
      ['gpt-4', 'server_error'],
      ['gpt-3.5-turbo', 'ok'],
    ]);
    expect(latencyMs).toBeGreaterThanOrEqual(0);
    expect(usage?.total_tokens).toBeGreaterThan(0);
    expect(openai.calls[0]?.headers.authorization).toBe('Bearer sk-test-0123456789');
  });

  it('starts with nothing set at all, and calls nobody until it is asked', async () => {
    delete process.env['OPENAI_API_KEY'];
    delete process.env['OPENAI_BASE_URL'];
    @Module({ imports: [FallbackModule.forRoot()] })
    class AppModule {}
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
    expect(app.get(ModelManagerService).getMetrics()).toMatchObject([
      { model: 'gpt-4', requests: 0, breaker: 'closed', cooldownUntil: null },
      { model: 'gpt-3.5-turbo', requests: 0 },
    ]);
    await app.close();
  });
});
