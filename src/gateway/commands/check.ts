/** `check`: is each model there? Its key accepted, the model known, one token answered, and how long that took. */
import { Engine } from '../../chain/engine.js';
import { inspectModels, type ModelInspection } from '../../chain/model-check.js';
import { type Column, textTable } from '../text-table.js';
import { type Command, EXIT_NOT_WELL, EXIT_WELL, onConfiguredModule, print, printJson } from './command-run.js';

interface CheckedModel {
  readonly model: string;
  readonly provider: string;
  /** `unknown`: nothing that came back says anything of it. */
  readonly key: 'accepted' | 'refused' | 'unknown';
  readonly there: 'yes' | 'no' | 'unknown';
  /** `ok`, a failure class, or that nobody asked. */
  readonly answer: string;
  readonly latencyMs: number;
  readonly available: boolean;
}

export const check: Command = (options, output) =>
  onConfiguredModule(options, async (app, { settings }) => {
    const inspections = await inspectModels(app.get(Engine, { strict: false }), { billedPing: true });
    const models = inspections.map(checkedModel);
    const missing = models.filter(({ available }) => !available);
    if (options.json) {
      printJson(output, { ok: missing.length === 0, simulated: settings.simulated, models });
    } else {
      const word = settings.simulated ? 'simulated models' : 'models';
      print(output, [
        ...textTable(COLUMNS, models),
        missing.length === 0
          ? `All ${models.length} ${word} are available.`
          : `${missing.length} of ${models.length} ${word} not available: ${missing.map(({ model }) => model).join(', ')}.`,
      ]);
    }
    return missing.length === 0 ? EXIT_WELL : EXIT_NOT_WELL;
  });

const COLUMNS: readonly Column<CheckedModel>[] = [
  { title: 'MODEL', of: ({ model }) => model },
  { title: 'PROVIDER', of: ({ provider }) => provider },
  { title: 'KEY', of: ({ key }) => key },
  { title: 'THERE', of: ({ there }) => there },
  { title: 'ANSWER', of: ({ answer }) => answer },
  { title: 'LATENCY', align: 'right', of: ({ answer, latencyMs }) => (answer === 'ok' ? `${latencyMs} ms` : '-') },
];

function checkedModel({ model, list, ping }: ModelInspection): CheckedModel {
  const { name, id, provider } = model;
  const listing = list?.reading;
  const answered = ping?.class;
  const isRefused = answered === 'auth' || (answered === undefined && list?.reading.type === 'failed');
  const isAccepted = answered === 'ok' || answered === 'not_found' || listing?.type === 'listed';
  const isThere = answered === 'ok' || (listing?.type === 'listed' && listing.has(id));
  return {
    model: name,
    provider: provider.name,
    key: isRefused ? 'refused' : isAccepted ? 'accepted' : 'unknown',
    there: answered === 'not_found' ? 'no' : isThere ? 'yes' : 'unknown',
    answer: answered ?? 'not asked (execute() alone)',
    latencyMs: ping?.ms ?? 0,
    available: answered === undefined || answered === 'ok',
  };
}
