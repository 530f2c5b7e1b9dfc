import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import { type FallbackChain, FallbackModule, getFallbackChainToken, InjectFallbackChain } from '../../src/index.js';
import { reply } from '../../src/testing.js';
import { contextOf, contextWith, rejectionOf, twoModels } from './host.js';

@Injectable()
class Reports {
  constructor(
    @InjectFallbackChain('patient') readonly patient: FallbackChain,
    @InjectFallbackChain() readonly byDefault: FallbackChain,
  ) {}
}

describe('@InjectFallbackChain()', () => {
  it('gives a chain of the options, that chats, streams and executes with its own models and rules', async () => {
    await using stage = await twoModels('one', reply.text(['t', 'wo']));
    const patient = { models: ['gpt-3.5-turbo'], timeoutMs: 5_000 };
    const options = { ...stage.options, chains: { ...stage.options.chains, patient } };
    await using host = await contextOf(options, { providers: [Reports] });
    const reports = host.app.get(Reports);
    expect([reports.patient.name, reports.byDefault.name]).toEqual(['patient', 'default']);
    expect(await reports.byDefault.chat('Hi')).toMatchObject({ model: 'gpt-4' });
    expect(await reports.patient.chat('Hi')).toMatchObject({ model: 'gpt-3.5-turbo', fallbackUsed: false });
    expect(await reports.patient.stream('Hi').result).toMatchObject({ model: 'gpt-3.5-turbo', content: 'two' });
    const { value, model } = await reports.patient.execute(async ({ remainingMs }) => remainingMs);
    expect(model).toBe('gpt-3.5-turbo');
    expect(value).toBeGreaterThan(4_000);
    expect(value).toBeLessThanOrEqual(5_000);
  });

  it('gives a chain that only a file names', async () => {
    await using stage = await twoModels('one', 'two');
    const directory = await mkdtemp(join(tmpdir(), 'host-'));
    const configFile = join(directory, 'fallback.json');
    await writeFile(configFile, JSON.stringify({ chains: { patient: ['gpt-3.5-turbo'] } }));
    await using host = await contextOf({ ...stage.options, configFile }, { providers: [Reports] });
    expect(await host.app.get(Reports).patient.chat('Hi')).toMatchObject({ model: 'gpt-3.5-turbo' });
    await rm(directory, { recursive: true });
  });

  it('gives a chain that only a factory names, in a module of the host’s, where we are global', async () => {
    await using stage = await twoModels('one', 'two');
    @Module({ providers: [Reports], exports: [Reports] })
    class ReportsModule {}
    const useFactory = async () => ({
      ...stage.options,
      chains: { ...stage.options.chains, patient: ['gpt-3.5-turbo'] },
    });
    const us = FallbackModule.forRootAsync({ isGlobal: true, useFactory });
    await using host = await contextWith({ imports: [ReportsModule, us] });
    expect(await host.app.get(Reports).patient.chat('Hi')).toMatchObject({ model: 'gpt-3.5-turbo' });
  });

  it('gives a chain whose consumer was read only after our module was defined', async () => {
    await using stage = await twoModels('one', 'two');
    const late = ['gpt-3.5-turbo'];
    const us = FallbackModule.forRootAsync({
      useFactory: () => ({ ...stage.options, chains: { ...stage.options.chains, late } }),
    });
    @Injectable()
    class Late {
      constructor(@InjectFallbackChain('late') readonly chain: FallbackChain) {}
    }
    await using host = await contextWith({ imports: [us], providers: [Late] });
    expect(await host.app.get(Late).chain.chat('Hi')).toMatchObject({ model: 'gpt-3.5-turbo' });
  });

  it('fails at the call, by name, where no configuration has that chain', async () => {
    await using stage = await twoModels('one');
    await using host = await contextOf(stage.options, { providers: [Reports] });
    const { patient } = host.app.get(Reports);
    const expected = { status: 404, code: 'model_not_found', message: expect.stringContaining('patient') };
    expect(await rejectionOf(patient.chat('Hi'))).toMatchObject(expected);
    expect(await rejectionOf(patient.stream('Hi').result)).toMatchObject(expected);
    expect(await rejectionOf(patient.execute(async () => 1))).toMatchObject(expected);
  });
});

describe('getFallbackChainToken()', () => {
  it('finds the chain in a factory of the host’s, and in the app', async () => {
    await using stage = await twoModels('one', 'two');
    const options = { ...stage.options, chains: { ...stage.options.chains, reports: ['gpt-3.5-turbo'] } };
    const named = {
      provide: 'NAME',
      useFactory: (chain: FallbackChain) => chain.name,
      inject: [getFallbackChainToken('reports')],
    };
    await using host = await contextOf(options, { providers: [named] });
    expect(host.app.get('NAME')).toBe('reports');
    expect(host.app.get<FallbackChain>(getFallbackChainToken()).name).toBe('default');
  });

  it('is what a test of the host’s overrides', async () => {
    const testing = await Test.createTestingModule({ imports: [FallbackModule.forRoot()], providers: [Reports] })
      .overrideProvider(getFallbackChainToken('patient'))
      .useValue({ name: 'made up' })
      .compile();
    expect(testing.get(Reports).patient).toEqual({ name: 'made up' });
    await testing.close();
  });
});
