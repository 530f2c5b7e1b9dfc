/** What an operator reads of the running gateway: Prometheus's text and the metrics per model. */
import { request } from 'undici';
import { asArray, asObject } from '../../src/simulation/json-value.js';
import type { JsonObject } from '../../src/simulation/json-value.js';

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** All samples of one series of `GET /metrics`, by its full name. */
export async function readSeries(url: string, name: string): Promise<readonly Sample[]> {
  const { body } = await request(`${url}/metrics`);
  return (await body.text()).split('\n').flatMap((line) => {
    const [, labels = '', value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/u.exec(line)?.slice(1) ?? [];
    if (value === undefined || !(line.startsWith(`${name}{`) || line.startsWith(`${name} `))) return [];
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/gu)].map(([, key, text]) => [key, text] as const);
    return [{ labels: Object.fromEntries(pairs), value: Number(value) }];
  });
}

/** How often each outcome of attempts on a model was counted (`fallback_attempts_total`); drills left out. */
export async function readOutcomes(url: string, model: string): Promise<Readonly<Record<string, number>>> {
  const samples = await readSeries(url, 'fallback_attempts_total');
  const ofModel = samples.filter(({ labels }) => labels['model'] === model && labels['drill'] !== 'true');
  return Object.fromEntries(
    ofModel.filter(({ value }) => value > 0).map(({ labels, value }) => [labels['outcome'], value]),
  );
}

/** One model of `GET /metrics/models`; `undefined` where it is not listed. */
export async function readModelMetrics(url: string, model: string): Promise<JsonObject | undefined> {
  const { body } = await request(`${url}/metrics/models`);
  const json: unknown = await body.json();
  const list = Array.isArray(json) ? asArray(json) : asArray(asObject(json)['models']);
  return list.map((entry) => asObject(entry)).find((entry) => entry['model'] === model);
}
