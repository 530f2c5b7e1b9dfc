import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningGateway, startGateway } from '../app/start-gateway.js';

const ROOT = resolve(import.meta.dirname, '../..');
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

/** What stands in fenced blocks of one language, in order. */
function blocks(text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(
    (match) => match[1] ?? '',
  );
}

function typeCheck(sources: readonly string[]): string[] {
  const { config } = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => ts.sys.readFile(path)) as {
    config: { compilerOptions: object };
  };
  const parsed = ts.parseJsonConfigFileContent(
    {
      compilerOptions: { ...config.compilerOptions, noEmit: true, module: 'esnext', moduleResolution: 'bundler' },
      files: [],
    },
    ts.sys,
    ROOT,
  );
  const files = new Map(sources.map((source, i) => [join(ROOT, 'test/docs', `readme-block-${i}.ts`), source]));
  const options: ts.CompilerOptions = {
    ...parsed.options,
    paths: {
      'nestjs-llm-fallback': [join(ROOT, 'src/index.ts')],
      'nestjs-llm-fallback/testing': [join(ROOT, 'src/testing.ts')],
    },
  };
  const host = ts.createCompilerHost(options);
  const withBlocks: ts.CompilerHost = {
    ...host,
    fileExists: (name) => files.has(name) || host.fileExists(name),
    readFile: (name) => files.get(name) ?? host.readFile(name),
    getSourceFile: (name, ...rest) => {
      const source = files.get(name);
      return source === undefined
        ? host.getSourceFile(name, ...rest)
        : ts.createSourceFile(name, source, ts.ScriptTarget.ES2023);
    },
  };
  const program = ts.createProgram([...files.keys()], options, withBlocks);
  return [...files.keys()].flatMap((name) =>
    ts.getPreEmitDiagnostics(program, program.getSourceFile(name)).map((d) => {
      return `${name.slice(ROOT.length + 1)}: ${ts.flattenDiagnosticMessageText(d.messageText, ' ')}`;
    }),
  );
}

describe('the README', () => {
  it('has TypeScript that compiles against what we export', () => {
    const sources = blocks(README, 'ts');
    expect(sources.length).toBeGreaterThanOrEqual(5);
    expect(typeCheck(sources)).toEqual([]);
  }, 60_000);

  it('would be told of TypeScript that does not', () => {
    const wrong =
      "import { ModelManagerService } from 'nestjs-llm-fallback';\nexport const f = (m: ModelManagerService) => m.chatt('');\n";
    expect(typeCheck([wrong])).toEqual([expect.stringContaining("'chatt' does not exist")]);
  }, 60_000);

  it('links only to what is there', () => {
    const pages = [
      'README.md',
      ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
        .filter((f) => f.endsWith('.md'))
        .map((f) => join('docs', f)),
    ];
    const missing = pages.flatMap((page) => {
      const text = readFileSync(join(ROOT, page), 'utf8');
      const targets = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map((match) => match[1] ?? '');
      return targets
        .filter((target) => !ts.sys.fileExists(resolve(ROOT, page, '..', target)))
        .map((target) => `${page}: ${target}`);
    });
    expect(missing).toEqual([]);
  });
});

describe('the commands of the README', () => {
  let gateway: RunningGateway;
  beforeAll(async () => {
    gateway = await startGateway({ env: { FALLBACK_SIMULATED: 'true' } });
  }, 30_000);
  afterAll(() => gateway.stop());

  const commands = blocks(README, 'sh')
    .flatMap((block) => block.split('\n'))
    .filter((line) => line.startsWith('curl '));

  it.each([
    { index: 0, why: 'a chat', shows: ['"model":"gpt-4"', '[simulated gpt-4]'] },
    { index: 1, why: 'a stream', shows: ['"delta":', 'data: [DONE]'] },
    {
      index: 2,
      why: 'gpt-4 broken',
      shows: ['x-fallback-model: gpt-3.5-turbo', 'x-fallback-trace: gpt-4;server_error;'],
    },
  ])('work as printed: $why', async ({ index, shows }) => {
    const command = commands[index]!.replaceAll('http://127.0.0.1:3000', gateway.url);
    const { stdout } = await promisify(execFile)('sh', ['-c', command]);
    for (const text of shows) expect(stdout).toContain(text);
  });

  it('show a stream that goes on, as printed', async () => {
    expect(blocks(README, 'sh')).toContain('npx nestjs-llm-fallback demo\n');
    const shown = blocks(README, '').find((block) => block.includes('⟦')) ?? '';
    const [text = '', trace = ''] = shown.split('\n\n').map((part) => part.trim());
    const { stdout } = await promisify(execFile)(process.execPath, [join(ROOT, 'bin/nestjs-llm-fallback.js'), 'demo']);
    expect(stdout).toContain(text.replace(' […]', ''));
    expect(stdout.replace(/\d+ms/g, 'ms')).toContain(trace.replace(/\d+ms/g, 'ms'));
  }, 20_000);

  it('are the ones that the start prints', () => {
    for (const command of commands)
      expect(gateway.logs()).toContain(command.replaceAll('http://127.0.0.1:3000', gateway.url));
  });
});
