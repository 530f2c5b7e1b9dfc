/**
 * Calls a model from within the process, a process of its own for each way of doing so: through the official client, and
 * through our module in a Nest application context. Here the caller is what is measured.
 *
 * Usage: in-process.ts client UPSTREAM | in-process.ts module UPSTREAM DIST
 */
import { pathToFileURL } from 'node:url';

import type { DynamicModule, Type } from '@nestjs/common';
import type OpenAI from 'openai';

import { serveOrders, type WorkOrder, type WorkReport } from './orders.ts';
import { COMPLETION, messagesOf } from './wire.ts';

/** What the bench uses of `dist/index.js`. */
interface BuiltPackage {
  readonly FallbackModule: { forRoot(options: object): DynamicModule };
  readonly ModelManagerService: Type<{ chat(input: readonly object[]): Promise<{ content: string | null }> }>;
}

type Call = () => Promise<string | null | undefined>;

const [way, upstream = '', dist = ''] = process.argv.slice(2);
const messages = messagesOf('small');
const completion: OpenAI.ChatCompletion = JSON.parse(COMPLETION);
const expected = completion.choices[0]?.message.content;

async function throughClient(): Promise<Call> {
  const { OpenAI: Client } = await import('openai');
  const client = new Client({ apiKey: 'bench', baseURL: upstream, maxRetries: 0 });
  return async () => {
    const answer = await client.chat.completions.create({ model: 'gpt-4', messages, temperature: 0.2 });
    return answer.choices[0]?.message.content;
  };
}

async function throughModule(): Promise<Call> {
  await import('reflect-metadata');
  const { NestFactory } = await import('@nestjs/core');
  const built: BuiltPackage = await import(pathToFileURL(`${dist}/index.js`).href);
  const root = built.FallbackModule.forRoot({
    providers: { upstream: { baseUrl: upstream, apiKey: 'bench' } },
    models: { 'gpt-4': { provider: 'upstream' } },
    chains: { default: ['gpt-4'] },
  });
  const context = await NestFactory.createApplicationContext(root);
  const models = context.get(built.ModelManagerService, { strict: false });
  return async () => (await models.chat(messages)).content;
}

async function work(call: Call, order: WorkOrder): Promise<WorkReport> {
  const faults: string[] = [];
  let started = 0;
  let done = 0;
  const caller = async (): Promise<void> => {
    while (started < order.requests && faults.length === 0) {
      started++;
      try {
        const content = await call();
        if (content === expected) done++;
        else faults.push(`not the upstream's answer: ${content}`);
      } catch (error) {
        faults.push(String(error));
      }
    }
  };
  await Promise.all(Array.from({ length: order.concurrency }, caller));
  const [firstFault] = faults;
  return { done, failed: faults.length, ...(firstFault === undefined ? {} : { firstFault }) };
}

const call = way === 'module' ? await throughModule() : await throughClient();
serveOrders<'work'>((order) => work(call, order));
console.log('ready');
