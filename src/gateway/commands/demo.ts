/**
 * `demo`: shows in a minute what this product is for. gpt-4 is cut in mid-sentence, gpt-3.5-turbo goes on, and the text
 * is printed as it comes, with the place marked where one model's words end and the other's begin.
 *
 * The real module with simulated models, in this process; whatever is configured around it counts for nothing, so that
 * it shows the same everywhere.
 */
import { styleText } from 'node:util';
import { Module } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import { NestFactory } from '@nestjs/core';
import type { AttemptRecord } from '../../chain/events.js';
import { FallbackError } from '../../chain/errors.js';
import { traceText } from '../../chain/trace-text.js';
import type { ChatChunk } from '../../fallback/answer-stream.js';
import { ModelManagerService } from '../../fallback/model-manager.service.js';
import { FallbackModule } from '../../fallback.module.js';
import { SimulatedHost } from '../../simulation/simulated-host.js';
import type { Terminal } from '../progress-bar.js';
import { type CommandOutput, EXIT_NOT_WELL, EXIT_WELL, printJson } from './command-run.js';

export interface DemoOptions {
  /** Characters of the first model's answer that come out before its connection is cut. */
  readonly cutAfter: number;
  readonly question: string;
  readonly json?: boolean;
}

interface Seam {
  /** Characters of text before it. */
  readonly at: number;
  readonly from: string;
  readonly to: string;
  readonly reason: string;
}

interface Shown {
  readonly text: string;
  readonly seams: readonly Seam[];
  readonly attempts: readonly AttemptRecord[];
  /** Absent: the answer came whole. */
  readonly fault?: string;
}

const CUT_MODEL = 'gpt-4';
const SILENT: Terminal = { write: () => true };

export async function demo({ cutAfter, question, json }: DemoOptions, output: CommandOutput): Promise<number> {
  const page = new DemoPage(json ? SILENT : output.out);
  page.begin(question, cutAfter);
  const shown = await withDemoModels(cutAfter, (models) => show(models, question, page));
  const isWell = shown.fault === undefined;
  if (json) printJson(output, { ok: isWell, question, ...shown });
  else page.end(shown);
  return isWell ? EXIT_WELL : EXIT_NOT_WELL;
}

async function show(models: ModelManagerService, question: string, page: DemoPage): Promise<Shown> {
  const seams: Seam[] = [];
  let text = '';
  const stream = models.stream(question);
  try {
    for await (const chunk of stream) {
      if (chunk.fallback) seams.push({ at: text.length, ...chunk.fallback });
      text += chunk.delta;
      page.add(chunk);
    }
    const { attempts } = await stream.result;
    return { text, seams, attempts };
  } catch (error) {
    if (!FallbackError.isInstance(error)) throw error;
    return { text, seams, attempts: error.attempts, fault: error.message };
  }
}

@Module({
  imports: [
    ConfigModule.forRoot({ ignoreEnvFile: true, ignoreEnvVars: true, skipProcessEnv: true }),
    FallbackModule.forRoot({ simulated: true }),
  ],
})
class DemoModule {}

async function withDemoModels<T>(cutAfter: number, use: (models: ModelManagerService) => Promise<T>): Promise<T> {
  const app = await NestFactory.createApplicationContext(DemoModule, { logger: false, abortOnError: false });
  try {
    app.get(SimulatedHost, { strict: false }).models?.break(CUT_MODEL, { kind: 'stream_cut', afterChars: cutAfter });
    return await use(app.get(ModelManagerService, { strict: false }));
  } finally {
    await app.close();
  }
}

/** What a person sees. Colours only in a terminal that wants them. */
class DemoPage {
  readonly #out: Terminal;
  readonly #isColoured: boolean;
  #hasSwitched = false;

  constructor(out: Terminal) {
    this.#out = out;
    this.#isColoured = out.isTTY === true && !process.env['NO_COLOR'];
  }

  begin(question: string, cutAfter: number): void {
    const words = `${question}\n(simulated models; the connection of ${CUT_MODEL} is cut after ${cutAfter} characters)`;
    this.#out.write(`${this.#styled('dim', words)}\n\n`);
  }

  add({ delta, fallback }: ChatChunk): void {
    if (fallback) {
      this.#hasSwitched = true;
      const { from, to, reason } = fallback;
      this.#out.write(this.#styled('yellow', `⟦${from} ${reason} → ${to}⟧`));
    }
    this.#out.write(this.#hasSwitched ? this.#styled('cyan', delta) : delta);
  }

  end({ attempts, fault }: Shown): void {
    this.#out.write(`\n\n${this.#styled('dim', traceText(attempts))}\n`);
    if (fault !== undefined) this.#out.write(`${this.#styled('red', fault)}\n`);
  }

  #styled(style: 'dim' | 'yellow' | 'cyan' | 'red', text: string): string {
    return this.#isColoured ? styleText(style, text, { validateStream: false }) : text;
  }
}
