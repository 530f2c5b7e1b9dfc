import { describe, expect, it } from 'vitest';
import {
  type FieldTable,
  isTable,
  leavesOf,
  MODEL_FIELDS,
  POLICY_FIELDS,
  PROVIDER_FIELDS,
  TOP_FIELDS,
} from '../../src/config/ranges.js';
import { GATEWAY_VARIABLES, MODULE_VARIABLES } from '../../src/config/variables.js';
import { POLICY_WORDS } from '../../src/gateway/commands/simulate-measures.js';
import { USUAL_SCENARIOS, YEARS } from '../../src/gateway/commands/simulate-scenarios.js';
import { FAILURE_CLASSES, type FailureTraits, traitsOf } from '../../src/policy/failure.js';
import { DEFAULT_POLICY } from '../../src/policy/policy.js';
import { SCENARIO_KINDS } from '../../src/simulation/outage/scenarios.js';

/** The tables of docs/reference are written from the code: `npx vitest run test/docs -u` writes them again. */
const GENERATED = '<!-- Written from the code by test/docs/reference.spec.ts: change the code, not this page. -->';

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], value);
}

function kindRows(fields: FieldTable, defaults: unknown = {}): string[][] {
  return [...leavesOf(fields)].map((path) => {
    const kind = at(fields, path) as { meaning: string; expected: string };
    const value = at(defaults, path);
    return [
      `\`${path.join('.')}\``,
      value === undefined ? '–' : `\`${JSON.stringify(value).replaceAll('"', '')}\``,
      kind.meaning,
      kind.expected,
    ];
  });
}

function ownFields(fields: FieldTable): FieldTable {
  return Object.fromEntries(Object.entries(fields).filter(([key]) => !(key in POLICY_FIELDS)));
}

function configurationPage(): string {
  const head = ['key', 'default', 'meaning', 'allowed'];
  const variables = (
    all: Readonly<
      Record<string, { name: string; default: string | undefined; kind: { meaning: string; expected: string } }>
    >,
  ) =>
    Object.values(all).map((v) => [
      `\`${v.name}\``,
      v.default === undefined ? '–' : v.default === '' ? 'empty' : `\`${v.default}\``,
      v.kind.meaning,
      v.kind.expected,
    ]);
  const { policy: _, ...top } = TOP_FIELDS;
  return [
    '# Configuration',
    GENERATED,
    '`forRoot()` options win over variables, variables over the file, the file over defaults, key by key. An unknown key',
    'stops the start and names the nearest known one. All lengths are milliseconds.',
    '## Variables\n\nThe module reads these through the host’s `ConfigService`.',
    table(['variable', ...head.slice(1)], variables(MODULE_VARIABLES)),
    'The gateway alone reads these.',
    table(['variable', ...head.slice(1)], variables(GATEWAY_VARIABLES)),
    '## The file, and `forRoot()`',
    table(head, kindRows(top)),
    '### `providers.NAME`\n\nIn a file a key is written only as `${NAME}`.',
    table(head, kindRows(PROVIDER_FIELDS)),
    '### `models.NAME`\n\nAnd any key of `policy`, for attempts on this model.',
    table(head, kindRows(ownFields(MODEL_FIELDS))),
    '### `chains.NAME`\n\nA list of models; or `{ models: […] }` with any key of `policy`, for requests of this chain. An entry may be a\ngroup of equals: `[[gpt-4, gpt-4-azure], gpt-3.5-turbo]`.',
    '### `policy`\n\nAgain under a model or a chain it overrides there, key by key: model over chain over `policy`.',
    table(head, kindRows(POLICY_FIELDS, DEFAULT_POLICY)),
    '',
  ].join('\n\n');
}

const SAME: Readonly<Record<FailureTraits['retrySame'], string>> = {
  never: 'no',
  'after-rest': 'once its rest is over, if that fits the deadline and nothing else is usable',
  'after-backoff': 'with backoff, once every other model was tried',
};
const NEXT: Readonly<Record<FailureTraits['fallBack'], string>> = {
  never: 'no',
  any: 'yes',
  'larger-window': 'one with a larger context window, or an unknown one',
  'other-provider': 'at another provider; where the body names the model, any other',
  'if-content-filter-next': 'with `onContentFilter: next`',
};

function failuresPage(): string {
  const rows = FAILURE_CLASSES.map((c) => {
    const traits = traitsOf(c);
    const { rest } = traits;
    const length =
      rest &&
      (rest.ms === rest.maxMs
        ? `${rest.ms / 60_000} min`
        : `${rest.ms / 1_000} s, doubling to ${rest.maxMs / 1_000} s`);
    return [
      `\`${c}\``,
      SAME[traits.retrySame],
      NEXT[traits.fallBack],
      length ?? '–',
      traits.hurtsHealth ? 'yes' : 'no',
    ];
  });
  return [
    '# What follows each failure',
    GENERATED,
    'A rest is how long a model is left alone. A time that the provider named (`retry-after-ms`, `retry-after`,\n`x-ratelimit-reset-*`, Google’s `RetryInfo`) wins over ours, up to an hour.',
    table(['class', 'same model again', 'another model', 'rests', 'counts for the breaker'], rows),
    '`x-should-retry: false` from a model forbids a retry there. `invalid_output` with `onInvalidOutput: return` is delivered\nas it came. `retrySameModel.attempts` puts retries on the same model before the next one is asked.',
    '',
  ].join('\n\n');
}

function simulationPage(): string {
  const rows = SCENARIO_KINDS.map(({ name, about, perSecond, spanMs }) => {
    return [`\`${name}\``, about, String(perSecond), String(spanMs / 60_000)];
  });
  const policies = Object.entries(POLICY_WORDS).map(([name, words]) => [name, words]);
  return [
    '# What `simulate` plays',
    GENERATED,
    `Where no scenario is named: ${USUAL_SCENARIOS.map((name) => `\`${name}\``).join(', ')}. In these the first model is in trouble and another is well.`,
    table(['scenario', 'what happens', 'requests a second', 'minutes'], rows),
    `\`${YEARS}\` plays three years of incidents at each provider of the chain, drawn from what status pages have told;\n\`--incidents\` plays your own.`,
    '## Beside ours',
    table(['policy', 'what it does'], policies),
    '',
  ].join('\n\n');
}

describe('the reference', () => {
  it('of the configuration is what the code says', async () => {
    await expect(configurationPage()).toMatchFileSnapshot('../../docs/reference/configuration.md');
  });

  it('of what follows each failure is what the code says', async () => {
    await expect(failuresPage()).toMatchFileSnapshot('../../docs/reference/failures.md');
  });

  it('of what is simulated is what the code says', async () => {
    await expect(simulationPage()).toMatchFileSnapshot('../../docs/reference/simulation.md');
  });

  it('leaves no key of the tables out', () => {
    const page = configurationPage();
    for (const path of [...leavesOf(POLICY_FIELDS), ...leavesOf(ownFields(MODEL_FIELDS))]) {
      expect(page).toContain(`\`${path.join('.')}\``);
    }
    expect(isTable(POLICY_FIELDS.backoff)).toBe(true);
  });
});
