import { describe, expect, expectTypeOf, it } from 'vitest';
import * as ours from '../../src/index.js';
import type * as Promised from './promised.js';

/** What comes with a later issue. */
type Later = 'fetch' | 'clientOptions' | 'chat';

describe('the public surface', () => {
  it('exports the classes, tokens and decorators that were promised', () => {
    expect(Object.keys(ours).toSorted()).toEqual([
      'ConversationStore',
      'FALLBACK_OPTIONS',
      'FallbackChainService',
      'FallbackConfigError',
      'FallbackError',
      'FallbackEvents',
      'FallbackExhaustedError',
      'FallbackHealthIndicator',
      'FallbackModule',
      'FallbackRejectedError',
      'InjectFallbackChain',
      'ModelManagerService',
      'getFallbackChainToken',
    ]);
  });

  it('takes what was promised to be taken', () => {
    expectTypeOf<Promised.FallbackOptions & Promised.FallbackExtras>().toExtend<
      NonNullable<Parameters<typeof ours.FallbackModule.forRoot>[0]>
    >();
    expectTypeOf<Promised.FallbackAsyncOptions>().toExtend<Parameters<typeof ours.FallbackModule.forRootAsync>[0]>();
    expectTypeOf<Promised.ChatInput>().toExtend<ours.ChatInput>();
    expectTypeOf<Promised.ChatOptions>().toExtend<ours.ChatOptions>();
    expectTypeOf<Promised.CallOptions>().toExtend<ours.CallOptions>();
  });

  it('gives what was promised to be given', () => {
    expectTypeOf<ours.ChatResult>().toExtend<Promised.ChatResult>();
    expectTypeOf<ours.ChatStream>().toExtend<Promised.ChatStream>();
    expectTypeOf<ours.ModelMetrics>().toExtend<Promised.ModelMetrics>();
    expectTypeOf<ours.ModelAvailability>().toExtend<Promised.ModelAvailability>();
    expectTypeOf<ours.Attempt>().toExtend<Promised.Attempt>();
    expectTypeOf<ours.AttemptRecord>().toExtend<Promised.AttemptRecord>();
    expectTypeOf<ours.FallbackEventMap>().toExtend<Promised.FallbackEventMap>();
    expectTypeOf<ours.ModelManagerService>().toExtend<Omit<Promised.ModelManagerService, Later>>();
    expectTypeOf<ours.FallbackChainService>().toExtend<Promised.FallbackChainService>();
    expectTypeOf<ours.FallbackHealthIndicator>().toExtend<Promised.FallbackHealthIndicator>();
    expectTypeOf<ours.FallbackExhaustedError>().toExtend<Promised.FallbackExhaustedError>();
    expectTypeOf<ours.FallbackRejectedError>().toExtend<Promised.FallbackRejectedError>();
    expectTypeOf<ours.FallbackConfigError>().toExtend<Promised.FallbackConfigError>();
    expectTypeOf<ours.ConversationStore>().toEqualTypeOf<Promised.ConversationStore>();
    expectTypeOf<ours.FailureClass>().toEqualTypeOf<Promised.FailureClass>();
  });
});
