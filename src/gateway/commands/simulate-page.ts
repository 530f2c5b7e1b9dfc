/**
 * A simulation as one page that needs nothing but itself: opened from a disk, sent by mail, kept beside a post-mortem.
 * Tables carry every figure; the plots, drawn in the reader's browser, show when it happened.
 *
 * The page may run and load nothing that does not stand in it: its policy names the hashes of its scripts and of its
 * style sheet.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { ScenarioReport } from '../../simulation/outage/report.js';
import { type Html, html, jsonScript, verbatim } from '../html.js';
import { type ScenarioPlots, plotsOf } from './simulate-plots.js';
import { glanceTable, policyList, scenarioSection } from './simulate-sections.js';

export interface PageFacts {
  /** What makes the same page again. */
  readonly command: string;
  readonly version: string;
  /** What would help, in sentences, where that was asked for. */
  readonly suggestions?: readonly string[];
}

/** @returns the HTML document: the same for the same reports and facts. */
export function pageOf(reports: readonly ScenarioReport[], facts: PageFacts): string {
  const plots = reports.map(plotsOf);
  const { style, scripts } = pageAssets();
  const title = reports.length === 1 ? `Outage simulation: ${reports[0]!.scenario}` : 'Outage simulation';
  const seeds = [...new Set(reports.map(({ seed }) => seed))].join(', ');
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${contentPolicy(style, scripts)}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title}</title>
        <link rel="icon" href="data:," />
        ${verbatim('style', style)}
      </head>
      <body>
        <header>
          <h1>${title}</h1>
          <p>
            The same requests meet the same outages, in simulated time, several times over: each time another policy
            decides which language model is asked, and when again. Seed ${seeds}.
          </p>
          ${policyList(reports)}
        </header>
        <main>
          ${reports.length > 1 ? glanceTable(reports) : ''} ${suggestionList(facts.suggestions ?? [])}
          ${reports.map((report, index) => scenarioSection(report, plots[index]!, index))}
        </main>
        <footer>
          <noscript><p>Without JavaScript the plots stay empty; every figure stands in the tables.</p></noscript>
          <p>nestjs-llm-fallback ${facts.version}. The same page again: <code>${facts.command}</code></p>
        </footer>
        ${jsonScript('simulation', { scenarios: reports.map((report, index) => drawnData(report, plots[index]!)) })}
        ${scripts.map((script) => verbatim('script', script))}
      </body>
    </html> `.markup;
}

function suggestionList(suggestions: readonly string[]): Html | string {
  if (suggestions.length === 0) return '';
  return html`<section aria-labelledby="suggestions">
    <h2 id="suggestions">What would help</h2>
    <ul>
      ${suggestions.map((suggestion) => html`<li>${suggestion}</li>`)}
    </ul>
  </section>`;
}

/** What the page's script reads: figures alone, the words stand in the page. */
function drawnData(report: ScenarioReport, { spanMs, stepMs, points, answers, attempts, wait }: ScenarioPlots): object {
  return {
    spanMs,
    stepMs,
    points,
    models: report.models,
    outages: report.outages.map(({ model, fromMs, toMs }) => ({ model: report.models.indexOf(model), fromMs, toMs })),
    plots: [...answers, ...attempts, wait].map(({ kind, unit, range, curves }) => ({ kind, unit, range, curves })),
  };
}

interface PageAssets {
  readonly style: string;
  readonly scripts: readonly string[];
}

const require = createRequire(import.meta.url);

function pageAssets(): PageAssets {
  const read = (path: string | URL) => readFileSync(path, 'utf8');
  const own = (name: string) => read(new URL(name, import.meta.url));
  // uPlot's licence goes wherever uPlot goes.
  const licence = read(require.resolve('uplot/LICENSE'));
  return {
    style: `${read(require.resolve('uplot/dist/uPlot.min.css'))}\n${own('simulate-page.css')}`,
    scripts: [
      LANGUAGE_GUARD,
      `/*\n${licence}*/\n${read(require.resolve('uplot/dist/uPlot.iife.min.js'))}`,
      own('simulate-page.client.js'),
    ],
  };
}

/** uPlot formats by the browser's language, and stops at one that is none, such as the `en-US@posix` of a bare Linux. */
const LANGUAGE_GUARD = `try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, 'language', { value: 'en-US' });
}`;

function contentPolicy(style: string, scripts: readonly string[]): string {
  const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  return [
    "default-src 'none'",
    `script-src ${scripts.map(hash).join(' ')}`,
    `style-src ${hash(style)}`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
}
