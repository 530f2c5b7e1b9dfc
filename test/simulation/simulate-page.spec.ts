/** The page of a simulation in the browser of someone who was sent it: from a disk, on any screen, in light and dark. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pageOf } from '../../src/gateway/commands/simulate-page.js';
import { madeUpReport } from '../app/made-up-report.js';
import type { ScenarioReport } from '../../src/simulation/outage/report.js';
import { startBrowser } from '../clients/browser.js';

const HOSTILE = '</script><script>document.title="broken"</script>"\'&';
const DAY_MS = 86_400_000;
const FACTS = { command: 'npx nestjs-llm-fallback simulate --scenario all --seed 7', version: '1.2.3' };
/** Some recoveries were never seen: the widest cells that there are. */
const FLAPPING = withRecoveries(madeUpReport(), [6_000, 218_000, null, 100_000]);
const REPORTS = [
  FLAPPING,
  madeUpReport({ scenario: 'total outage', down: ['gpt-4', 'gpt-3.5-turbo'], about: HOSTILE }),
  madeUpReport({
    scenario: 'a year',
    spanMs: 365 * DAY_MS,
    stepMs: DAY_MS / 8,
    models: ['gpt-4', 'a-model-with-a-very-long-name/of-a-deployment@somewhere-in-europe', 'c', 'd', 'e', 'f', 'g'],
    outages: Array.from({ length: 60 }, (_, n) => ({
      model: 'gpt-4',
      fromMs: n * 5 * DAY_MS,
      toMs: (n * 5 + 1) * DAY_MS,
    })),
  }),
];
/** Per policy what was answered and who was asked; the waits. */
const PLOTS = REPORTS.length * (4 + 4 + 1);

function withRecoveries(report: ScenarioReport, lengthsMs: readonly (number | null)[]): ScenarioReport {
  const recoveries = lengthsMs.map((ms) => {
    return { model: report.models[0]!, usedAgainMs: ms, backMs: ms, answeredAgainMs: ms, peak: 1 };
  });
  return { ...report, policies: report.policies.map((policy) => ({ ...policy, recoveries })) };
}

const browser: Browser | undefined = await startBrowser();
let directory: string;
let url: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'page-'));
  const path = join(directory, 'outage.html');
  await writeFile(path, pageOf(REPORTS, FACTS));
  url = pathToFileURL(path).href;
});

afterAll(async () => {
  await browser?.close();
  await rm(directory, { recursive: true, force: true });
});

interface Opened {
  readonly page: Page;
  /** Of the console, of exceptions. */
  readonly faults: string[];
  readonly requested: string[];
}

async function open(width: number, colorScheme: 'light' | 'dark', locale?: string): Promise<Opened> {
  const page = await browser!.newPage({
    viewport: { width, height: 900 },
    colorScheme,
    ...(locale !== undefined && { locale }),
  });
  const [faults, requested]: [string[], string[]] = [[], []];
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(message.text());
  });
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('request', (request) => requested.push(request.url()));
  await page.goto(url);
  return { page, faults, requested };
}

/** From the top to the end, as a reader goes. @returns how many plots have pixels of how many colours. */
async function readToTheEnd(page: Page): Promise<number[]> {
  for (const plot of await page.locator('.plot').all()) {
    await plot.scrollIntoViewIfNeeded();
    await plot.locator('canvas').waitFor();
  }
  return page.locator('.plot canvas').evaluateAll(coloursOfEach);
}

/** Runs in the page. */
function coloursOfEach(canvases: readonly unknown[]): number[] {
  interface Canvas {
    readonly width: number;
    readonly height: number;
    getContext(kind: '2d'): { getImageData(...box: number[]): { data: Uint8ClampedArray } };
  }
  return (canvases as readonly Canvas[]).map((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const colours = new Set<number>();
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3]! > 200) colours.add((data[at]! << 16) | (data[at + 1]! << 8) | data[at + 2]!);
    }
    return colours.size;
  });
}

/** A browser that draws without a graphics card, on a busy machine, takes its time. */
const REDRAWN = { timeout: 10_000 };

/** Runs in the page. @returns the mean of red, green and blue of the brightest opaque pixel left of the curves, 0 to 255. */
function brightestIn(canvas: unknown): number {
  const { data } = (
    canvas as { getContext(kind: '2d'): { getImageData(...box: number[]): { data: Uint8ClampedArray } } }
  )
    .getContext('2d')
    .getImageData(0, 0, 24, 180);
  let brightest = 0;
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3]! > 200) brightest = Math.max(brightest, (data[at]! + data[at + 1]! + data[at + 2]!) / 3);
  }
  return brightest;
}

const describeIn = browser ? describe : describe.skip;

describeIn('the page of a simulation', () => {
  it.each([
    { width: 1_200, scheme: 'light' },
    { width: 360, scheme: 'dark' },
  ] as const)(
    'draws every plot at $width px, $scheme, without a fault, a request or a sideways scroll',
    async ({ width, scheme }) => {
      const { page, faults, requested } = await open(width, scheme);
      const colours = await readToTheEnd(page);
      expect(colours).toHaveLength(PLOTS);
      for (const count of colours) expect(count).toBeGreaterThan(3);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
      expect(requested).toEqual([url]);
      expect(faults).toEqual([]);
      expect(await page.title()).toBe('Outage simulation');
    },
    30_000,
  );

  it.each([undefined, 'en-US', 'de-AT'])(
    'draws every plot though nobody scrolls, in the language %s',
    async (locale) => {
      const { page, faults } = await open(1_200, 'light', locale);
      await expect.poll(() => page.locator('.plot canvas').count(), REDRAWN).toBe(PLOTS);
      expect(faults).toEqual([]);
    },
  );

  it('draws again in the other colours when the system turns dark, and in the new width when it is turned', async () => {
    const { page, faults } = await open(800, 'light');
    const plot = page.locator('.plot').first();
    await plot.scrollIntoViewIfNeeded();
    const inkOfAxis = () => plot.locator('canvas').evaluate(brightestIn);
    expect(await inkOfAxis()).toBeLessThan(160);
    await page.emulateMedia({ colorScheme: 'dark' });
    await expect.poll(inkOfAxis, REDRAWN).toBeGreaterThan(160);
    await page.setViewportSize({ width: 500, height: 900 });
    await expect
      .poll(async () => (await plot.locator('canvas').boundingBox())?.width, REDRAWN)
      .toBeLessThanOrEqual(500);
    expect(await plot.locator('canvas').count()).toBe(1);
    expect(faults).toEqual([]);
  }, 30_000);

  it('says the figures under the pointer, and shows all plots of a scenario the stretch that is drawn across one', async () => {
    const { page, faults } = await open(1_200, 'light');
    const plots = page.locator('figure:has([data-scenario="0"])');
    const [first, second] = [plots.nth(0), plots.nth(1)];
    await first.locator('.plot').scrollIntoViewIfNeeded();
    const { x, y, width, height } = (await first.locator('.u-over').boundingBox())!;
    await page.mouse.move(x + width / 2, y + height / 2);
    // All plots of a scenario tell of the same moment.
    for (const plot of [first, second])
      expect(await plot.locator('.readout').textContent()).toMatch(
        /^1:[23]\d: asked \d+, answered \d+ \(requests a second\)$/u,
      );
    await page.mouse.down();
    await page.mouse.move(x + width * 0.75, y + height / 2, { steps: 4 });
    await page.mouse.up();
    await page.mouse.move(x + 2, y + height / 2);
    for (const plot of [first, second]) expect(await plot.locator('.readout').textContent()).toMatch(/^1:[23]\d: /u);
    await page.mouse.dblclick(x + 2, y + height / 2);
    await page.mouse.move(x + 3, y + height / 2);
    expect(await second.locator('.readout').textContent()).toMatch(/^0:0\d: /u);
    expect(faults).toEqual([]);
  }, 30_000);

  it.each(['light', 'dark'] as const)('has colours with enough contrast, %s', async (scheme) => {
    const { page } = await open(1_200, scheme);
    const { texts, curves, grounds } = await page.evaluate(inksOfPage);
    const onPage = Object.entries({ ...texts, ...curves }).map(([ink, colour]) => ({
      ink,
      colour,
      ground: grounds[0]!,
    }));
    const elsewhere = Object.entries(texts).flatMap(([ink, colour]) =>
      grounds.map((ground) => ({ ink, colour, ground })),
    );
    const weak = [...onPage, ...elsewhere].filter(({ colour, ground }) => contrast(colour, ground) < 4.5);
    expect(weak).toEqual([]);
    expect(contrast('#ffffff', '#767676')).toBeCloseTo(4.54, 2);
  });

  it('tells a screen reader what each table and each plot shows', async () => {
    const { page } = await open(1_200, 'light');
    const tables = page.getByRole('table');
    expect(await tables.count()).toBe(1 + REPORTS.length * 2);
    for (const table of await tables.all()) expect(await table.locator('caption').textContent()).toMatch(/\S/u);
    expect(await page.getByRole('rowheader', { name: /^Answered/u }).count()).toBe(REPORTS.length);
    const plots = page.getByRole('img');
    expect(await plots.count()).toBe(PLOTS);
    for (const plot of await plots.all()) expect(await plot.getAttribute('aria-label')).toMatch(/\d/u);
    expect(await page.getByRole('heading', { level: 2 }).allTextContents()).toEqual(
      REPORTS.map(({ scenario }) => scenario),
    );
  });

  it('keeps what stands in a row together on a narrow screen', async () => {
    const { page } = await open(360, 'light');
    expect(await page.getByRole('table').count()).toBe(1 + REPORTS.length * 2);
    expect(await page.getByRole('rowheader', { name: /^Answered/u }).count()).toBe(REPORTS.length);
  });
});

describe('the text of the page', () => {
  it('is the same for the same simulation', () => {
    expect(pageOf(REPORTS, FACTS)).toBe(pageOf(REPORTS, FACTS));
  });

  it('says the seed, the version and the command that makes it again', () => {
    const text = pageOf([madeUpReport({ seed: 4_711 })], FACTS);
    expect(text).toContain('<title>Outage simulation: first model down</title>');
    for (const fact of ['Seed 4711.', FACTS.version, FACTS.command]) expect(text).toContain(fact);
  });

  it('lists what would help, where that was asked for', () => {
    const suggestions = ['breaker.openMs 2000 instead of 5000: 12 more of 1,000 requests answered'];
    expect(pageOf(REPORTS, { ...FACTS, suggestions })).toContain(`<li>${suggestions[0]}</li>`);
    expect(pageOf(REPORTS, FACTS)).not.toContain('What would help');
  });
});

/** Runs in the page: what is written and drawn in, and what it stands on. */
function inksOfPage() {
  const { document, getComputedStyle } = globalThis as unknown as {
    document: { documentElement: object };
    getComputedStyle: (element: object) => { getPropertyValue(name: string): string };
  };
  const style = getComputedStyle(document.documentElement);
  const named = (names: readonly string[]) =>
    Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  const models = [0, 1, 2, 3, 4, 5].map((n) => `model-${n}`);
  const policies = ['ours', 'fixed-cooldown', 'plain-loop', 'first-only'].map((name) => `policy-${name}`);
  return {
    texts: named(['text', 'muted', 'link']),
    curves: named(['asked', 'answered', 'lost', ...models, ...policies]),
    grounds: Object.values(named(['page', 'card', 'ours'])),
  };
}

/** WCAG 2, 1.4.3. @param one `#rrggbb`, as the other. */
function contrast(one: string, other: string): number {
  const [light = 0, dark = 0] = [luminance(one), luminance(other)].toSorted((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

function luminance(colour: string): number {
  const [red = NaN, green = NaN, blue = NaN] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
